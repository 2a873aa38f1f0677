"""What happens is counted as Linux counts it, under the same names (nstat)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lastack.tcp.counters import Counters

from .accepted import ACCEPTED
from .ends import End, EngineEnd, KernelEnd, Wire
from .events import EVENTS, STAMPED
from .peer import Peer
from .play import Case
from .situations import SITUATIONS

ATTEMPTS = 6
"""What else is going on in the namespace is counted too: a difference must show every time."""
NAMES = frozenset(Counters().as_dict(zeros=True))
Counted = dict[str, int]


def kernel_counters() -> Counted:
    """The namespace's own, of the thread that asks."""
    found: Counted = {}
    for name in ("snmp", "netstat"):
        lines = Path(f"/proc/thread-self/net/{name}").read_text().splitlines()
        for heads, values in zip(lines[::2], lines[1::2], strict=True):
            prefix = heads.split(":")[0]
            for head, value in zip(heads.split()[1:], values.split()[1:], strict=True):
                found[("Tcp" if prefix == "Tcp" else "") + head] = int(value)
    return {name: value for name, value in found.items() if name in NAMES}


def counted(end: End, case: Case) -> Counted:
    """What an event in a situation adds."""
    peer = Peer(end, case.modern)
    SITUATIONS[case.situation](peer)
    before = read(end)
    EVENTS[case.event](peer)
    after = read(end)
    peer.hang_up()
    end.dispose()
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


def read(end: End) -> Counted:
    return end.stack.counters.as_dict() if isinstance(end, EngineEnd) else kernel_counters()


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire.open() as opened:
        yield opened


@pytest.mark.root
@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_same_is_counted(wire: Wire, situation: str) -> None:
    cases = [Case(situation, event, modern) for event in EVENTS for modern in (True, False)]
    cases = [case for case in cases if case.modern or case.event not in STAMPED]
    cases = [case for case in cases if not any(one.covers(case) for one in ACCEPTED)]
    number = 0
    found: dict[Case, str] = {}
    for _ in range(ATTEMPTS):
        found.clear()
        for case in cases:
            number += 1
            there = counted(KernelEnd(wire, 4, 1024 + number % 18_000, 40_000 + number % 20_000), case)
            here = counted(EngineEnd(4, 20_000, 40_000), case)
            if there != here:
                ours = {name: here.get(name, 0) for name in here.keys() | there.keys()}
                theirs = {name: there.get(name, 0) for name in ours}
                differs = {name: (theirs[name], ours[name]) for name in sorted(ours) if theirs[name] != ours[name]}
                found[case] = f"{case}: {differs}"
        cases = list(found)
    assert not found, "(kernel, engine)\n" + "\n".join(found.values())
