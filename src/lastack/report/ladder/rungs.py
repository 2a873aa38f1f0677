"""What a ladder says, whatever it is drawn with: a rung for every segment, change of state, silence and omission."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from lastack.model.history import History, LadderSegment, StateChange
from lastack.model.time import SECOND, Nanos, spoken
from lastack.wire.flags import FIN, RST, SYN, spelled

OPEN: Final = "open"
CLOSE: Final = "close"

SAMPLED: Final = "Sampled, so at the time shown or before"
"""What is said of states that were seen by looking now and then."""
_SILENCE: Final[Nanos] = SECOND
"""A pause from this on gets a rung of its own."""
_GONE: Final = ("", "CLOSED")


class Rung(NamedTuple):
    """One line of a ladder. `at` counts from the first event, and is None where the rung stands for a span of time.

    `states` are those of both sides once the rung has happened, and `entered` says which of them began with it.
    `segment` None: no segment passed. `remarks` are the segment's notes, the causes of the changes, or what was left
    out.
    """

    at: Nanos | None
    states: tuple[str, str]
    entered: tuple[bool, bool]
    segment: LadderSegment | None = None
    outward: bool = False
    remarks: tuple[str, ...] = ()


def rungs(history: History, most: int | None = None, around: str | Nanos | None = None) -> list[Rung]:
    """The rungs of a history, `most` of them at most: folded in the middle, or `around` what was asked for.

    `around` is OPEN (the first SYN), CLOSE (the first FIN or RST), or an instant in ns from the first event.
    """
    every = list(_rungs(history))
    if most is None or len(every) <= most:
        return every
    if around is None:
        head = most // 3
        return _kept(every, [(0, head), (len(every) - (most - head), len(every))])
    center = _place(every, around)
    first = max(min(center - most // 3, len(every) - most), 0)
    return _kept(every, [(first, first + most)])


def label(segment: LadderSegment, room: int) -> str:
    """A segment in at most `room` characters, as far as that can be done: `PSH,ACK 1:101 ack 501`."""
    numbers = f"{segment.seq}:{segment.seq + segment.length}" if segment.length else f"{segment.seq}"
    ack = "" if segment.ack is None else f" ack {segment.ack}"
    flags = spelled(segment.flags)
    for text in (f"{flags} {numbers}{ack}", f"{flags} {segment.seq}+{segment.length}{ack}", f"{flags} {numbers}"):
        if len(text) <= room:
            return text
    return flags


def clock(at: Nanos) -> str:
    """An instant of the ladder in seconds, to the microsecond while that can be read at a glance."""
    return f"{at / SECOND:.6f}" if at < 10_000 * SECOND else f"{at / SECOND:.3f}"


def _rungs(history: History) -> Iterator[Rung]:
    """All of them, in order of time."""
    lane = {name: number for number, name in enumerate(history.hosts)}
    current = _initial(history)
    start = min([segment.at for segment in history.segments] + [change.at for change in history.changes], default=0)
    changes = list(history.changes)
    last: Nanos | None = None
    taken = 0
    for segment in history.segments:
        while taken < len(changes) and changes[taken].at < segment.at:
            yield from _silence(last, changes[taken].at, current)
            last = changes[taken].at
            yield _change(changes[taken], lane, current, start)
            taken += 1
        yield from _silence(last, segment.at, current)
        last = segment.at
        first = taken
        while taken < len(changes) and changes[taken].at == segment.at:
            taken += 1
        before, beside, after = _around(changes[first:taken], segment)
        for change in before:
            yield _change(change, lane, current, start)
        entered = [False, False]
        for change in beside:
            _enter(change, lane, current, entered)
        fate = (segment.fate,) if segment.fate else ()
        outward = segment.host == history.hosts[0]
        yield Rung(
            segment.at - start, _pair(current), (entered[0], entered[1]), segment, outward, (*fate, *segment.notes)
        )
        for change in after:
            yield _change(change, lane, current, start)
    for change in changes[taken:]:
        yield from _silence(last, change.at, current)
        last = change.at
        yield _change(change, lane, current, start)
    if history.until is not None:
        yield from _lasting(last, history.until, current, start)


def _lasting(last: Nanos | None, until: Nanos, current: Sequence[str], start: Nanos) -> Iterator[Rung]:
    """What is still there after a silence at the end."""
    lasts = current[0] not in _GONE, current[1] not in _GONE
    if any(lasts):
        for silence in _silence(last, until, current):
            yield silence
            yield Rung(until - start, _pair(current), lasts, remarks=("watched until here",))


def _around(
    changes: Sequence[StateChange], segment: LadderSegment
) -> tuple[list[StateChange], list[StateChange], list[StateChange]]:
    """What changed before a segment left, with it, and after it came, all at the same instant.

    Its sender was in its last state when it sent it; its receiver went into the first because of it.
    """
    sent = [change for change in changes if change.host == segment.host]
    received = [change for change in changes if change.host != segment.host]
    return sent[:-1], [*sent[-1:], *received[:1]], received[1:]


def _initial(history: History) -> list[str]:
    """The state of each side before its first change; nothing where that is not known."""
    found = ["", ""]
    for change in reversed(history.changes):
        found[history.hosts.index(change.host)] = change.before.name
    return found


def _pair(current: Sequence[str]) -> tuple[str, str]:
    return current[0], current[1]


def _enter(change: StateChange, lane: dict[str, int], current: list[str], entered: list[bool]) -> None:
    current[lane[change.host]] = change.after.name
    entered[lane[change.host]] = True


def _change(change: StateChange, lane: dict[str, int], current: list[str], start: Nanos) -> Rung:
    entered = [False, False]
    _enter(change, lane, current, entered)
    return Rung(change.at - start, _pair(current), (entered[0], entered[1]), remarks=(change.cause,))


def _silence(last: Nanos | None, at: Nanos, current: Sequence[str]) -> Iterator[Rung]:
    if last is not None and at - last >= _SILENCE:
        yield Rung(None, _pair(current), (False, False), remarks=(f"{spoken(at - last)} of silence",))


# -- leaving out


def _place(every: Sequence[Rung], around: str | Nanos) -> int:
    """The rung that was asked for."""
    if isinstance(around, int):
        instants = [rung.at if rung.at is not None else 0 for rung in every]
        for index in range(1, len(instants)):
            instants[index] = max(instants[index], instants[index - 1])
        return min(bisect_left(instants, around), len(every) - 1)
    wanted = SYN if around == OPEN else FIN | RST
    found = (index for index, rung in enumerate(every) if rung.segment and rung.segment.flags & wanted)
    return next(found, 0 if around == OPEN else len(every) - 1)


def _kept(every: Sequence[Rung], spans: Sequence[tuple[int, int]]) -> list[Rung]:
    """Some spans of rungs, and in place of the others what they were."""
    found: list[Rung] = []
    done = 0
    for first, end in spans:
        found += _folded(every, done, first)
        found += every[first:end]
        done = end
    return found + _folded(every, done, len(every))


def _folded(every: Sequence[Rung], first: int, end: int) -> list[Rung]:
    segments = [(rung.segment, rung.outward) for rung in every[first:end] if rung.segment is not None]
    if first == end:
        return []
    octets = [sum(segment.length for segment, out in segments if out is way) for way in (True, False)]
    instants = [rung.at for rung in every[first:end] if rung.at is not None]
    took = f", within {spoken(instants[-1] - instants[0])}" if len(instants) > 1 else ""
    said = f"{len(segments):,} segments, {octets[0]:,} octets out, {octets[1]:,} in{took}"
    return [Rung(None, every[end - 1].states, (False, False), remarks=(said,))]
