"""Which descriptors a thread in poll() or select() waits for: they stand in the memory of its process."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from .procfs import GONE
from .within import within

_POLLFD: Final = struct.Struct("=ihh")
"""struct pollfd of poll(2): descriptor, events wanted, events found."""
_MOST: Final = 4_096
"""Descriptors of one call that are looked at."""

_PATIENCE_S: Final = 0.2

CALLS: Final = frozenset({"poll", "ppoll", "select", "pselect6"})
"""The calls that are spoken of."""


def polled(thread: int, name: str, arguments: Sequence[int]) -> frozenset[int] | None:
    """The descriptors that a thread waits for, its /proc directory open as `thread`; None where it cannot be told.

    `name` and `arguments` are of the system call. Reading its memory takes the right to trace the process; that the
    thread still waits in the very same call afterwards is for the caller to see.
    """
    try:
        memory = os.open("mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=thread)
    except (*GONE, PermissionError):
        return None
    return within(_PATIENCE_S, lambda: _in_memory(memory, name, arguments))


def _in_memory(memory: int, name: str, arguments: Sequence[int]) -> frozenset[int] | None:
    """As `polled`; closes `memory`."""
    try:
        if name in ("poll", "ppoll"):
            return _in_array(memory, arguments[0], arguments[1])
        return frozenset(_in_sets(memory, arguments[0], arguments[1:3]))
    except (OSError, OverflowError, struct.error):
        return None
    finally:
        os.close(memory)


def _in_array(memory: int, at: int, count: int) -> frozenset[int] | None:
    if count > _MOST:
        return None
    octets = os.pread(memory, count * _POLLFD.size, at)
    return frozenset(fd for fd, events, _ in _POLLFD.iter_unpack(octets) if fd >= 0 and events)


def _in_sets(memory: int, count: int, places: Sequence[int]) -> Iterator[int]:
    """The members of the sets for reading and for writing: a bit each, below `count`, in native words."""
    size = (min(count, _MOST) + 63) // 64 * 8
    for at in places:
        if at:
            words = struct.unpack(f"={size // 8}Q", os.pread(memory, size, at))
            yield from (fd for fd in range(min(count, _MOST)) if words[fd // 64] >> fd % 64 & 1)
