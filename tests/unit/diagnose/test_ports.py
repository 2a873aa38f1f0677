"""The arithmetic of ports towards one destination."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.diagnose.ports import births_per_second, exhausted_in, port_use
from lastack.model.time import MILLISECOND, SECOND, TIME_WAIT_LENGTH

WINDOW = 10 * SECOND


def lives(*seconds: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([round(each * SECOND) for each in seconds], np.int64)


def test_births_are_counted_in_the_last_part_of_the_minute() -> None:
    assert births_per_second(lives(59.9, 55, 51, 49, 1), WINDOW) == pytest.approx(0.3)


def test_no_time_wait_no_births() -> None:
    assert births_per_second(lives(), WINDOW) == 0


def test_a_full_range_is_exhausted_now() -> None:
    assert exhausted_in(lives(10, 20), 1, 3, births=5) == 0
    assert exhausted_in(lives(10, 20), 1, 3, births=0) == 0


def test_without_births_a_range_never_fills() -> None:
    assert exhausted_in(lives(10, 20), 1, 4, births=0) is None


def test_a_range_fills_as_fast_as_ports_are_taken() -> None:
    assert exhausted_in(lives(), others=10, size=30, births=2) == 10 * SECOND


def test_ports_that_come_back_meanwhile_put_it_off() -> None:
    # Ten are free, and ten more from the fourth second on: at two a second twenty last for ten.
    assert exhausted_in(lives(*[4] * 10), others=0, size=20, births=2) == 10 * SECOND


def test_a_range_larger_than_a_minutes_births_never_fills() -> None:
    assert exhausted_in(lives(*range(60)), others=0, size=62, births=1) is None
    assert exhausted_in(lives(*range(60)), others=0, size=60, births=1) is not None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 6_000), max_size=40),
    st.integers(0, 10),
    st.integers(1, 80),
    st.integers(1, 40),
)
def test_exhaustion_is_where_a_walk_through_the_minute_finds_it(
    hundredths: list[int], others: int, size: int, tenths: int
) -> None:
    births = tenths / 10
    remaining = np.array(hundredths, np.int64) * 10 * MILLISECOND
    at = np.union1d(np.arange(0, TIME_WAIT_LENGTH + 1, 10 * MILLISECOND), remaining - 1)
    alive = len(remaining) - np.searchsorted(np.sort(remaining), at, side="right")
    taken = others + alive + births * at / SECOND
    said = exhausted_in(remaining, others, size, births)
    if said is None:
        assert not (taken > size + 1e-6).any()
    else:
        full = np.flatnonzero(taken > size - 1e-6)
        assert abs(int(at[full[0]]) - said) <= 20 * MILLISECOND


def test_without_reuse_every_port_taken_blocks() -> None:
    use = port_use(lives(30, 40), 3, 10, WINDOW, None)
    assert (use.used, use.blocking, use.share, use.blocking_share) == (5, 5, 0.5, 0.5)


def test_with_reuse_only_young_time_wait_and_living_ones_block() -> None:
    use = port_use(lives(59.5, 58.9, 10), 2, 10, WINDOW, SECOND)
    assert (use.used, use.blocking) == (5, 3)
    assert use.exhausted_in_ns is None


def test_with_reuse_a_range_full_of_young_ones_is_exhausted() -> None:
    assert port_use(lives(*[59.9] * 10), 0, 10, WINDOW, SECOND).exhausted_in_ns == 0


def test_with_reuse_births_faster_than_a_range_a_delay_exhaust_it() -> None:
    assert port_use(lives(*[55] * 300), 0, 20, WINDOW, SECOND).exhausted_in_ns == 0  # 30 a second, 20 ports
    assert port_use(lives(*[55] * 300), 0, 31, WINDOW, SECOND).exhausted_in_ns is None


def test_an_empty_range_is_a_full_one() -> None:
    assert port_use(lives(), 0, 0, WINDOW, None).share == 1
