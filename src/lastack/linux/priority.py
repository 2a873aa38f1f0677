"""Priority for those who play against the kernel in real time, which does not wait for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_NICE: Final = -15


@contextmanager
def before_others() -> Iterator[None]:
    """Inside, the calling thread and those it starts come before the machine's other work, where that is allowed."""
    former = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(_NICE, former))
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, former)
