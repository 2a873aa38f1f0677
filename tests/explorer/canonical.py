"""When two worlds are the same: all that can make a difference to what follows, and nothing else.

Sequence numbers need no renaming: initial ones are pinned (see `world.Pinned`). Times are relative to now. Every
field of every object counts unless a table here says that it does not, and why; so a field that the engine gains
makes states differ that are the same, never the other way round.
"""

from __future__ import annotations

from hashlib import blake2b
from operator import attrgetter
from typing import Any, Final, cast

from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack import Socket
from lastack.stack.rows import Rows
from lastack.tcp.connection import Connection
from lastack.tcp.flight import Flight, Sent
from lastack.tcp.reassembly import Reassembly
from lastack.tcp.receiver import Receiver
from lastack.tcp.recovery import RECOVERY, Recovery
from lastack.tcp.rtt import Rtt
from lastack.tcp.send_buffer import SendBuffer
from lastack.tcp.sender import Sender
from lastack.tcp.timers import NEVER
from lastack.wire import Segment
from lastack.wire.flags import ACK

from .world import PORTS, Life, Pinned, Side, World

_RTO: Final[Nanos] = SECOND

_PARTS: Final[dict[type, tuple[str, ...]]] = {
    Connection: ("sender", "receiver"),
    Sender: ("buffer", "flight", "recovery", "rtt", "control"),
    Recovery: (),
    Receiver: (),
}
"""Objects that belong to an object, and are looked into."""

_TIMES: Final[dict[type, dict[str, Nanos]]] = {
    # How long ago still makes a difference, in ns.
    Connection: {
        "retransmit_at": NEVER,
        "delayed_ack_at": NEVER,
        "keepalive_at": NEVER,
        "lingers_until": NEVER,
        "oow_at": 500 * MILLISECOND,
    },
    Receiver: {"last_data_at": 2 * _RTO},
    Sent: {"sent_at": _RTO},
}
"""Instants: relative to now, and no further back than they matter."""

_DEAD: Final[dict[type, frozenset[str]]] = {
    # Shared with all states, statistics, or told apart by other fields: `bit` is `state`; challenges are not limited.
    Connection: frozenset(
        {"settings", "options", "counters", "observer", "tally", "bit", "replies", "number", "challenges"}
    ),
    # Idle restart, keepalive and user time-outs are off; Sender.retransmits and first_retransmit_at count.
    # What an ACK came to is of no use after it.
    Sender: frozenset({"last_sent_at", "heard_at", "active_at", "total_retransmits", "first_retransmit_at", "_acked"}),
    # The receive buffer does not grow; 24 days do not pass; chunks counts as `unread` and by the ghost.
    Receiver: frozenset({"space", "space_at", "space_seq", "ts_recent", "ts_recent_at"}),
    # RACK, its patience and the scoreboard are for SACK, which is off; flight, control and rtt are the sender's.
    # Whether duplicates were too many is of no use after the ACK.
    Recovery: frozenset(
        {"settings", "flight", "control", "rtt", "undo", "echo", "overcounted"}
        | {"board", "reordering", "reorder_at", "delivered_at", "delivered_end", "delivered_rtt"}
    ),
    # The time-out is one second, or three before the first measurement, whatever was measured.
    Rtt: frozenset({"latest", "mdev", "mdev_max", "var", "seq", "min_rtt", "min_rtt_at", "backoff", "srtt"}),
    # Karn's rule asks whether it was sent once.
    Sent: frozenset({"times"}),
    Flight: frozenset({"records", "head"}),
    # Where the last read began is a cache.
    SendBuffer: frozenset({"_at", "_at_seq"}),
    Reassembly: frozenset({"ranges", "recent"}),
}
"""Fields that make no difference, or that are written below in another way."""


class _Plan:
    """How the fields of one class are read."""

    __slots__ = ("lasting", "parts", "plain", "times")

    def __init__(self, kind: type) -> None:
        names = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
        self.parts = _PARTS.get(kind, ())
        self.times = tuple(_TIMES.get(kind, {}).items())
        told = _DEAD.get(kind, frozenset()) | set(self.parts) | set(_TIMES.get(kind, {}))
        left = sorted(set(names) - told)
        if kind is Receiver:
            left.remove("reassembly")
        self.plain = attrgetter(*left) if left else lambda one: ()


_PLANS: Final[dict[type, _Plan]] = {}


def _read(one: Any, now: Nanos, out: list[Any]) -> None:
    """Write down one object of the engine and what belongs to it."""
    kind = type(one)
    plan = _PLANS.get(kind)
    if plan is None:
        plan = _PLANS[kind] = _Plan(kind)
    out.append(plan.plain(one))
    for name, reach in plan.times:
        at = getattr(one, name)
        out.append(at if at == NEVER else max(at - now, -reach))
    for name in plan.parts:
        _read(getattr(one, name), now, out)


def _read_segment(segment: Segment, now: Nanos) -> tuple[Any, ...]:
    """Its fields; timestamps by how old they are, but a SYN echoes none."""
    clock = now // MILLISECOND
    value = segment.ts_value
    stamps = None if value is None else (value - clock, segment.ts_echo - (clock if segment.flags & ACK else 0))
    return (segment.flags, segment.seq, segment.ack, segment.window, segment.payload, stamps)


def _read_undo(recovery: Recovery, stamped: bool, now: Nanos) -> tuple[Any, ...] | None:
    """What may be taken back; what the last ACK told is over."""
    undo = recovery.undo
    if undo is None or (undo.marker < 0 and recovery.phase < RECOVERY):
        return None
    # With timestamps it counts when the first retransmission left, without only whether one has.
    stamp = undo.stamp - now if stamped and undo.stamp >= 0 else undo.stamp >= 0
    return (undo.marker, undo.resent, undo.frto, undo.new_first, undo.window, undo.threshold, stamp)


def _read_socket(socket: Socket, now: Nanos, out: list[Any]) -> None:
    tcb = socket.connection
    sender, receiver = tcb.sender, tcb.receiver
    out.append((socket.requesting, socket.accepted, socket.counted_orphan, socket.queued))
    _read(tcb, now, out)
    out.extend(_read_segment(segment, now) for segment in tcb.replies or ())
    for sent in sender.flight.out():
        _read(sent, now, out)
        out.append(sent.times > 1)
    out.append(sender.rtt.srtt > 0)
    # The second retransmission shrinks the first window, more change nothing (handshake.established).
    out.append(min(sender.total_retransmits, 2))
    out.append(sender.first_retransmit_at if sender.first_retransmit_at < 0 else sender.first_retransmit_at - now)
    out.append(_read_undo(sender.recovery, tcb.timestamps, now))
    if receiver.reassembly is not None:
        _read(receiver.reassembly, now, out)
    if tcb.timestamps:
        out.append((receiver.ts_recent - now // MILLISECOND, max(receiver.ts_recent_at - now, -2 * _RTO)))
    if tcb.settings.tcp_timestamps and tcb.state is State.SYN_SENT:
        # RFC 7323: an echo must not be older than the connection.
        out.append(tcb.tally.opened_at - now)


def _read_rows(rows: Rows, now: Nanos, out: list[Any]) -> None:
    for wait in rows.waits():
        out.append((wait.rcv_nxt, wait.snd_nxt, wait.flags))
        out.append(wait.until - now)
        # Never is not the same as just now.
        out.append(max(wait.acked_at - now // MILLISECOND, -500) if wait.acked_at else None)
        if wait.flags & 2:
            out.append(wait.ts_recent - now // MILLISECOND)
            out.append(max(wait.ts_at - now // MILLISECOND, -1001))


def _read_life(life: Life) -> tuple[Any, ...]:
    return (
        life.number,
        life.peer,
        life.sent,
        life.read,
        life.end,
        life.accepted | life.eof << 1 | life.error << 2 | life.shut << 3 | life.closed << 4,
    )


def describe_side(side: Side, now: Nanos) -> str:
    """One host and its connections."""
    host = side.stack.host
    used = host.ports.used(None, PORTS[side.index])
    drawn = cast(Pinned, host.secrets).next
    out: list[Any] = [(drawn, host.numbers, host.orphans, len(host.replies), used)]
    if side.stack.settings.tcp_timestamps:
        # A row keeps the instant of a timestamp in whole milliseconds.
        out.append(now % MILLISECOND)
    if side.listener is not None:
        out.append((side.listener.requests, len(side.listener)))
    for socket in host.sockets.values():
        _read_socket(socket, now, out)
    _read_rows(host.four, now, out)
    out.extend(_read_life(life) for life in side.lives)
    return repr(out)


def describe(world: World) -> str:
    """All that makes a difference, but for what may still happen (the bounds)."""
    now = world.now
    for side in world.sides:
        if world.told[side.index] is None:
            world.told[side.index] = describe_side(side, now)
    queues = [[(number, _read_segment(segment, now)) for number, segment in queue] for queue in world.queues]
    limbos = [sorted((number, repr(_read_segment(segment, now))) for number, segment in one) for one in world.limbos]
    return f"{world.told[0]}|{world.told[1]}|{queues}|{limbos}"


def bounds(world: World) -> tuple[int, ...]:
    """How much may still happen."""
    a, b = world.sides
    left = (world.lose, world.duplicate, world.delay, world.early, world.overflowed)
    return (*left, a.opens, b.opens, a.sends, b.sends, a.crashes, b.crashes)


def digest(description: str, left: tuple[int, ...] = ()) -> bytes:
    """128 bits for a description: with a million states two share one with a probability of 10^-27."""
    return blake2b(f"{description}{left}".encode(), digest_size=16).digest()
