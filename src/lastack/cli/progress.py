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
    silent: bool,
    spell: Callable[[int, int | None], str] | None = None,
    share: Callable[[int, int], float] | None = None,
) -> Iterator[Callable[[int, int | None], None] | None]:
    """Something to be told (octets read, octets in all or None), or None where nobody watches.

    `spell` puts the two numbers in words where they are not octets; `share`: how full the bar is, where that is not
    the one number of the other.
    """
    if silent or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    shown = _Shown(spell or _octets, share or (lambda done, total: done / total))
    try:
        yield shown.told
    finally:
        shown.clear()


def _octets(done: int, total: int | None) -> str:
    return f"{min(done / total, 1.0):4.0%} of {total / 1e6:,.0f} MB" if total else f"{done / 1e6:,.0f} MB read"


@contextmanager
def steps(what: str, about_s: float = 0.0) -> Iterator[Callable[[int, int], None] | None]:
    """Something to be told (done, in all) now and then, or None where nobody watches.

    `about_s`: how long all of it takes, where that is known; what is shown is then how much of that has passed.
    """
    begin = time.monotonic()

    def spell(done: int, total: int | None) -> str:
        spent = time.monotonic() - begin
        of = f" of about {about_s:.0f}" if about_s > spent else ""
        return f"{done} of {total} {what}, {spent:.0f}{of} s"

    def share(done: int, total: int) -> float:
        return min((time.monotonic() - begin) / about_s, 0.99) if about_s else done / total

    with progress(False, spell, share) as told:
        yield told


class _Shown:
    def __init__(self, spell: Callable[[int, int | None], str], share: Callable[[int, int], float]) -> None:
        self._spell = spell
        self._share = share
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
            full = round(min(self._share(done, total), 1.0) * _BAR)
            line = f"[{'#' * full}{'.' * (_BAR - full)}] {line}"
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave nothing on the screen."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
