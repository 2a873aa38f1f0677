"""Where lines go: a thread that writes, so that a reader who stalls never holds up who reads the kernel's rings."""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from lastack.errors import CallError

from .lines import Lines

if TYPE_CHECKING:
    from lastack.live.transitions.life import Step
    from lastack.model.record import Array

MOST: Final = 1 << 19
"""So many changes wait for the reader at most: about 50 MB."""
_PIECE: Final = 1 << 13
"""So many changes are made into lines at a time."""


class Outlet:
    """Writes changes of state and notices, a line each, to a descriptor, in the order in which they were put in.

    `put` never waits: changes that find `most` others waiting are dropped and counted in `dropped`, and a notice tells
    the reader where and how many. `written` counts those that went out. `broken` is what the system said when writing
    was no longer possible: BrokenPipeError where the reader has gone.
    """

    def __init__(self, descriptor: int, most: int = MOST) -> None:
        self._descriptor = descriptor
        self._most = most
        self._waiting: deque[tuple[Array, Array] | bytes] = deque()
        self._count = 0
        self._gap = 0
        self._over = False
        self._news = threading.Condition()
        self.written = self.dropped = 0
        self.broken: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="lastack outlet", daemon=True)
        self._thread.start()

    def put(self, step: Step) -> None:
        """Have the changes of a step written."""
        count = len(step.changes)
        if not count:
            return
        with self._news:
            if self.broken is not None:
                return
            if self._count and self._count + count > self._most:
                self.dropped += count
                self._gap += count
                return
            self._close_gap()
            self._count += count
            self._waiting.append((step.changes, step.stayed))
            self._news.notify()

    def tell(self, event: str, **facts: object) -> None:
        """Have a notice written: a line with the event's name, the time and the facts."""
        with self._news:
            self._close_gap()
            self._waiting.append(_notice(event, facts))
            self._news.notify()

    def finish(self, event: str, **facts: object) -> None:
        """Wait until everything is written, however long the reader takes, and then a last notice with the totals."""
        with self._news:
            self._close_gap()
            self._over = True
            self._news.notify()
        # In short waits: a signal's handler runs between them only.
        while self._thread.is_alive():
            self._thread.join(0.1)
        self._write(_notice(event, {"changes": self.written, "dropped": self.dropped, **facts}))

    def check(self) -> None:
        """Raise what has made writing impossible: BrokenPipeError where the reader has gone, else CallError."""
        if isinstance(self.broken, BrokenPipeError):
            raise self.broken
        if self.broken is not None:
            raise CallError(f"cannot write any more: {self.broken.strerror}") from self.broken

    def _close_gap(self) -> None:
        if self._gap:
            self._waiting.append(_notice("dropped", {"changes": self._gap}))
            self._gap = 0

    def _run(self) -> None:
        lines = Lines()
        while True:
            with self._news:
                while not self._waiting and not self._over:
                    self._news.wait()
                if not self._waiting:
                    return
                item = self._waiting.popleft()
            if isinstance(item, bytes):
                self._write(item)
                continue
            for first in range(0, len(item[0]), _PIECE):
                changes, stayed = (part[first : first + _PIECE] for part in item)
                self._write(lines.of(changes, stayed))
                with self._news:
                    self._count -= len(changes)
                    self.written += 0 if self.broken else len(changes)

    def _write(self, text: bytes | memoryview) -> None:
        rest = memoryview(text)
        try:
            while rest and self.broken is None:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # whoever shares the descriptor has made it so
                    select.select([], [self._descriptor], [])
        except OSError as error:
            with self._news:
                self.broken = error
                self._waiting.clear()


def _notice(event: str, facts: dict[str, object]) -> bytes:
    return json.dumps({"event": event, "at_ns": time.time_ns(), **facts}, separators=(",", ":")).encode() + b"\n"
