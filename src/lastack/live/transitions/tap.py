"""The programs at the tracepoint, running: the maps that they fill, and what escaped them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from lastack.linux import sysctl
from lastack.linux.bpf import maps
from lastack.linux.bpf.btf import Btf
from lastack.linux.bpf.ring import Ring
from lastack.linux.bpf.syscall import require_first_pids

from .noted import HERE, NOTE, NOTES
from .program import COUNTS, UNTOLD, Outlets, Part, load
from .source import Namespaces

if TYPE_CHECKING:
    from lastack.model.record import Array

_FEWEST: Final = 1 << 16
_MOST: Final = 1 << 20
_BATCH: Final = 4096
"""COOKIE_LOCAL_BATCH."""


class Tap:
    """The programs, attached from when this is made until `stop`.

    `notes`: what they note of each socket, an array of NOTE that they go on filling. Whoever has CAP_SYS_ADMIN can
    find it from another process.
    """

    def __init__(self, namespaces: Namespaces, ring: Ring | None = None) -> None:
        """Tell of these namespaces, and put changes of state into `ring`, if one is given. Raises KernelError."""
        require_first_pids()
        with ExitStack() as made:
            count = _how_many()
            notes = made.enter_context(maps.Array.make(NOTES, NOTE.itemsize, count))
            self.notes: Array = np.frombuffer(notes.memory(count * NOTE.itemsize), NOTE)
            counts = made.enter_context(maps.Array.make("lastack_counts", COUNTS.size, 1))
            self._counts = made.enter_context(counts.memory(COUNTS.size))
            untold = made.enter_context(maps.Map.create(maps.PERCPU_ARRAY, "lastack_untold", 4, UNTOLD, 1))
            told = None if ring is None else ring.fileno()
            outlets = Outlets(notes.fileno(), count, told, counts.fileno(), untold.fileno())
            programs = load(Btf.of_kernel(), namespaces, outlets)
            self._teller = programs[Part.TELL]
            for program in programs.values():
                made.enter_context(program)
            self._links = [made.enter_context(program.attach()) for program in programs.values()]
            self._open: ExitStack | None = made.pop_all()
        self._lost = 0
        HERE[id(self)] = self.notes

    @property
    def lost(self) -> int:
        """Changes that found no place in the ring, or came when no program could be called."""
        if self._open is not None:
            skipped = self._teller.info().misses
            full, relieved = COUNTS.unpack_from(self._counts)
            self._lost = full + max(skipped - relieved, 0)
        return self._lost

    def stop(self) -> None:
        """Detach: nothing more is told. Again does nothing."""
        for link in self._links:
            link.close()

    def close(self) -> None:
        """Stop, and give everything back; the notes are forgotten. Again does nothing."""
        if self._open is not None:
            self.stop()
            _ = self.lost
            self._open.close()
            self._open = None
            self.notes = np.empty(0, NOTE)
            del HERE[id(self)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _how_many() -> int:
    """How many notes are kept, a power of two, at 56 octets each: for twice as many sockets as may be in TIME_WAIT.

    Each processor gives out cookies of a batch of its own (include/linux/cookie.h), so that those of one time lie as
    far apart as all batches are long: fewer would drive each other out.
    """
    most = sysctl.read("net.ipv4.tcp_max_tw_buckets") or ""
    wanted = max(2 * int(most) if most.isdecimal() else 0, 2 * _BATCH * (os.cpu_count() or 1), _FEWEST)
    return min(1 << (wanted - 1).bit_length(), _MOST)
