"""The write buffer's high and low water: a protocol is told to pause, and to resume (asyncio's flow control)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

HIGH: Final = 64 * 1024
"""Octets; low water is a quarter of high water where nothing else is said."""


class FlowControl(asyncio.Transport):
    """The part of a transport that has to do with how much is waiting to be sent."""

    _loop: asyncio.AbstractEventLoop
    _protocol: asyncio.BaseProtocol | None

    def __init__(self) -> None:
        super().__init__()
        self._high = HIGH
        self._low = HIGH // 4
        self._writing_paused = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set high and low water, in octets. Raises ValueError unless high >= low >= 0."""
        if high is None:
            high = HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._pause_if_full()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high water."""
        return self._low, self._high

    def _pause_if_full(self) -> None:
        if not self._writing_paused and self.get_write_buffer_size() > self._high:
            self._writing_paused = True
            self._tell("pause_writing")

    def _resume_if_low(self) -> None:
        if self._writing_paused and self.get_write_buffer_size() <= self._low:
            self._writing_paused = False
            self._tell("resume_writing")

    def _tell(self, name: str) -> None:
        """Call the protocol; what goes wrong there concerns neither the connection nor the caller."""
        call: Callable[[], None] = getattr(self._protocol, name)
        try:
            call()
        except Exception as error:
            self._loop.call_exception_handler(
                {
                    "message": f"protocol.{name}() failed",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
