"""What must hold in every state that can be reached. A check raises Broken, with a sentence that says what does not."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

from lastack.model.state import State, lawful
from lastack.model.time import Nanos
from lastack.stack import Socket
from lastack.tcp.timers import NEVER
from lastack.wire.seq import MASK, distance

from .canonical import describe_side
from .pairs import lawful_pair
from .world import Life, Move, Side, World, octet


class Broken(AssertionError):
    """An invariant does not hold."""


class Marks(NamedTuple):
    """How far a connection had come before an action: these never go back."""

    number: int
    una: int
    nxt: int
    rcv_nxt: int


_ANY: Final = frozenset(State)
ENDS: Final[dict[str, frozenset[State]]] = {
    "rcv ACK of FIN": frozenset({State.LAST_ACK}),
    "2 MSL have passed": frozenset({State.TIME_WAIT}),
    "CLOSE": frozenset({State.SYN_SENT}),
    "tcp_fin_timeout has passed": frozenset({State.FIN_WAIT_2}),
    "rcv text after CLOSE": frozenset({State.FIN_WAIT_1, State.FIN_WAIT_2}),
    "close with unread data": frozenset({State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT}),
    "rcv RST": _ANY,
    "ABORT": _ANY,
    "time-out": _ANY - {State.TIME_WAIT, State.FIN_WAIT_2},
}
"""What ends a connection, and in which states it can: who closes first and is not cut short ends in TIME_WAIT."""

TRIES: Final = 3
"""A SYN is sent so often with the settings of the explorer, and everything else once more."""

_BEFORE_SYNCHRONIZED: Final = frozenset({State.SYN_SENT, State.CLOSED, State.LISTEN})


def marks(world: World) -> tuple[Marks | None, Marks | None]:
    """The marks of both sides."""
    return _marks(world.sides[0]), _marks(world.sides[1])


def _marks(side: Side) -> Marks | None:
    for socket in side.stack.host.sockets.values():
        tcb = socket.connection
        return Marks(tcb.number, tcb.sender.una, tcb.sender.nxt, tcb.receiver.nxt)
    return None


def check(world: World, moves: list[Move], before: tuple[Marks | None, Marks | None]) -> None:
    """Everything that can be said of one state, and of the step that led to it."""
    for move in moves:
        if not lawful(move.before, move.after):
            raise Broken(f"{move} is no lawful transition")
        if move.after is State.CLOSED and move.before not in ENDS.get(move.cause, ()):
            raise Broken(f"{move.before.name} ended by {move.cause!r}")
        if move.cause == "time-out":
            _patience(world, move)
    for side in world.sides:
        other = world.sides[1 - side.index]
        if world.frozen[side.index] is None:
            for socket in side.stack.host.sockets.values():
                _sequence(socket)
                _never_back(socket, before[side.index])
            _timer_is_armed(side)
        for life in side.lives:
            _delivery(world, side, life)
        life_here = side.life
        if life_here is not None and life_here.peer:
            peer = other.find(life_here.peer)
            if peer is not None:
                _pair(side, life_here, other, peer)


def _patience(world: World, move: Move) -> None:
    """Nobody gives up on a peer that is there, or on a host that is up, before the network has used up all tries."""
    peers = world.sides[1 - move.side]
    life = world.sides[move.side].find(move.number)
    peer = None if life is None else peers.find(life.peer)
    if peer is None or world.misuse() >= TRIES:
        return
    if peer.end == Life.ALIVE and peer.peer in (0, move.number):
        raise Broken(f"{'AB'[move.side]} gives up in {move.before.name}, but its peer is there")
    if peer.end != Life.ALIVE and peer is peers.life:
        # The host is up, and refuses what is for nobody (RFC 9293 3.10.7.1).
        raise Broken(f"{'AB'[move.side]} gives up in {move.before.name}, and nobody has told it that its peer is gone")


def _sequence(socket: Socket) -> None:
    """RFC 9293 3.3.1: SND.UNA <= SND.NXT <= what was queued, and RCV.NXT within what was announced."""
    tcb = socket.connection
    sender, receiver = tcb.sender, tcb.receiver
    last = sender.buffer.end + (1 if sender.fin_queued else 0)
    if not sender.iss <= sender.una <= sender.nxt <= max(last, sender.iss + 1):
        raise Broken(f"iss {sender.iss} <= una {sender.una} <= nxt {sender.nxt} <= {last} does not hold")
    out = [(sent.seq, sent.end) for sent in sender.flight.out()]
    if out and (out[0][0] != sender.una or out[-1][1] != sender.nxt):
        raise Broken(f"the flight {out} is not [una {sender.una}, nxt {sender.nxt})")
    if not out and sender.una != sender.nxt and tcb.state is not State.CLOSED:
        raise Broken(f"una {sender.una} is not nxt {sender.nxt}, and nothing is out")
    if any(left[1] != right[0] for left, right in pairwise(out)):
        raise Broken(f"the flight {out} has a hole")
    if tcb.state not in _BEFORE_SYNCHRONIZED and not receiver.acked <= receiver.nxt:
        raise Broken("more was acknowledged than was received")
    lost = sum(sent.lost for sent in sender.flight.out())
    resent = sum(sent.resent for sent in sender.flight.out())
    if (lost, resent) != (sender.flight.lost, sender.flight.resent):
        raise Broken("the counts of the flight are not those of its records")


def _never_back(socket: Socket, before: Marks | None) -> None:
    tcb = socket.connection
    if before is None or before.number != tcb.number:
        return
    now = Marks(tcb.number, tcb.sender.una, tcb.sender.nxt, tcb.receiver.nxt)
    if now.una < before.una or now.nxt < before.nxt or (before.rcv_nxt and now.rcv_nxt < before.rcv_nxt):
        raise Broken(f"{now} after {before}: numbers went back")


def _delivery(world: World, side: Side, life: Life) -> None:
    """What was read is a prefix of what this connection's peer sent, and the end of file is behind all of it."""
    index = 1 - side.index
    for at, value in enumerate(life.read):
        if bytes((value,)) != octet(index, life.peer, at):
            raise Broken(f"{'AB'[side.index]} #{life.number} (with #{life.peer}) read {life.read.hex()}")
    peer = world.sides[index].find(life.peer)
    if peer is None:
        return
    if len(life.read) > peer.sent:
        raise Broken("more was read than sent")
    if life.eof and not (peer.shut and len(life.read) == peer.sent):
        raise Broken(f"end of file after {len(life.read)} of {peer.sent} octets, peer closed: {peer.shut}")


def _timer_is_armed(side: Side) -> None:
    """The stack wakes for the earliest of its connections; and what is out is watched by a timer."""
    host = side.stack.host
    first = min((socket.connection.deadline() for socket in host.sockets.values()), default=NEVER)
    first = min(first, host.four.soonest)
    if side.stack.deadline() != first:
        raise Broken(f"the stack wakes at {side.stack.deadline()}, its connections at {first}")
    for socket in host.sockets.values():
        if socket.connection.sender.flight.count and socket.connection.retransmit_at == NEVER:
            raise Broken("something is out and no timer watches it")


def _pair(side: Side, life: Life, other: Side, peer: Life) -> None:
    """The two ends of one connection are in states that go together, and so do their numbers."""
    if peer.peer not in (0, life.number) or life.end > Life.IN_ORDER or peer.end > Life.IN_ORDER:
        return
    one, two = side.state(life), other.state(peer)
    if not lawful_pair(one, two):
        raise Broken(f"{'AB'[side.index]} is in {one.name} while {'AB'[other.index]} is in {two.name}")
    if peer.peer != life.number or State.CLOSED in (one, two):
        return
    una, nxt = _numbers(side, life)[:2]
    rcv_nxt = _numbers(other, peer)[2]
    if distance(una, rcv_nxt) < 0:
        raise Broken("acknowledged what was not received")
    if distance(rcv_nxt, nxt) < 0:
        raise Broken("received what was not sent")


def _numbers(side: Side, life: Life) -> tuple[int, int, int]:
    """SND.UNA, SND.NXT and RCV.NXT as on the wire, of a connection or of the row that is left of it."""
    assert life.socket is not None
    host, tcb = side.stack.host, life.socket.connection
    if host.sockets.get(life.socket.key) is life.socket:
        return tcb.sender.una & MASK, tcb.sender.nxt & MASK, tcb.receiver.nxt & MASK
    wait = host.four.find(life.socket.key)
    assert wait is not None
    return wait.snd_nxt, wait.snd_nxt, wait.rcv_nxt


def check_poll_contract(world: World) -> None:
    """Once poll has said None it says None until next_timeout; and a time-out that is early does nothing.

    The sides that the last action touched are used up: they have been asked again although nothing happened to them.
    """
    now = world.now
    for side in world.sides:
        if world.frozen[side.index] is not None:
            continue
        told = describe_side(side, now)
        _ask_again(side, now)
        due = side.stack.deadline()
        if due <= now:
            raise Broken(f"a timer of {'AB'[side.index]} was due {now - due} ns ago, after poll")
        _ask_again(side, min(due - 1, now + 10**15))
        side.stack.on_timeout(due - 1)
        if side.stack.deadline() != due:
            raise Broken("an early time-out moved a timer")
        if describe_side(side, now) != told:
            raise Broken("asking changed something")


def _ask_again(side: Side, now: Nanos) -> None:
    for socket in list(side.stack.host.sockets.values()):
        side.stack.host.schedule.touch(socket)
    if (packet := side.stack.poll(now)) is not None:
        raise Broken(f"poll said None, then {packet}")
