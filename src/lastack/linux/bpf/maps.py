"""BPF maps that programs write and this process reads by mmap: arrays and rings.

Source: include/uapi/linux/bpf.h: BPF_MAP_CREATE; kernel/bpf/arraymap.c.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import Final, NamedTuple, Self

from .syscall import Descriptor, bpf, refused

_MAP_CREATE, _MAP_BY_ID, _INFO = 0, 14, 15
_CREATE: Final = struct.Struct("=7I16s")
_MAP_INFO: Final = struct.Struct("=6I16s")
ARRAY: Final = 2
PERCPU_ARRAY: Final = 6
RING: Final = 27
_MAPPABLE: Final = 1 << 10
"""BPF_F_MMAPABLE."""


class Info(NamedTuple):
    """What the kernel says of a map."""

    name: str
    kind: int
    value: int
    entries: int


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

    @classmethod
    def of(cls, number: int) -> Self:
        """The map with this number. Raises KernelError."""
        try:
            # Not read-only: the kernel would refuse to map it (kernel/bpf/syscall.c: bpf_map_mmap()).
            return cls(bpf(_MAP_BY_ID, struct.pack("=3I", number, 0, 0))[0])
        except OSError as error:
            raise refused("look at a BPF map", error) from error

    def info(self) -> Info:
        """Its name, kind, octets of a value and number of entries. Raises KernelError."""
        told = ctypes.create_string_buffer(_MAP_INFO.size)
        try:
            bpf(_INFO, struct.pack("=2IQ", self.fileno(), len(told), ctypes.addressof(told)))
        except OSError as error:
            raise refused("ask about a BPF map", error) from error
        kind, _, _, value, entries, _, name = _MAP_INFO.unpack(told.raw)
        return Info(name.rstrip(b"\0").decode(errors="replace"), kind, value, entries)


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
