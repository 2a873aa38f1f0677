"""Which looks are recorded: one in its time, whatever becomes of the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from lastack.archive.reader import Recording
from lastack.model.state import State
from lastack.model.time import MINUTE, SECOND
from lastack.watch.service import Kept, _Keeper

from .looks import NOON, connections, seen

pytest.importorskip("pyarrow")

HOUR = 60 * MINUTE


def recorded(directory: Path, *times: int) -> list[int]:
    """Offer looks at these times; which of them are there afterwards."""
    with _Keeper(Kept(directory, MINUTE)) as keeper:
        for at in times:
            keeper.take(seen(connections(1, State.CLOSE_WAIT), at=at), "")
            if keeper._writing is not None:
                keeper._writing.result(10)
    found = Recording(directory)
    return [at for at in times if found.at(at).at == at]


def test_a_look_in_its_time_is_kept_and_those_between_are_not(tmp_path: Path) -> None:
    times = [NOON + seconds * SECOND for seconds in (0, 10, 59, 60, 61, 125)]
    assert recorded(tmp_path, *times) == [times[0], times[3], times[5]]


def test_a_clock_that_is_set_back_does_not_end_the_recording(tmp_path: Path) -> None:
    times = [NOON, NOON - HOUR, NOON - HOUR + 10 * SECOND, NOON - HOUR + MINUTE]
    assert recorded(tmp_path, *times) == [times[0], times[1], times[3]]
