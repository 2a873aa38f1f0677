"""Reading /proc below one descriptor of a process's directory, which dies with the process.

A number that is given to another process meanwhile can then never mix the two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

GONE: Final = (FileNotFoundError, ProcessLookupError, NotADirectoryError)
"""What the kernel says of a process, thread or descriptor that has ended since it was listed."""

_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
_MOST: Final = 1 << 16
_STAT_FIELDS: Final = 20  # up to the start time


@contextmanager
def directory(path: str, home: int | None = None) -> Iterator[int]:
    """A descriptor of a directory, below the directory `home` where that is given. Raises OSError."""
    descriptor = os.open(path, _DIRECTORY, dir_fd=home)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def names(home: int, path: str) -> list[str]:
    """What a directory below `home` contains. Raises OSError."""
    with directory(path, home) as listed, os.scandir(listed) as entries:
        return [entry.name for entry in entries]


def read(home: int, path: str, most: int = _MOST) -> bytes:
    """The first `most` octets of a file below `home`. Raises OSError."""
    descriptor = os.open(path, _FILE, dir_fd=home)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def optional(home: int, path: str) -> bytes:
    """As `read`; nothing where there is no such file or it may not be read."""
    try:
        return read(home, path)
    except (*GONE, PermissionError):
        return b""


def stat(home: int) -> tuple[bytes, list[bytes]]:
    """The raw name in a process's or thread's `stat` and the fields after it, from the third (proc_pid_stat(5)).

    The name may hold any octets, even `)`. Raises OSError if it has gone, ValueError where the file is garbled.
    """
    text = read(home, "stat")
    end = text.rindex(b")")
    fields = text[end + 1 :].split()
    if len(fields) < _STAT_FIELDS:
        raise ValueError("stat is cut short")
    return text[text.index(b"(") + 1 : end], fields
