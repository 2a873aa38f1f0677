"""Play an event in a situation, on a host: what it answers at once, what a little later, and what is left of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final, NamedTuple

from lastack.model.time import MILLISECOND, Nanos

from .ends import End, EngineEnd, KernelEnd, Reading, Wire
from .events import EVENTS
from .peer import Peer
from .situations import SITUATIONS

LATER: Final[Nanos] = 55 * MILLISECOND
"""Longer than an ACK is delayed, shorter than anything is sent again."""
PROMPT: Final[Nanos] = 12 * MILLISECOND
"""On a host that was busy meanwhile a script is played again: some timer may have come between its segments."""
OVERDUE: Final[Nanos] = 150 * MILLISECOND
"""After this something may have been sent again."""
MOST_ATTEMPTS: Final = 50
SLACK: Final = 60
"""Milliseconds by which timers may differ."""
THEN: Final = " > "
"""Between events that follow each other."""
TOGETHER: Final = 18


class Case(NamedTuple):
    """One script; an event may be several. `modern`: timestamps, SACK and window scaling are spoken."""

    situation: str
    event: str
    modern: bool
    family: int = 4

    def __str__(self) -> str:
        options = "with options" if self.modern else "without options"
        return f"{self.situation}: {self.event} (IPv{self.family}, {options})"


class Outcome(NamedTuple):
    """Everything that is compared, in the order in which it happened."""

    answer: tuple[str, ...]
    calls: tuple[str, ...]
    then: Reading
    later: tuple[str, ...]
    probed: tuple[str, ...]
    """What a segment that is out of the window brings to light: the numbers, and the window."""
    last_calls: tuple[str, ...]
    """accept, read, read and write: what the owner is told."""
    last_answer: tuple[str, ...]
    last: Reading
    """Of which the time that the timer has left is not compared."""


class Played(NamedTuple):
    peer: Peer
    at: Nanos
    answer: tuple[str, ...]
    calls: tuple[str, ...]
    then: Reading
    prompt: bool


def engine(case: Case) -> Outcome:
    """What the engine does."""
    played = _begin(EngineEnd(case.family, 20_000, 40_000), case)
    played.peer.end.rest(played.at + LATER - played.peer.end.now())
    return _finish(played)


def kernel(wire: Wire, cases: Iterable[Case]) -> Iterator[tuple[Case, Outcome]]:
    """What the kernel does; several scripts are played side by side, so that their times of rest are one."""
    numbers = count()
    waiting = list(cases)
    while waiting:
        begun = [(case, _promptly(wire, case, numbers)) for case in waiting[:TOGETHER]]
        del waiting[:TOGETHER]
        for _, played in begun:
            end = played.peer.end
            end.rest(max(played.at + LATER - end.now(), 0))
            played.peer.listen(played.at + LATER)
        for case, played in begun:
            outcome = _finish(played)
            if played.peer.end.now() - played.at < OVERDUE:
                yield case, outcome
            else:
                waiting.append(case)


def _promptly(wire: Wire, case: Case, numbers: Iterator[int]) -> Played:
    """Played without a pause; on a machine that never has the time, as it is, and the comparison will tell."""
    for attempt, number in enumerate(numbers):
        # The ports below 20000 are no ephemeral ones; the peer's tell apart what the host's would not.
        played = _begin(KernelEnd(wire, case.family, 1024 + number % 18_000, 40_000 + number % 20_000), case)
        if played.prompt or attempt == MOST_ATTEMPTS:
            return played
        _forget(played.peer)
    raise AssertionError("unreachable: there is always a next number")


def differences(kernel: Outcome, engine: Outcome) -> list[str]:
    """Where the engine does something else than the kernel, a line each."""
    found = []
    for name, one, other in zip(Outcome._fields, kernel, engine, strict=True):
        same = _alike(one, other) if isinstance(one, Reading) and isinstance(other, Reading) else one == other
        if not same:
            found.append(f"{name}: the kernel {_words(one)}, the engine {_words(other)}")
    return found


def _alike(one: Reading, other: Reading) -> bool:
    """Timers may differ by what a busy machine adds."""
    if one[:4] != other[:4] or (one.expires is None) != (other.expires is None):
        return False
    if one.expires is None or other.expires is None:
        return True
    return abs(one.expires - other.expires) <= max(SLACK, one.expires // 10)


def _words(what: tuple[object, ...]) -> str:
    if isinstance(what, Reading):
        timer = "" if what.timer is None else f" {what.timer} {what.expires} ms"
        return f"{what.state} queues {what.recv_q}/{what.send_q}{timer}"
    return " | ".join(str(one) for one in what) or "nothing"


def _begin(end: End, case: Case) -> Played:
    first, *others = case.event.split(THEN)
    # What was sacked and then ended by a FIN is an accepted difference that a walk may meet anywhere.
    peer = Peer(end, case.modern, sacks=not others)
    start = end.now()
    SITUATIONS[case.situation](peer)
    peer.take()
    EVENTS[first](peer)
    for event in others:
        if not peer.follow():
            break
        EVENTS[event](peer)
    at = end.now()
    answer, calls = peer.take()
    then = end.reading()
    return Played(peer, at, answer, calls, then, end.now() - start < PROMPT or isinstance(end, EngineEnd))


def _finish(played: Played) -> Outcome:
    peer, end = played.peer, played.peer.end
    peer.listen(played.at + LATER)
    later, _ = peer.take()
    if played.then.state != "SYN_SENT":
        peer.say(".", peer.nxt - 1)
    probed, _ = peer.take()
    for name, argument in (("accept", 0), ("read", 0), ("read", 0)):
        if name != "accept" or peer.queue:
            peer.call(name, argument)
    if played.then.state not in ("SYN_SENT", "SYN_RECEIVED"):
        peer.call("write", 10)
    last_answer, last_calls = peer.take()
    last = end.reading()._replace(expires=None)
    outcome = Outcome(played.answer, played.calls, played.then, later, probed, last_calls, last_answer, last)
    _forget(peer)
    return outcome


def _forget(peer: Peer) -> None:
    peer.hang_up()
    peer.end.dispose()
