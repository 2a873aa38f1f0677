"""Ages of connections: their histogram, and the rate at which they came."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lastack.model.finding import Histogram
from lastack.model.time import MINUTE, SECOND, Nanos

_BOUNDS: Final = (10 * SECOND, MINUTE, 10 * MINUTE, 60 * MINUTE, 24 * 60 * MINUTE)
_LABELS: Final = ("under 10 s", "10 s to 1 min", "1 to 10 min", "10 min to 1 h", "1 h to 1 d", "over 1 d")
_ENOUGH: Final = 5
_WINDOWS: Final = (MINUTE, 10 * MINUTE, 60 * MINUTE)


def histogram(ages: NDArray[np.int64], title: str = "in this state for at least") -> Histogram:
    """How many of the ages (ns) fall into each of six buckets from seconds to days."""
    counts = np.bincount(np.searchsorted(_BOUNDS, ages, side="right"), minlength=len(_LABELS))
    return Histogram(title, _LABELS, tuple(int(count) for count in counts))


def births_per_second(ages: NDArray[np.int64]) -> float:
    """The rate at which connections entered their state, from their ages alone.

    Over the shortest of 1 min, 10 min and 1 h that saw enough of them to count; over the oldest age otherwise.
    """
    if not len(ages):
        return 0.0
    oldest: Nanos = max(int(ages.max()), SECOND)
    for window in _WINDOWS:
        young = int(np.count_nonzero(ages <= window))
        if window < oldest and young >= _ENOUGH:
            return young * SECOND / window
    return len(ages) * SECOND / oldest
