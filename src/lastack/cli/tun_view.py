"""Driving until told to stop, and showing the connections meanwhile: at a key, at SIGUSR1, and at the end."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from .options import paper

if TYPE_CHECKING:
    from lastack.drive.blocking import Driver

_LOOK: Final = 0.25
"""Seconds between two looks at the keyboard and at what signals have asked for."""
_MOST_ROWS: Final = 20


class Watcher:
    """What keys and signals have asked for. `with watching() as watcher: watcher.drive(driver, done, file)`."""

    def __init__(self, keys: bool) -> None:
        self.stopped = False
        self._asked = False
        self._keys = keys

    def show(self, _number: int, _frame: object) -> None:
        """The connections are wanted."""
        self._asked = True

    def stop(self, number: int, _frame: object) -> None:
        """It is to end; who is in a hurry asks twice."""
        self.stopped = True
        signal.signal(number, signal.default_int_handler)

    def drive(self, driver: Driver, done: Callable[[], object], file: IO[str]) -> None:
        """Drive until something is done, or until it is to end; show the connections on `file` when asked."""
        next_look = 0.0
        while not self.stopped and not done():
            driver.step(_LOOK)
            now = time.monotonic()
            if now >= next_look:
                next_look = now + _LOOK
                if self._pressed() or self._asked:
                    self._asked = False
                    show_connections(driver, file)

    def _pressed(self) -> bool:
        """Whether a key was pressed; in the background the terminal is another's, and reading would stop us."""
        if not self._keys or os.tcgetpgrp(0) != os.getpgrp() or not select.select([0], [], [], 0)[0]:
            return False
        self._keys = bool(os.read(0, 1024))
        return self._keys


@contextmanager
def watching() -> Iterator[Watcher]:
    """Signals and keys are ours, and afterwards as they were."""
    watcher = Watcher(_foreground_terminal())
    asked: dict[int, Callable[[int, object], None]] = {
        signal.SIGUSR1: watcher.show,
        signal.SIGINT: watcher.stop,
        signal.SIGTERM: watcher.stop,
    }
    former = {number: signal.signal(number, handler) for number, handler in asked.items()}
    try:
        with _single_keys(watcher._keys):
            yield watcher
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _foreground_terminal() -> bool:
    try:
        return sys.stdin is not None and os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def _single_keys(wanted: bool) -> Iterator[None]:
    """A key counts without Enter, and is not echoed."""
    if not wanted:
        yield
        return
    import termios
    import tty

    former = termios.tcgetattr(0)
    tty.setcbreak(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, former)


def show_connections(driver: Driver, file: IO[str]) -> None:
    """How many connections there are in each state, and the first of them as `lastack connections` lists them."""
    import numpy as np

    from lastack.model.state import State
    from lastack.report.listing import render_connections

    now = driver.now()
    table = driver.stack.connections(now)
    if not len(table):
        file.write("No connections.\n")
        file.flush()
        return
    states = table.values("local_state")
    counts = [(state, int((states == int(state)).sum())) for state in State]
    width, color = paper(file, no_color=False)
    file.write(", ".join(f"{count:,} {state.name}" for state, count in counts if count) + "\n")
    render_connections(table.select(np.arange(min(len(table), _MOST_ROWS))), file, now=now, width=width, color=color)
    if len(table) > _MOST_ROWS:
        file.write(f"and {len(table) - _MOST_ROWS:,} more\n")
    file.flush()
