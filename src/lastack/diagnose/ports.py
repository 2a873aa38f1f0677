"""When the ports towards one destination run out: arithmetic on the remaining lives of its TIME_WAIT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lastack.model.time import SECOND, TIME_WAIT_LENGTH, Nanos


@dataclass(frozen=True, slots=True)
class PortUse:
    """Ports taken towards one (source address, destination address, destination port).

    `waiting` are in TIME_WAIT, `blocking` are those of all of them that connect() cannot take over: everything, or,
    where tcp_tw_reuse applies, what is not in TIME_WAIT or too young in it. `births` is TIME_WAIT made a second.
    """

    waiting: int
    others: int
    blocking: int
    size: int
    births: float
    exhausted_in_ns: Nanos | None

    @property
    def used(self) -> int:
        """All ports taken."""
        return self.waiting + self.others

    @property
    def share(self) -> float:
        """Part of the range that is taken."""
        return self.used / self.size if self.size else 1.0

    @property
    def blocking_share(self) -> float:
        """Part of the range that no connect() can have now."""
        return self.blocking / self.size if self.size else 1.0


def port_use(
    remaining: NDArray[np.int64], others: int, size: int, window_ns: Nanos, reuse_delay_ns: Nanos | None
) -> PortUse:
    """How far the range of `size` ports is used, from the remaining lives (ns) of the TIME_WAIT.

    `others` are ports in any other state. `window_ns`: the time back from now in which births are counted.
    `reuse_delay_ns`: the age from which connect() takes a TIME_WAIT over, None where it never does.
    """
    waiting = len(remaining)
    births = births_per_second(remaining, window_ns)
    if reuse_delay_ns is None:
        return PortUse(waiting, others, waiting + others, size, births, exhausted_in(remaining, others, size, births))
    young = int(np.count_nonzero(remaining > TIME_WAIT_LENGTH - reuse_delay_ns))
    blocking = young + others
    steady = others + births * reuse_delay_ns / SECOND
    return PortUse(waiting, others, blocking, size, births, 0 if blocking >= size or steady > size else None)


def births_per_second(remaining: NDArray[np.int64], window_ns: Nanos) -> float:
    """TIME_WAIT made a second over the last `window_ns`, from what is left of the 60 s of each."""
    born = int(np.count_nonzero(remaining > TIME_WAIT_LENGTH - window_ns))
    return born * SECOND / window_ns


def exhausted_in(remaining: NDArray[np.int64], others: int, size: int, births: float) -> Nanos | None:
    """Time until no port of `size` is free, at `births` a second; None where that rate never fills the range.

    Until the i-th of those now waiting has ended, all but i of them and everything born since take a port; after
    60 s as many end as are born.
    """
    taken = len(remaining) + others
    if taken >= size:
        return 0
    if births <= 0:
        return None
    ends = np.sort(remaining)
    free_until = size - taken + np.arange(len(ends) + 1)  # ports free before the i-th end, without births
    full_at = free_until / births * SECOND
    until = np.append(ends, TIME_WAIT_LENGTH)
    first = np.flatnonzero(full_at <= until)
    return int(full_at[first[0]]) if len(first) else None
