"""Changes of state found by comparing dumps of sock_diag: what is left where nothing else may be had.

What happened between two dumps is seen by its outcome only: a connection that began and ended in between is never seen,
unless it left a TIME_WAIT. Every row has the flag SAMPLED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.live import sockdiag
from lastack.model.time import SECOND, Nanos

from . import seen
from .lives import Lives
from .places import Places
from .record import none
from .sampler import Sampler
from .source import Namespaces, TransitionSource

if TYPE_CHECKING:
    from lastack.model.record import Array

EVERY: Final = SECOND // 5
"""From one dump to the next, where dumps are cheap."""
_SHARE: Final = 10
"""All that is known comes of these dumps, so they may take a tenth of a processor."""


class SampledSource(TransitionSource):
    """See TransitionSource. `every` is the time from one dump to the next in ns, where dumps are cheap.

    `lost` is always 0: what was not seen cannot be counted. Raises KernelError where the kernel refuses to list
    sockets.
    """

    name = "sock_diag"
    exact = False

    def __init__(self, namespaces: Namespaces, every: Nanos = EVERY) -> None:
        places = Places(namespaces)
        self._lives = Lives()
        self._lives.look(seen.look(places.present(), sockdiag.ALL), first=True)
        self._sampler = Sampler(places, sockdiag.ALL, every, _SHARE)

    @property
    def lost(self) -> int:
        """See TransitionSource."""
        return 0

    def fileno(self) -> int:
        """See TransitionSource."""
        return self._sampler.fileno()

    def read(self) -> Array:
        """See TransitionSource."""
        found = [none()]
        while (look := self._sampler.take()) is not None:
            found.append(self._lives.look(look, alone=True).changes)
        return np.concatenate(found)

    def stop(self) -> None:
        """See TransitionSource."""
        self._sampler.finish()

    def close(self) -> None:
        """See TransitionSource."""
        self._sampler.close()
