"""Ending connections: a FIN by shutdown() on the socket of the process that has it, or an end by the kernel's own hand.

Between the look that chose a connection and the act it may have ended, and its process, descriptor and ports may belong
to others. What is acted on is therefore known by its cookie, which no other socket gets: of a descriptor it is asked
after it was taken, and cannot change any more; SOCK_DESTROY compares it in the kernel.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from lastack.errors import KernelError
from lastack.linux import namespaces, pidfd
from lastack.linux.namespaces import Namespace
from lastack.linux.sock_destroy import Destroyer, Identity
from lastack.model.ending import Ending, Left, Means, Outcome
from lastack.model.host import Holder
from lastack.model.state import FIN_SENT, SENDS_TEXT, State
from lastack.model.time import MILLISECOND, SECOND, Nanos

from . import sockdiag

PATIENCE: Final = SECOND // 2
"""How long, for all connections together, their peers' answers are waited for."""

_AT_ONCE: Final = 256
"""So many sockets are held at a time, while their peers' answers come; half of what this process may where that is
less."""
_ASKED_EVERY: Final = 2 * MILLISECOND


class Target(NamedTuple):
    """A connection to end, as it was seen: the state that it must still be in, and who had a descriptor of it."""

    cookie: int
    state: State
    holders: tuple[Holder, ...] = ()


def why_left(means: Means, state: State, inode: int, held: bool) -> Left | None:
    """Why nothing can be done by these means to a connection in this state; None where something can.

    `inode` is 0 where no process has a descriptor of it, `held` says whether one can be seen that has.
    """
    if means is Means.RST:
        return None
    if state is State.TIME_WAIT:
        return Left.OVER
    if state is State.FIN_WAIT_2:
        return Left.PEER_OPEN
    if state in FIN_SENT:
        return Left.FIN_SENT
    if not held:
        return Left.UNSEEN_OWNER if inode else Left.NO_DESCRIPTOR
    return None


def shut(targets: Sequence[Target], namespace: Namespace, patience_ns: Nanos = PATIENCE) -> list[Ending]:
    """Send a FIN on each, by shutdown(SHUT_WR) on its own socket; a listening socket, or a SYN_SENT, is given up.

    SHUT_WR and never SHUT_RD: no process is made to believe that its peer has said all. The answers are waited for,
    `patience_ns` in all. Raises KernelError where no descriptor can be taken at all.
    """
    deadline = time.monotonic_ns() + patience_ns
    endings: list[Ending] = []
    size = max(1, min(_AT_ONCE, os.sysconf("SC_OPEN_MAX") // 2))
    for start in range(0, len(targets), size):
        few = targets[start : start + size]
        with ExitStack() as kept:
            begun = [_shut(target, kept) for target in few]
            _settle([one for one in begun if not isinstance(one, Ending)], deadline)
            endings += [
                one if isinstance(one, Ending) else _became(target, one) for target, one in zip(few, begun, strict=True)
            ]
    return _found_again(targets, endings, namespace)


def destroy(targets: Sequence[Target], namespace: Namespace) -> list[Ending]:
    """End each by SOCK_DESTROY, in the namespace that they are in. Raises KernelError where the kernel cannot."""
    with _inside(namespace) as there:
        if not there:
            return [Ending(Outcome.VANISHED, State.CLOSED)] * len(targets)
        known = sockdiag.identities([target.cookie for target in targets])
        with Destroyer() as destroyer:
            return [_destroy(target, known.get(target.cookie), destroyer) for target in targets]


def _shut(target: Target, kept: ExitStack) -> socket.socket | Ending:
    """The socket, its FIN sent, to be closed with `kept`; or what stood in the way."""
    forbidden = False
    for holder in target.holders:
        try:
            found = pidfd.take(holder.pid, holder.fd, target.cookie)
        except PermissionError:
            forbidden = True
            continue
        if found is None:
            continue
        kept.enter_context(found)
        state = _state(found)
        if state is not target.state:
            return _otherwise(state)
        # ENOTCONN: it has ended within the last microsecond, which its state will tell.
        with suppress(OSError):
            found.shutdown(socket.SHUT_RD if state is State.LISTEN else socket.SHUT_WR)
        return found
    return Ending(Outcome.FORBIDDEN if forbidden else Outcome.MOVED, target.state)


def _settle(sockets: Sequence[socket.socket], deadline_ns: Nanos) -> None:
    """Wait until all have ended, or until the deadline."""
    while any(_state(each) is not State.CLOSED for each in sockets) and time.monotonic_ns() < deadline_ns:
        time.sleep(_ASKED_EVERY / SECOND)


def _became(target: Target, its: socket.socket) -> Ending:
    """What a FIN has led to so far."""
    state = _state(its)
    if state is State.FIN_WAIT_2:
        return Ending(Outcome.HALF_CLOSED, state)
    if state is not State.CLOSED:
        return Ending(Outcome.UNACKNOWLEDGED, state)
    refused = target.state in SENDS_TEXT and _has_error(its)
    return Ending(Outcome.RESET_BY_PEER if refused else Outcome.ENDED, state)


def _has_error(its: socket.socket) -> bool:
    """Whether its process is yet to be told of an error. Asked by poll(), which does not take it away as SO_ERROR."""
    poll = select.poll()
    poll.register(its, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _state(its: socket.socket) -> State:
    """The state, which is the first octet of tcp_info. One that has gone on to TIME_WAIT is CLOSED to its process."""
    return State(its.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])


def _otherwise(state: State) -> Ending:
    return Ending(Outcome.VANISHED if state is State.CLOSED else Outcome.CHANGED, state)


def _found_again(targets: Sequence[Target], endings: list[Ending], namespace: Namespace) -> list[Ending]:
    """The endings, and of those whose descriptor led nowhere whether they have ended or gone on to another state."""
    lost = [row for row, ending in enumerate(endings) if ending.outcome is Outcome.MOVED]
    if lost:
        with _inside(namespace) as there:
            now = sockdiag.identities([targets[row].cookie for row in lost]) if there else {}
        for row in lost:
            state = now[targets[row].cookie][0] if targets[row].cookie in now else State.CLOSED
            if state is not targets[row].state:
                endings[row] = _otherwise(state)
    return endings


@contextmanager
def _inside(namespace: Namespace) -> Iterator[bool]:
    """The thread in the namespace, and True; or False where that has ended, with all that was in it."""
    with ExitStack() as kept:
        try:
            kept.enter_context(namespaces.entered(namespace))
            there = True
        except KernelError:
            if Path(namespace.path).exists():
                raise
            there = False
        yield there


def _destroy(target: Target, known: tuple[State, Identity] | None, destroyer: Destroyer) -> Ending:
    if known is None:
        return Ending(Outcome.VANISHED, State.CLOSED)
    state, identity = known
    if state is not target.state:
        return _otherwise(state)
    try:
        done = destroyer.destroy(identity)
    except PermissionError:
        return Ending(Outcome.FORBIDDEN, state)
    return Ending(Outcome.ENDED if done else Outcome.VANISHED, State.CLOSED)
