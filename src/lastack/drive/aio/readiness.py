"""A descriptor that is readable when a connection is: for those who poll a socket beside the loop, as httpx does."""

from __future__ import annotations

import os


class Readiness:
    """Made when somebody asks for a socket's `fileno()`, for a descriptor each would be dear."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._up = False

    def fileno(self) -> int:
        """The descriptor, to be polled and not to be read; -1 when closed."""
        return self._descriptor

    def show(self, readable: bool) -> None:
        """Say how it is from now on."""
        if readable != self._up and self._descriptor >= 0:
            self._up = readable
            if readable:
                os.eventfd_write(self._descriptor, 1)
            else:
                os.eventfd_read(self._descriptor)

    def close(self) -> None:
        """Give the descriptor back. Harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
