"""States in which nothing more happens by itself: the deadlocks that TCP has, each with its name, and no others."""

from __future__ import annotations

from lastack.model.state import State
from lastack.tcp.timers import NEVER

from .invariants import Broken
from .world import Life, Side, World

GONE = "nothing is left"
IDLE = "both ends are ESTABLISHED and have nothing to say"
HALF_CLOSED = "one application has closed, the other has not (FIN_WAIT_2 and CLOSE_WAIT)"
HALF_OPEN = "one end is gone and the other, with nothing to send, does not know (RFC 9293 3.5.1)"


def classify(world: World) -> str | None:
    """The name of a quiet state; None where something is on its way, a timer is armed, or an octet is out.

    Raises Broken where nothing will ever happen and something should.
    """
    if world.deadline() < NEVER or any(world.queues):
        return None
    a, b = world.sides
    for side in world.sides:
        _has_nothing_to_do(side)
    alive = [life for side in world.sides if (life := side.life) is not None and life.end == Life.ALIVE]
    if not alive:
        return GONE
    if len(alive) == 1:
        return _half_open(world)
    one, two = alive
    states = {a.state(one), b.state(two)}
    if one.peer != two.number or two.peer != one.number:
        raise Broken("two connections wait, and not for each other")
    if len(one.read) + _unread(one) != two.sent or len(two.read) + _unread(two) != one.sent:
        raise Broken("both wait, and not all that was sent has arrived")
    if states == {State.ESTABLISHED}:
        return IDLE
    if states == {State.FIN_WAIT_2, State.CLOSE_WAIT}:
        return HALF_CLOSED
    raise Broken(f"both wait for ever, in {' and '.join(sorted(state.name for state in states))}")


def _unread(life: Life) -> int:
    return 0 if life.socket is None or life.closed else life.socket.connection.receiver.unread


def _half_open(world: World) -> str:
    """RFC 9293 3.5.1: the survivor will learn of it when it sends."""
    for side in world.sides:
        life = side.life
        if life is not None and life.end == Life.ALIVE:
            state = side.state(life)
            if state not in (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_2):
                raise Broken(f"{state.name} waits for ever, and its peer is gone")
    return HALF_OPEN


def _has_nothing_to_do(side: Side) -> None:
    for socket in side.stack.host.sockets.values():
        sender = socket.connection.sender
        if sender.flight.count or sender.unsent or sender.fin_unsent():
            raise Broken(f"{'AB'[side.index]} has something to send and no timer")
