"""Watching: the best source of changes, dumps for what it cannot tell, and the lives that come of both."""

from __future__ import annotations

import select
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from lastack.errors import LastackError
from lastack.live import sockdiag
from lastack.model.time import SECOND, Nanos

from . import seen
from .life import Step, joined
from .lives import Lives
from .places import Places
from .sampler import Sampler
from .source import Namespaces, TransitionSource, open_source

if TYPE_CHECKING:
    from lastack.model.record import Array

    from .seen import Look

EVERY: Final = SECOND
"""From one dump of the mini-sockets to the next, where they are cheap."""
_SHARE: Final = 50
"""Dumps of mini-sockets may take a fiftieth of a processor."""
_SETTLE: Final = SECOND // 10
"""From one step to the next at least: a fraction of the time that it takes to fill a ring."""
_REPAIR: Final = 10 * SECOND
"""From one dump of everything to the next, while changes are being lost."""


class Watcher:
    """Watches connections from when it is made until `close`; a context manager.

    `namespaces`: inodes of the network namespaces, None for all. `which`: the source, see `open_source`. `every`:
    from one dump of the mini-sockets to the next in ns. `wait`, then `step`, in turn, at least a few times a second:
    rings are finite. `lives` are the connections that are not over. Raises KernelError where no source can be had.
    """

    def __init__(self, namespaces: Namespaces, which: str = "best", every: Nanos = EVERY, most: int = 1 << 19) -> None:
        self.source: TransitionSource = open_source(namespaces, which)
        self.lives = Lives(most)
        self._places = Places(namespaces)
        self._lost = 0
        self._check_at: Nanos = 0
        self._settled: Nanos = 0
        self._broken: LastackError | None = None
        self._ended: list[Array] = []
        self._waiting = select.epoll()
        self._sampler: Sampler | None = None
        try:
            self.lives.look(seen.look(self._places.present(), sockdiag.ALL), first=True)
            self._waiting.register(self.source.fileno(), select.EPOLLIN)
            if self.source.exact:
                self._sampler = Sampler(self._places, seen.MINI, every, _SHARE)
                self._waiting.register(self._sampler.fileno(), select.EPOLLIN)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """A descriptor that is readable when `step` has something to tell."""
        return self._waiting.fileno()

    def wait(self, patience: Nanos, *others: int) -> None:
        """Return when there is something for `step`, but not at every single change; or after `patience` ns.

        `others`: descriptors that end the waiting at once when they are readable. Reading the rings for a few changes
        each time would cost more than the changes themselves.
        """
        settled = self._settled - time.monotonic_ns()
        if settled <= 0 or not select.select(others, [], [], settled / SECOND)[0]:
            select.select((self.fileno(), *others), [], [], max(patience - max(settled, 0), 0) / SECOND)
        self._settled = time.monotonic_ns() + _SETTLE

    @property
    def lost(self) -> int:
        """How many changes are known to have been lost since the beginning."""
        return self.source.lost

    def step(self) -> Step:
        """What has happened since the last step. It never waits.

        Raises KernelError as the source does, and where no dump can be had any more, at the step after the one that
        tells what happened until then.
        """
        look = self._look()
        steps = [self.lives.feed(self.source.read())]
        if self._sampler is not None:
            self._ended.append(steps[0].ended["cookie"])
            if look is not None:
                steps.append(self.lives.look(look, ended=np.concatenate(self._ended)))
                # Those that ended while it was taken are among these; the next one begins after now.
                self._ended = self._ended[-1:]
            self._make_good(self._sampler)
        return joined(steps)

    def finish(self) -> Step:
        """Stop, and tell all that has happened until now; where connections went that were let go is looked up."""
        self.source.stop()
        if self._sampler is not None:
            self._sampler.finish()
        steps = [self.step()]
        while len(steps[-1].changes) or (self._sampler is not None and self._sampler.waiting):
            steps.append(self.step())
        return joined(steps)

    def close(self) -> None:
        """Give everything back. Again does nothing."""
        if self._sampler is not None:
            self._sampler.close()
        self._waiting.close()
        self.source.close()

    def _look(self) -> Look | None:
        """The dump that has come since the last step, if any."""
        if self._broken is not None:
            raise self._broken
        try:
            return self._sampler.take() if self._sampler is not None else None
        except LastackError as error:
            self._broken = error
            return None

    def _make_good(self, sampler: Sampler) -> None:
        """Where changes were lost, have a dump of everything set the lives right."""
        now = time.monotonic_ns()
        if now < self._check_at:
            return
        self._check_at = now + SECOND
        lost = self.source.lost
        if lost != self._lost:
            self._lost = lost
            self._check_at = now + _REPAIR
            sampler.ask(sockdiag.ALL)
