"""A BPF ring buffer of records of one kind, read in bulk through shared memory.

The kernel appends and moves the producer's position; this process copies all records that are complete, as one array,
and moves the consumer's. Each record has a header of eight octets whose first word is its length, with a bit that is
set until it is complete. Source: Documentation/bpf/ringbuf.rst, kernel/bpf/ringbuf.c.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lastack.errors import KernelError

from .maps import RING, Map
from .syscall import refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADER: Final = 8
_BUSY: Final = 1 << 31


class Ring:
    """Records of the layout `kind` (a multiple of eight octets), `octets` of them at most, a power of two."""

    def __init__(self, name: str, kind: np.dtype[Any], octets: int) -> None:
        """Raises KernelError where the kernel has no such maps, or not the memory."""
        self._kind = kind
        # Records are copied as plain octets; by their fields NumPy would copy one field at a time.
        octets_each = np.dtype((np.void, kind.itemsize))
        self._framed = np.dtype([("length", "u4"), ("page", "u4"), ("record", octets_each)])
        self._octets = octets
        self._position = 0
        self.map = Map.create(RING, name, 0, 0, octets)
        page, descriptor = mmap.PAGESIZE, self.map.fileno()
        try:
            self._consumer = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            # The data are mapped twice in a row, so that a record that goes over the end is in one piece.
            size = page + 2 * octets
            self._producer = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        except OSError as error:
            self.map.close()
            raise refused("map a BPF ring buffer", error) from error
        # As numbers of 64 bits, which are read and written at once: `struct` goes octet by octet, and the kernel would
        # take a position half written for a ring that is full.
        self._consumed = np.frombuffer(self._consumer, np.uint64, 1)
        self._produced = np.frombuffer(self._producer, np.uint64, 1)

    def read(self) -> NDArray[Any]:
        """All complete records, oldest first, as a copy; their place is free again. None yet: an empty array.

        Raises KernelError where what is there are not records of this kind.
        """
        step = self._framed.itemsize
        waiting = (int(self._produced[0]) - self._position) // step
        start = mmap.PAGESIZE + (self._position & (self._octets - 1))
        framed = np.frombuffer(self._producer, self._framed, waiting, start)
        lengths = framed["length"]
        if (lengths & ~np.uint32(_BUSY) != self._kind.itemsize).any():
            raise KernelError("the BPF ring buffer holds records of another kind")
        busy = np.flatnonzero(lengths & _BUSY)
        complete = int(busy[0]) if len(busy) else waiting
        records = framed["record"][:complete].copy().view(self._kind)
        self._position += complete * step
        self._consumed[0] = self._position
        return records

    def fileno(self) -> int:
        """A descriptor that is readable when there are records."""
        return self.map.fileno()

    def close(self) -> None:
        """Give the memory back. Again does nothing."""
        self.map.close()
        self._consumed = self._produced = np.zeros(1, np.uint64)
        self._consumer.close()
        self._producer.close()
