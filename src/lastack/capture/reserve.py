"""Columns of numbers that memory is set aside for and not used before it is touched, in huge pages where there are any.

The tables of a long capture are read at random: with pages of 4 KiB most of that time goes into finding the pages.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[Any]

_NO_RESERVE: Final = 0x4000
"""MAP_NORESERVE: a promise of memory that nobody has to keep (Linux)."""
_HUGE: Final = 2 << 20
_HUGE_PAGES: Final[int | None] = getattr(mmap, "MADV_HUGEPAGE", None)


def reserve(count: int) -> Numbers:
    """So many 64-bit zeros. Costs nothing until they are touched (Linux), or as NumPy has it."""
    import numpy as np

    if _HUGE_PAGES is None or count * 8 < _HUGE:
        return np.zeros(count, np.int64)
    pages = mmap.mmap(-1, count * 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    pages.madvise(_HUGE_PAGES)
    return np.frombuffer(pages, np.int64)


def release(numbers: Numbers, first: int) -> None:
    """Give back the memory of all numbers from `first` on: they are 0 again."""
    pages: Any = numbers
    while pages is not None and not isinstance(pages, mmap.mmap):
        pages = pages.obj if isinstance(pages, memoryview) else getattr(pages, "base", None)
    start = -(-first * 8 // _HUGE) * _HUGE
    if pages is not None and start < len(pages):
        pages.madvise(mmap.MADV_DONTNEED, start, len(pages) - start)
