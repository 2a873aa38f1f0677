"""BPF maps that programs write and this process reads by mmap: arrays and rings.

Source: include/uapi/linux/bpf.h: BPF_MAP_CREATE; kernel/bpf/arraymap.c.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final, Self

from .syscall import Descriptor, bpf, refused

_MAP_CREATE: Final = 0
_CREATE: Final = struct.Struct("=7I16s")
ARRAY: Final = 2
PERCPU_ARRAY: Final = 6
RING: Final = 27
_MAPPABLE: Final = 1 << 10
"""BPF_F_MMAPABLE."""


class Map(Descriptor):
    """A map of the kernel."""

    @classmethod
    def create(cls, kind: int, name: str, key: int, value: int, entries: int, flags: int = 0) -> Self:
        """A new map: octets of a key and a value, how many entries; of a ring `entries` are its octets.

        Raises KernelError.
        """
        try:
            number, _ = bpf(_MAP_CREATE, _CREATE.pack(kind, key, value, entries, flags, 0, 0, name.encode()))
        except OSError as error:
            raise refused(f"make the BPF map {name}", error) from error
        return cls(number)


class Array(Map):
    """Entries of one size, numbered from 0, in memory that the kernel and this process share."""

    @classmethod
    def make(cls, name: str, value: int, entries: int) -> Self:
        """A new array; `value` is a multiple of eight octets. Raises KernelError."""
        return cls.create(ARRAY, name, 4, value, entries, _MAPPABLE)

    def memory(self, octets: int) -> mmap.mmap:
        """Its entries, one after another, to read. Raises KernelError."""
        try:
            return mmap.mmap(self.fileno(), octets, mmap.MAP_SHARED, mmap.PROT_READ)
        except OSError as error:
            raise refused("look into a BPF map", error) from error
