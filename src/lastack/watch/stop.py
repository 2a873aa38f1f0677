"""The end of a watch: something that can be set, asked, and waited for; and signals that set it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Not set at first; a context manager. Any thread, and a signal's handler, may set it."""

    def __init__(self) -> None:
        self._told = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._told)

    def fileno(self) -> int:
        """A descriptor that is readable once this is set."""
        return self._told

    def set(self) -> None:
        """From now on it is set."""
        os.eventfd_write(self._told, 1)

    def is_set(self) -> bool:
        """Whether it is."""
        return bool(select.select([self._told], [], [], 0)[0])


@contextmanager
def signalled() -> Iterator[Stop]:
    """A Stop that SIGINT, SIGTERM or SIGHUP sets; at the next of them KeyboardInterrupt is raised."""
    with Stop() as stop:

        def tell(_number: int, _frame: FrameType | None) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            stop.set()

        former = {number: signal.signal(number, tell) for number in _SIGNALS}
        try:
            yield stop
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
