"""The engine and a Linux kernel are told the same, and must do the same: every event in every state."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest

from lastack.model.time import MILLISECOND

from .accepted import ACCEPTED, PAGE, Difference, page
from .ends import End, EngineEnd, KernelEnd, Wire
from .events import CALLS, EVENTS, SEGMENTS, STAMPED
from .peer import Peer
from .play import THEN, Case, Outcome, differences, engine, kernel
from .situations import SITUATIONS

ATTEMPTS = 3
"""A difference must show every time: a busy machine may come too late once."""
IN_IPV6 = ("CLOSED", "LISTEN", "SYN_SENT", "ESTABLISHED", "FIN_WAIT_2, closed", "TIME_WAIT", "LAST_ACK")


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire.open() as opened:
        yield opened


def unexplained(case: Case, one: Outcome, other: Outcome) -> list[str]:
    """The differences that no entry of the table covers."""
    fields = {field for entry in ACCEPTED if entry.covers(case) for field in entry.fields}
    return [line for line in differences(one, other) if line.split(":")[0] not in fields]


def disagreements(wire: Wire, cases: Iterable[Case]) -> list[str]:
    """Where the two differ, and do so every time."""
    left, found = list(cases), dict[Case, list[str]]()
    for _ in range(ATTEMPTS):
        found = {case: lines for case, seen in kernel(wire, left) if (lines := unexplained(case, seen, engine(case)))}
        left = list(found)
    return [f"{case}\n    " + "\n    ".join(lines) for case, lines in found.items()]


@pytest.mark.root
@pytest.mark.parametrize("modern", [True, False], ids=["with options", "without options"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_engine_answers_as_linux_does(wire: Wire, situation: str, modern: bool) -> None:
    events = EVENTS if modern else {**SEGMENTS, **CALLS}
    found = disagreements(wire, [Case(situation, event, modern) for event in events])
    assert not found, "\n".join(found)


@pytest.mark.root
@pytest.mark.parametrize("situation", IN_IPV6)
def test_the_engine_answers_as_linux_does_in_ipv6(wire: Wire, situation: str) -> None:
    events = [*SEGMENTS][::3] + [*STAMPED][::4] + ["close", "write", "shutdown write"]
    found = disagreements(wire, [Case(situation, event, True, 6) for event in events])
    assert not found, "\n".join(found)


def walks(seed: int, count: int) -> Iterator[Case]:
    """Four events in a row, by chance. Those that a difference speaks of are left out, and those that race a timer."""
    dice = random.Random(seed)
    starts = [name for name in SITUATIONS if name.split(",")[0] not in ("CLOSED", "LISTEN", "SYN_SENT", "SYN_RECEIVED")]
    starts = [name for name in starts if name not in ("ESTABLISHED, accepted", "ESTABLISHED, connected")]
    events = [
        event
        for event in EVENTS
        if not any(one.covers(Case(start, event, True)) for one in ACCEPTED for start in starts)
        and not event.startswith(("URG", "window shut"))
    ]
    for _ in range(count):
        modern = dice.random() < 0.6
        chosen = [dice.choice([one for one in events if modern or one not in STAMPED]) for _ in range(4)]
        yield Case(dice.choice(starts), THEN.join(chosen), modern)


@pytest.mark.root
@pytest.mark.parametrize("seed", range(4))
def test_the_engine_follows_linux_through_several_events(wire: Wire, seed: int) -> None:
    found = disagreements(wire, list(walks(seed, 75)))
    assert not found, "\n".join(found)


@pytest.mark.root
@pytest.mark.parametrize("difference", ACCEPTED, ids=lambda one: one.name)
def test_an_accepted_difference_is_still_one(wire: Wire, difference: Difference) -> None:
    cases = [
        case
        for situation in SITUATIONS
        for event in EVENTS
        for modern in (True, False)
        if difference.covers(case := Case(situation, event, modern)) and (modern or event not in STAMPED)
    ]
    seen = {
        line.split(":")[0] for case, outcome in kernel(wire, cases[:40]) for line in differences(outcome, engine(case))
    }
    assert seen & set(difference.fields), f"{difference.name} is gone: take it off the list"


def test_the_page_of_differences_says_what_the_tests_accept() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.differential.accepted"


# -- what takes time


def both(wire: Wire, number: int, **settings: int) -> tuple[Peer, Peer]:
    """The same peer for a kernel and for an engine. `settings`: the engine's sysctls, which are also the wire's."""
    here = 19_100 + number
    ends: tuple[End, End] = (KernelEnd(wire, 4, here, 39_000), EngineEnd(4, here, 39_000, **settings))
    return Peer(ends[0], True), Peer(ends[1], True)


def forget(*peers: Peer) -> None:
    for peer in peers:
        peer.hang_up()
        peer.end.dispose()


RESTARTING = [
    (situation, event)
    for situation in ("TIME_WAIT", "FIN_WAIT_2, closed")
    for event in ("FIN seen before", "ACK", "keepalive probe", "text seen before", "RST ahead", "SYN far behind")
] + [
    ("TIME_WAIT", event)
    for event in ("text", "text ahead", "old FIN seen before", "old SYN", "ACK without a stamp", "SYN behind")
]


def restarted(wire: Wire, cases: list[tuple[str, str]], **settings: int) -> list[tuple[str, int]]:
    """Let each event happen 1.5 s after its situation: what is left of the wait (ms), on which the two must agree."""
    pairs = [both(wire, number, **settings) for number in range(len(cases))]
    for (situation, _), pair in zip(cases, pairs, strict=True):
        for peer in pair:
            SITUATIONS[situation](peer)
    pairs[0][0].end.rest(1500 * MILLISECOND)
    left = []
    for (situation, event), (there, here) in zip(cases, pairs, strict=True):
        here.end.rest(1500 * MILLISECOND)
        for peer in (there, here):
            EVENTS[event](peer)
        left.append((f"{situation}: {event}", there.end.reading(), here.end.reading()))
        forget(there, here)
    near = 700
    assert not [
        row for row in left if row[1].state != row[2].state or abs((row[1].expires or 0) - (row[2].expires or 0)) > near
    ]
    return [(name, one.expires or 0) for name, one, _ in left]


@pytest.mark.root
def test_the_same_segments_restart_the_two_msl_wait(wire: Wire) -> None:
    remaining = [left for _, left in restarted(wire, RESTARTING)]
    assert any(left > 59_500 for left in remaining), "some must restart it"
    assert any(0 < left < 59_000 for left in remaining), "and some must not"


@pytest.mark.root
def test_a_reset_that_is_ignored_does_not_restart_the_two_msl_wait() -> None:
    cases = [("TIME_WAIT", event) for event in ("RST", "RST ahead", "ACK", "FIN seen before")]
    with Wire.open(tcp_rfc1337=1) as protected:
        remaining = dict(restarted(protected, cases, tcp_rfc1337=1))
    assert [left > 59_500 for left in remaining.values()] == [False, False, True, True], remaining
    assert all(left > 57_000 for left in remaining.values()), "and none may end it"


WAITING: dict[str, tuple[str, str, int]] = {
    "the SYN": ("SYN_SENT", "read", 3300),
    "the SYN,ACK": ("SYN_RECEIVED", "read", 3300),
    "text": ("ESTABLISHED, unanswered", "read", 1700),
    "the FIN": ("ESTABLISHED", "shutdown write", 1700),
    "the FIN of an orphan": ("FIN_WAIT_1, closed", "read", 1700),
    "the last FIN": ("LAST_ACK", "read", 1700),
    "the FIN of CLOSING": ("CLOSING, closed", "read", 1700),
    "a delayed ACK": ("ESTABLISHED, unread", "text", 300),
    "the ACK of a FIN that nothing follows": ("ESTABLISHED", "FIN", 300),
    "a probe of a shut window": ("ESTABLISHED", "window shut, write", 1700),
}


def _shut_the_window(peer: Peer) -> None:
    peer.say(".", window=0)
    peer.call("write", 10)


Sent = list[tuple[int, str]]
"""Segments, each with how many milliseconds after the event it left."""


def left_by_themselves(wire: Wire, names: Iterable[str], number: int) -> dict[str, tuple[Sent, Sent]]:
    """What the kernel sends and what the engine sends, while nothing more happens, in the situations of these names."""
    pairs = {name: both(wire, number + place) for place, name in enumerate(names)}
    began = {}
    for name, pair in pairs.items():
        situation, event, _ = WAITING[name]
        for peer in pair:
            SITUATIONS[situation](peer)
            EVENTS.get(event, _shut_the_window)(peer)
            peer.take()
            began[peer] = peer.end.now()
    longest = max(WAITING[name][2] for name in pairs)
    kernel_end = next(iter(pairs.values()))[0].end
    kernel_end.rest((longest + 100) * MILLISECOND)
    found = {}
    for name, pair in pairs.items():
        duration = WAITING[name][2]
        pair[1].end.rest(duration * MILLISECOND)
        there, here = (
            [
                (after, peer.spell(segment))
                for at, segment in peer.end.sent()
                if (after := (at - began[peer]) // MILLISECOND) <= duration
            ]
            for peer in pair
        )
        found[name] = there, here
        forget(*pair)
    return found


def alike(there: Sent, here: Sent) -> bool:
    """Whether there was something, and the same was sent at nearly the same time."""
    same = [one[1] for one in there] == [one[1] for one in here]
    near = all(abs(one[0] - other[0]) <= max(40, one[0] // 8) for one, other in zip(there, here, strict=False))
    return bool(there) and same and near


@pytest.mark.root
def test_what_leaves_by_itself_leaves_at_the_same_time(wire: Wire) -> None:
    left = list(WAITING)
    wrong: dict[str, tuple[Sent, Sent]] = {}
    for attempt in range(ATTEMPTS):
        seen = left_by_themselves(wire, left, 100 + attempt * len(WAITING))
        wrong = {name: sent for name, sent in seen.items() if not alike(*sent)}
        left = list(wrong)
        if not left:
            break
    assert not wrong
