"""How far a command has come, on a terminal's standard error, once it takes longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_AFTER_S: Final = 1.0
_EVERY_S: Final = 0.2
_BAR: Final = 30


@contextmanager
def progress(
    silent: bool, spell: Callable[[int, int | None], str] | None = None
) -> Iterator[Callable[[int, int | None], None] | None]:
    """Something to be told (octets read, octets in all or None), or None where nobody watches.

    `spell` puts the two numbers in words where they are not octets.
    """
    if silent or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    shown = _Shown(spell or _octets)
    try:
        yield shown.told
    finally:
        shown.clear()


def _octets(done: int, total: int | None) -> str:
    return f"{min(done / total, 1.0):4.0%} of {total / 1e6:,.0f} MB" if total else f"{done / 1e6:,.0f} MB read"


@contextmanager
def steps(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Something to be told (done, in all), or None where nobody watches."""
    with progress(False, lambda done, total: f"{done} of {total} {what}" if total else what) as told:
        yield told


class _Shown:
    def __init__(self, spell: Callable[[int, int | None], str]) -> None:
        self._spell = spell
        self._next = time.monotonic() + _AFTER_S
        self._drawn = False

    def told(self, done: int, total: int | None) -> None:
        """Draw the line anew, now and then."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY_S
        self._drawn = True
        line = self._spell(done, total)
        if total:
            share = min(done / total, 1.0)
            full = round(share * _BAR)
            line = f"[{'#' * full}{'.' * (_BAR - full)}] {line}"
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave nothing on the screen."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
