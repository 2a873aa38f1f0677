"""Histograms of ages, and rates from ages alone."""

from __future__ import annotations

import numpy as np
import pytest

from lastack.diagnose.ages import births_per_second, histogram
from lastack.model.time import MINUTE, SECOND

DAY = 24 * 60 * MINUTE


def ages(*seconds: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([round(each * SECOND) for each in seconds], np.int64)


def test_each_age_falls_into_the_bucket_that_its_label_names() -> None:
    found = histogram(ages(0, 9.9, 10, 59, 60, 599, 600, 3_599, 3_600, 86_399, 86_400, 1_000_000))
    assert found.counts == (2, 2, 2, 2, 2, 2)
    assert found.labels[0] == "under 10 s"
    assert found.labels[-1] == "over 1 d"
    assert len(found.labels) == len(found.counts)


def test_no_ages_fill_no_bucket() -> None:
    assert sum(histogram(ages()).counts) == 0


def test_the_rate_is_that_of_the_shortest_window_with_enough_in_it() -> None:
    assert births_per_second(ages(*[30] * 6, 7_200)) == pytest.approx(6 / 60)
    assert births_per_second(ages(*[30] * 4, *[300] * 2, 7_200)) == pytest.approx(6 / 600)


def test_a_few_old_ones_are_spread_over_their_whole_time() -> None:
    assert births_per_second(ages(100, 200)) == pytest.approx(2 / 200)


def test_those_of_a_moment_are_not_multiplied_to_thousands_a_second() -> None:
    assert births_per_second(ages(0.001, 0.002)) == 2


def test_none_have_no_rate() -> None:
    assert births_per_second(ages()) == 0
