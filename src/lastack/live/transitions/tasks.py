"""Who a thread is: its process, name and network namespace, while it lives or from what the kernel remembers."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from lastack.model.time import SECOND, Nanos

_PROCESS: Final = re.compile(rb"^Tgid:\s*(\d+)", re.MULTILINE)
_KEPT: Final = 1 * SECOND
"""A number may be given to another thread, and a thread may take another name, so nothing is believed for longer."""
_MOST: Final = 512
"""Threads looked up at a time: in a storm of short processes the rest are told by their numbers alone."""


class Task(NamedTuple):
    """A thread: its process, that one's name (any octets), and the inode of its network namespace; 0 unknown."""

    pid: int
    command: bytes
    namespace: int


class Tasks:
    """Looks threads up by their number in /proc; the names of those that have ended in tracefs's `saved_cmdlines`."""

    __slots__ = ("_known", "_proc", "_saved", "_since")

    def __init__(self, saved: Path, proc: Path = Path("/proc")) -> None:
        self._saved = saved
        self._proc = proc
        self._known: dict[int, Task] = {}
        self._since: Nanos = 0

    def find(self, threads: list[int], now: Nanos) -> dict[int, Task]:
        """The threads of these numbers, at `now` by any steady clock, in ns."""
        if now - self._since > _KEPT:
            self._known.clear()
            self._since = now
        unknown = [thread for thread in threads if thread not in self._known]
        ended = []
        for thread in unknown[:_MOST]:
            found = self._look(thread)
            if found is None:
                ended.append(thread)
            else:
                self._known[thread] = found
        ended += unknown[_MOST:]
        if ended:
            names = self._saved_names()
            # Of a thread that has ended nothing says which process it was of; most are the first of theirs.
            self._known.update((thread, Task(thread, names.get(thread, b""), 0)) for thread in ended)
        return {thread: self._known[thread] for thread in threads}

    def _look(self, thread: int) -> Task | None:
        home = self._proc / str(thread)
        try:
            process = _PROCESS.search((home / "status").read_bytes())
            pid = int(process[1]) if process else thread
            command = (self._proc / str(pid) / "comm").read_bytes().removesuffix(b"\n")
            namespace = (home / "ns/net").stat().st_ino
        except OSError:
            return None
        return Task(pid, command, namespace)

    def _saved_names(self) -> dict[int, bytes]:
        names = {}
        with suppress(OSError):
            for line in self._saved.read_bytes().splitlines():
                number, _, name = line.partition(b" ")
                if number.isdigit():
                    names[int(number)] = name
        return names
