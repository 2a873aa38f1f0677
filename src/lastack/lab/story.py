"""Packets and changes of state put together as histories: what a ladder is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lastack.model.address import Endpoint, FourTuple
from lastack.model.history import History, LadderSegment, StateChange
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.wire.flags import ACK, FIN, RST, SYN
from lastack.wire.ip import address_words
from lastack.wire.packet import Packet, decode_packet
from lastack.wire.seq import distance

from .bench import ADDRESSES

Record = tuple[Nanos, str, bytes, str]
"""A packet that was sent: when, by which host, its octets, what became of it."""

MOST: Final = 8
"""So many connections of a scene have a ladder."""
FATES: Final = {"lose": "lost", "hold": "held back", "duplicate": "doubled", "corrupt": "damaged"}
"""What the wire's own faults are called where people read of them."""
HOSTS: Final = ("client", "server")


def tell(
    sent: Sequence[Record],
    changes: Sequence[StateChange],
    names: Mapping[tuple[str, int], FourTuple],
    sampled: str,
    until: Nanos,
) -> tuple[tuple[History, ...], int]:
    """The first connections of a scene, MOST of them at most, and how many more there were.

    `names`: the ends of a host's connection with that number, as that host names them. `until`: when the scene ended.
    Raises DecodeError on octets that are no packet.
    """
    lines: dict[FourTuple, list[tuple[Nanos, str, Packet, str]]] = {}
    for at, host, data, fate in sent:
        packet = decode_packet(data)
        if packet.segment is not None:
            lines.setdefault(_between(packet, host), []).append((at, host, packet, fate))
    lanes: dict[FourTuple, list[StateChange]] = {}
    for change in changes:
        four = names.get((change.host, change.connection))
        if four is not None:
            lanes.setdefault(four if change.host == HOSTS[0] else FourTuple(four.remote, four.local), []).append(change)
    # Strangers, whom only the wire knows, come last.
    shown = sorted(lines, key=lambda four: four.local.addr not in ADDRESSES[HOSTS[0]])[:MOST]
    histories = tuple(_history(four, lines[four], lanes.get(four, []), sampled, until) for four in shown)
    return histories, len(lines) - len(shown)


def _between(packet: Packet, host: str) -> FourTuple:
    """The ends of a packet's connection, the client's first."""
    segment = packet.segment
    assert segment is not None
    source = Endpoint(address_words(packet.source), segment.src_port)
    destination = Endpoint(address_words(packet.destination), segment.dst_port)
    return FourTuple(source, destination) if host == HOSTS[0] else FourTuple(destination, source)


def _history(
    four: FourTuple, lines: list[tuple[Nanos, str, Packet, str]], changes: list[StateChange], sampled: str, until: Nanos
) -> History:
    bases: dict[str, int] = {}
    segments = []
    marks: dict[tuple[str, int, int], int] = {}
    """How often a host has sent this SYN or FIN."""
    for at, host, packet, fate in lines:
        segment = packet.segment
        assert segment is not None
        if segment.flags & SYN or (host not in bases and not segment.flags & RST):
            bases[host] = segment.seq
        other = HOSTS[1 - HOSTS.index(host)]
        notes = []
        if segment.flags & (FIN | SYN):
            key = (host, segment.flags & (FIN | SYN), segment.seq)
            if segment.flags & SYN and (host, FIN) in {mark[:2] for mark in marks}:
                # Of the next connection.
                marks.clear()
            marks[key] = marks.get(key, 0) + 1
            if marks[key] > 1:
                notes.append(f"{'FIN' if segment.flags & FIN else 'SYN'} again, number {marks[key]}")
        segments.append(
            LadderSegment(
                at,
                host,
                segment.flags,
                distance(bases.get(host, segment.seq), segment.seq),
                distance(bases.get(other, segment.ack), segment.ack) if segment.flags & ACK else None,
                len(segment.payload),
                segment.window,
                fate=FATES.get(fate, fate),
                notes=tuple(notes),
            )
        )
    return History(str(four.local), str(four.remote), HOSTS, tuple(segments), _lasting(changes), sampled, until=until)


def _lasting(changes: Sequence[StateChange]) -> tuple[StateChange, ...]:
    """The changes without a TIME_WAIT that is over as it begins: there was no room for it, and no kernel shows it."""
    found: list[StateChange] = []
    for change in changes:
        former = next((number for number in range(len(found))[::-1] if found[number].host == change.host), None)
        brief = former is not None and change.before is State.TIME_WAIT and found[former].at == change.at
        found.append(change._replace(before=found.pop(former).before) if brief and former is not None else change)
    return tuple(found)
