"""A terminal that may go: then the view ends, where Textual's writer would end alone and its queue fill for ever."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from textual.drivers.linux_driver import LinuxDriver


class Terminal(LinuxDriver):
    """Textual's driver; what cannot be written any more is lost, and ends the application."""

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - handed on as it comes
        super().__init__(*given, **named)
        self._file: Any = _Writing(self._file, self._gone)

    def _gone(self) -> None:
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._app.exit)


class _Writing:
    """A file whose refusal to be written to is told to `gone`, and never raised."""

    def __init__(self, file: IO[str] | None, gone: Callable[[], None]) -> None:
        self._file: Any = file
        self._gone = gone

    def write(self, text: str) -> None:
        """Write the text, as long as that can be done."""
        try:
            self._file.write(text)
        except OSError:
            self._gone()

    def flush(self) -> None:
        """Have it leave, as long as that can be done."""
        try:
            self._file.flush()
        except OSError:
            self._gone()

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)
