"""What experiments read off their bench again and again: the order of segments, the states of a side, and times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from lastack.drive.faults import Where, every
from lastack.model.state import State
from lastack.model.time import SECOND, Nanos
from lastack.wire.flags import PSH, spelled
from lastack.wire.segment import Segment

from .bench import Bench, Host, Sock

ONE_DOUBLING: Final = 0.6
"""How near times are that end with a retransmission: one more, or one less, is no difference in kind."""
LATE: Final = 0.6
"""How near to the engine's a kernel's times of a second or less come where the machine is busy."""


def segments(bench: Bench, since: int = 0, of: Sock | None = None) -> tuple[str, ...]:
    """Who sent what, from packet number `since` on: `client FIN,ACK`, `server ACK,data`. PSH is left out."""
    return tuple(f"{host} {words(segment)}" for _, host, segment in passed(bench, since, of))


def passed(bench: Bench, since: int = 0, of: Sock | None = None) -> Iterator[tuple[Nanos, str, Segment]]:
    """The segments from packet number `since` on, when and who sent each; those `of` one connection, or all."""
    ports = None if of is None else {of.four.local.port, of.four.remote.port}
    for at, host, packet, _ in bench.packets()[since:]:
        segment = packet.segment
        if segment is not None and (ports is None or ports == {segment.src_port, segment.dst_port}):
            yield at, host, segment


def words(segment: Segment) -> str:
    """A segment by its flags without PSH, and whether it carries data."""
    return spelled(segment.flags & ~PSH) + (",data" if segment.payload else "")


def instants(bench: Bench, host: Host, where: Where = every) -> list[Nanos]:
    """When a host sent those of its packets that `where` names."""
    return [at for at, name, packet, _ in bench.packets() if name == host.name and where(packet)]


def lane(bench: Bench, host: Host, number: int = 0) -> tuple[str, ...]:
    """The states that a host's end of a connection went through after ESTABLISHED; `number` counts the ladders."""
    names = [state.name for state, _, _ in _stays(bench, host, number)]
    begin = names.index("ESTABLISHED") + 1 if "ESTABLISHED" in names else 0
    return tuple(names[begin:])


def spent(bench: Bench, host: Host, state: State, number: int = 0) -> Nanos:
    """How long a host's end of a connection was in a state, until now where it still is."""
    return sum(end - begin for of, begin, end in _stays(bench, host, number) if of is state)


def seconds(duration: Nanos | None) -> float:
    """A duration as facts say it; what did not happen is minus one."""
    return -1.0 if duration is None else round(duration / SECOND, 3)


class Read(NamedTuple):
    """What a program read: so many octets, and then `end of file`, an error by its name, or `nothing more`."""

    octets: int
    end: str


def all_read(bench: Bench, sock: Sock, patience: Nanos) -> Read:
    """Read until the end of file or an error, but no longer than so long."""
    octets, end = 0, ""
    taken: list[bytes | None] = []

    def over() -> bool:
        nonlocal octets, end
        while not end:
            end = sock.attempt(lambda: taken.append(sock.receive()))
            data = None if end else taken.pop()
            if data is None:
                break
            octets += len(data)
            end = "" if data else "end of file"
        return end != ""

    bench.within(patience, over)
    return Read(octets, end or "nothing more")


def _stays(bench: Bench, host: Host, number: int) -> list[tuple[State, Nanos, Nanos]]:
    """The states of a lane, each with the instants at which it was entered and left."""
    changes = [change for change in bench.scene().histories[number].changes if change.host == host.name]
    ends = [change.at for change in changes[1:]] + [bench.now]
    return [(change.after, change.at, end) for change, end in zip(changes, ends, strict=True)]
