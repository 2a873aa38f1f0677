"""Dumps at intervals, in a thread of their own: events go on being read while the kernel walks its tables."""

from __future__ import annotations

import os
import queue
import threading
import time

from lastack.errors import KernelError, LastackError
from lastack.model.time import SECOND, Nanos

from . import seen
from .places import Places
from .seen import Look


class Sampler:
    """Looks into `places` for sockets in `states` (bits of `1 << state`), every `every` ns or more rarely.

    Looking may take one in `share` parts of a processor's time: with many sockets the next look comes later.
    `fileno` is readable while there is a look to be taken. `ask` has the next one come at once, and cover other states.
    """

    def __init__(self, places: Places, states: int, every: Nanos, share: int) -> None:
        self._places = places
        self._states = states
        self._every = every
        self._share = share
        self._asked = 0
        self._looks: queue.SimpleQueue[Look | LastackError] = queue.SimpleQueue()
        self._ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        self._wake = threading.Event()
        self._over = self._last = False
        self._thread = threading.Thread(target=self._run, name="lastack sampler", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """A descriptor that is readable while there is a look to be taken; -1 once closed."""
        return self._ready

    @property
    def waiting(self) -> bool:
        """Whether there is a look to be taken."""
        return not self._looks.empty()

    def take(self) -> Look | None:
        """The oldest look that nobody has taken yet, or None. Raises the LastackError that ended the looking."""
        try:
            found = self._looks.get_nowait()
        except queue.Empty:
            return None
        os.eventfd_read(self._ready)
        if isinstance(found, LastackError):
            raise found
        return found

    def ask(self, states: int) -> None:
        """Look soon, at these states besides those always looked at."""
        self._asked |= states
        self._wake.set()

    def finish(self) -> None:
        """Take one look more and end the thread; what it saw can still be taken."""
        self._last = True
        self._end()

    def close(self) -> None:
        """End the thread, when it has finished the look that it is in, and give everything back. Again does nothing."""
        if self._ready >= 0:
            self._end()
            os.close(self._ready)
            self._ready = -1

    def _end(self) -> None:
        self._over = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._every
        while True:
            self._wake.wait(pause / SECOND)
            self._wake.clear()
            over = self._over
            if over and not self._last:
                return
            asked, self._asked = self._asked, 0
            begun = time.thread_time_ns()
            found: Look | LastackError
            try:
                found = seen.look(self._places.present(), self._states | asked)
            except LastackError as error:
                found = error
            except OSError as error:
                found = KernelError(f"cannot look at the sockets: {error.strerror}")
            # In this order: who takes a look can then be sure to read a one.
            os.eventfd_write(self._ready, 1)
            self._looks.put(found)
            if over or isinstance(found, LastackError):
                return
            pause = max(self._every, self._share * (time.thread_time_ns() - begun))
