"""Changes of state told by BPF: a program at the tracepoint, and its ring read in bulk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from lastack.linux.bpf.ring import Ring

from .clock import UnixOffset
from .record import TRANSITION
from .source import Namespaces, TransitionSource
from .tap import Tap

if TYPE_CHECKING:
    from lastack.model.record import Array

_RING_OCTETS: Final = 1 << 25
"""Room for 350,000 changes of state, more than a second at the highest rates seen."""


class BpfSource(TransitionSource):
    """Every change of state, with the socket's cookie and the process that made it."""

    name = "bpf"
    exact = True

    def __init__(self, namespaces: Namespaces, octets: int = _RING_OCTETS) -> None:
        """Watch these namespaces; `octets` (a power of two) is the ring's size. Raises KernelError."""
        self._booted = UnixOffset(time.CLOCK_BOOTTIME)
        self._ring = Ring("lastack_changes", TRANSITION, octets)
        try:
            self._tap = Tap(namespaces, self._ring)
        except BaseException:
            self._ring.close()
            raise

    @property
    def lost(self) -> int:
        """Changes that found the ring full, or came while the program ran on the same processor."""
        return self._tap.lost

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to read; -1 once closed."""
        return self._ring.fileno()

    def read(self) -> Array:
        """What has happened since the last call; see TransitionSource."""
        changes = self._ring.read()
        changes["at"] += self._booted.now()
        return changes

    def stop(self) -> None:
        """Detach; what was told is still read."""
        self._tap.stop()

    def close(self) -> None:
        """Stop, and give everything back."""
        self._tap.close()
        self._ring.close()
