"""From assembled code to running programs: load, attach, iterate, and find those that others have loaded.

Source: include/uapi/linux/bpf.h; kernel/bpf/syscall.c, kernel/bpf/bpf_iter.c.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from lastack.errors import KernelError

from .syscall import Descriptor, bpf, refused

if TYPE_CHECKING:
    from .assembler import Assembler

_PROG_LOAD, _PROG_NEXT_ID, _PROG_BY_ID = 5, 11, 13
_INFO, _RAW_TRACEPOINT_OPEN, _LINK_CREATE, _ITER_CREATE = 15, 17, 28, 33
TRACING: Final = 26
"""BPF_PROG_TYPE_TRACING."""
TRACEPOINT: Final = 23
"""BPF_TRACE_RAW_TP: a tracepoint whose arguments are typed by BTF."""
ITERATOR: Final = 28
"""BPF_TRACE_ITER."""

_LOAD: Final = struct.Struct("=2I2Q2IQ2I16s2I36xI")
"""union bpf_attr of BPF_PROG_LOAD up to attach_btf_id."""
_PROG_INFO: Final = struct.Struct("=2I8s2I3Q2IQ16s")
_PROG_INFO_OCTETS: Final = 224
_MISSES_AT: Final = 208
_LICENCE: Final = b"Dual BSD/GPL"
"""The kernel keeps most helpers for programs whose licence is compatible with its own."""
_MOST_MAPS: Final = 64
_PATIENCE: Final = 5
_LOG_OCTETS: Final = 1 << 18
_PIECE: Final = 1 << 20


class Info(NamedTuple):
    """What the kernel says of a program."""

    name: str
    kind: int
    maps: tuple[int, ...]
    misses: int


class Program(Descriptor):
    """A program that the verifier has accepted."""

    @classmethod
    def load(cls, name: str, code: Assembler, attach: int, target: int) -> Self:
        """Load a program for the function or type of the kernel with the BTF number `target`.

        `attach` is TRACEPOINT or ITERATOR. Raises KernelError, with the verifier's last words where it refuses.
        """
        octets = code.code()
        instructions, licence = ctypes.create_string_buffer(octets, len(octets)), ctypes.create_string_buffer(_LICENCE)
        log = ctypes.create_string_buffer(_LOG_OCTETS)

        def attributes(level: int) -> bytes:
            return _LOAD.pack(
                *(TRACING, len(octets) // 8, ctypes.addressof(instructions), ctypes.addressof(licence)),
                *(level, len(log) if level else 0, ctypes.addressof(log) if level else 0),
                *(0, 0, name.encode(), 0, attach, target),
            )

        try:
            return cls(_load(attributes(0)))
        except OSError:
            try:
                return cls(_load(attributes(1)))
            except OSError as error:
                said = " / ".join(log.value.decode(errors="replace").strip().splitlines()[-4:])
                problem = refused(f"load the BPF program {name}", error)
                raise KernelError(f"{problem}{': ' if said else ''}{said}") from error

    def attach(self) -> Descriptor:
        """Run it at its tracepoint for as long as what is returned is open. Raises KernelError."""
        try:
            return Descriptor(bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=Q2I", 0, self.fileno(), 0))[0])
        except OSError as error:
            raise refused("attach a BPF program", error) from error

    def iterate(self) -> bytes:
        """Run an iterator over all that there is; what it has written. Raises KernelError."""
        try:
            with (
                Descriptor(bpf(_LINK_CREATE, struct.pack("=4IQ2I", self.fileno(), 0, ITERATOR, 0, 0, 0, 0))[0]) as link,
                Descriptor(bpf(_ITER_CREATE, struct.pack("=2I", link.fileno(), 0))[0]) as run,
            ):
                return b"".join(iter(lambda: os.read(run.fileno(), _PIECE), b""))
        except OSError as error:
            raise refused("run a BPF iterator", error) from error

    def info(self) -> Info:
        """Its name and kind, the numbers of its maps, and how often it was skipped.

        The kernel skips a program that is already running on the same processor. Raises KernelError.
        """
        maps = (ctypes.c_uint32 * _MOST_MAPS)()
        wanted = bytearray(_PROG_INFO_OCTETS)
        # nr_map_ids and map_ids: where the numbers of the maps are to be written.
        struct.pack_into("=IQ", wanted, 52, _MOST_MAPS, ctypes.addressof(maps))
        told = ctypes.create_string_buffer(bytes(wanted), len(wanted))
        try:
            bpf(_INFO, struct.pack("=2IQ", self.fileno(), len(told), ctypes.addressof(told)))
        except OSError as error:
            raise refused("ask about a BPF program", error) from error
        kind, *_, count, _, name = _PROG_INFO.unpack_from(told.raw)
        misses = struct.unpack_from("=Q", told.raw, _MISSES_AT)[0]
        return Info(name.rstrip(b"\0").decode(errors="replace"), kind, tuple(maps[: min(count, _MOST_MAPS)]), misses)


def _load(attributes: bytes) -> int:
    """The descriptor of the program. A signal makes the verifier give up, so that it has to be asked again."""
    for _ in range(_PATIENCE):
        with suppress(BlockingIOError):
            return bpf(_PROG_LOAD, attributes)[0]
    return bpf(_PROG_LOAD, attributes)[0]


def running() -> Iterator[Program]:
    """The programs that are loaded now, whoever did; each is closed when the next is asked for.

    Raises KernelError where this may not be known (it takes CAP_SYS_ADMIN).
    """
    number = 0
    while True:
        try:
            _, answer = bpf(_PROG_NEXT_ID, struct.pack("=3I", number, 0, 0))
        except FileNotFoundError:
            return
        except OSError as error:
            raise refused("list BPF programs", error) from error
        number = struct.unpack_from("=I", answer, 4)[0]
        try:
            program = Program(bpf(_PROG_BY_ID, struct.pack("=3I", number, 0, 0))[0])
        except FileNotFoundError:
            continue  # it has ended meanwhile
        except OSError as error:
            raise refused("look at a BPF program", error) from error
        with program:
            yield program
