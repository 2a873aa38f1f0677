"""Which processes hold which sockets: one pass over /proc/*/fd (proc_pid_fd(5)), and what /proc says of those found."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from lastack.errors import KernelError
from lastack.linux.required import require_linux
from lastack.model.host import Process
from lastack.model.time import SECOND

from . import cgroups, procfs
from .holders import Holders
from .procfs import GONE, PROC

_KERNEL_THREAD: Final = 0x0020_0000  # PF_KTHREAD (include/linux/sched.h)
_MANY: Final = 8_000
"""Wanted sockets from which a BPF iterator costs less than /proc; below, the making of its program does not pay."""
_USER: Final = re.compile(rb"^Uid:\s+\d+\s+(\d+)", re.MULTILINE)
_OPEN_FILES: Final = re.compile(rb"^Max open files\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Owners:
    """Who holds what: `holders` by socket inode, the processes of those and all their ancestors by pid.

    `unreadable` counts the processes that may not be looked into (that needs root), kernel threads not among them.
    """

    holders: Holders
    processes: Mapping[int, Process]
    unreadable: int


def owners(inodes: Collection[int] | None, proc: Path = PROC, pids: Collection[int] = ()) -> Owners:
    """Who holds the TCP sockets of these inodes (None: any socket).

    `pids`: processes that are wanted too, as far as they live. The pass never ends early: a socket may have further
    holders, up to the last process. Processes and descriptors that vanish meanwhile are left out. Many sockets are
    looked for by a BPF iterator, where that is allowed. Raises KernelError where `proc` cannot be read at all, or this
    process has no descriptor left to read with, or where the system is not Linux.
    """
    require_linux("finding the owners of sockets")
    wanted = None if inodes is None else frozenset(inodes)
    reader = _Reader(proc)
    try:
        found = _by_iterator(reader, wanted) if wanted is not None and len(wanted) >= _MANY else None
        if found is None and wanted != frozenset():
            found = _by_scan(reader, proc, wanted)
        holders, processes, unreadable = found or (Holders.of([]), {}, 0)
        reader.add({*pids} - processes.keys(), processes)
        reader.add_ancestors(processes)
    except OSError as error:
        raise KernelError(f"cannot read {proc}: {error.strerror}") from error
    return Owners(holders, processes, unreadable)


_Found = tuple[Holders, dict[int, Process], int]


def _by_iterator(reader: _Reader, wanted: frozenset[int]) -> _Found | None:
    """The owners without a look at every descriptor in /proc; None where that is not allowed."""
    from . import iterators

    try:
        descriptors = iterators.tcp_descriptors()
    except KernelError:
        return None
    descriptors = descriptors[np.isin(descriptors["inode"], np.fromiter(wanted, np.uint64, len(wanted)))]
    processes: dict[int, Process] = {}
    reader.add(np.unique(descriptors["pid"]).tolist(), processes)
    there = descriptors[np.isin(descriptors["pid"], list(processes))]
    return Holders(there["inode"], there["pid"], there["fd"]), processes, 0


def _by_scan(reader: _Reader, proc: Path, wanted: frozenset[int] | None) -> _Found:
    """The owners by every descriptor of every process in /proc. Raises OSError."""
    holding: list[tuple[int, int, int]] = []
    processes: dict[int, Process] = {}
    unreadable = 0
    for pid in _pids(proc):
        try:
            with procfs.directory(f"{proc}/{pid}") as home:
                found, descriptors = _sockets(home, wanted)
                process = reader.process(pid, home, descriptors) if found else None
        except GONE:
            continue
        except PermissionError:
            unreadable += not _holds_nothing(f"{proc}/{pid}")
            continue
        holding += [(inode, pid, fd) for inode, fd in found]
        if process is not None:
            processes[pid] = process
    return Holders.of(holding), processes, unreadable


class _Reader:
    """Reads processes; what many of them share is looked up once."""

    __slots__ = ("_booted_ns", "_frozen", "_mounts", "_proc", "_tick_ns")

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        # /proc/PID/stat counts from the same start as this clock; `btime` of /proc/stat is rounded to seconds.
        self._booted_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._tick_ns = SECOND // os.sysconf("SC_CLK_TCK")
        self._mounts = cgroups.mounts(proc)
        self._frozen: dict[str, bool] = {}

    def process(self, pid: int, home: int, descriptors: int | None) -> Process | None:
        """The process whose /proc directory `home` is; None where its `stat` is garbled. Raises OSError if gone."""
        try:
            command, fields = procfs.stat(home)
            state, ppid, started = fields[0].decode(), int(fields[1]), int(fields[19])
        except ValueError:
            return None
        groups = os.fsdecode(procfs.optional(home, "cgroup"))
        unit, container = cgroups.place(groups)
        user = _USER.search(procfs.optional(home, "status"))
        limit = _OPEN_FILES.search(procfs.optional(home, "limits"))
        # Reading a command line waits for the memory map's lock, which an uninterruptible process may hold for ever.
        line = b"" if state == "D" else procfs.optional(home, "cmdline")
        return Process(
            pid=pid,
            ppid=ppid,
            command=os.fsdecode(command),
            uid=int(user[1]) if user else os.fstat(home).st_uid,
            state=state,
            started_ns=self._booted_ns + started * self._tick_ns,
            executable=_executable(home),
            arguments=tuple(map(os.fsdecode, line.removesuffix(b"\0").split(b"\0"))) if line else (),
            unit=unit,
            container=container,
            descriptors=descriptors,
            descriptor_limit=int(limit[1]) if limit else None,
            frozen=self._is_frozen(groups),
        )

    def add(self, pids: Iterable[int], processes: dict[int, Process]) -> None:
        """Add the processes of these numbers, as far as they live and may be looked into."""
        for pid in pids:
            process = self._one(pid)
            if process is not None:
                processes[pid] = process

    def add_ancestors(self, processes: dict[int, Process]) -> None:
        """Add the parents of the processes, and theirs, up to the first of all."""
        chain = list(processes.values())
        for child in chain:
            parent = processes.get(child.ppid) or self._one(child.ppid)
            if parent is None:
                continue
            if parent.started_ns > child.started_ns:
                # The real one ended during the pass, and its number was given to another.
                processes[child.pid] = replace(child, ppid=0)
            elif parent.pid not in processes:
                processes[parent.pid] = parent
                chain.append(parent)

    def _one(self, pid: int) -> Process | None:
        try:
            with procfs.directory(f"{self._proc}/{pid}") as home:
                return self.process(pid, home, _count(home))
        except (*GONE, PermissionError):
            return None

    def _is_frozen(self, groups: str) -> bool:
        if groups not in self._frozen:
            self._frozen[groups] = cgroups.frozen(groups, self._mounts)
        return self._frozen[groups]


def _pids(proc: Path) -> Iterator[int]:
    with os.scandir(proc) as entries:
        for entry in entries:
            if entry.name.isdecimal():
                yield int(entry.name)


def _sockets(home: int, wanted: frozenset[int] | None) -> tuple[list[tuple[int, int]], int]:
    """The (inode, descriptor) of the wanted sockets, and how many descriptors of any kind there are."""
    found, count = _sockets_in(home, "fd", wanted)
    # The first thread may have ended while others live on: only they still have the descriptors. Any directory has two
    # links, and this one a further for each thread.
    if not count and os.stat("task", dir_fd=home).st_nlink > 3:
        for thread in procfs.names(home, "task"):
            try:
                found, count = _sockets_in(home, f"task/{thread}/fd", wanted)
            except GONE:
                continue
            if count:
                break
    return found, count


def _sockets_in(home: int, path: str, wanted: frozenset[int] | None) -> tuple[list[tuple[int, int]], int]:
    found: list[tuple[int, int]] = []
    count = 0
    readlink = os.readlink
    with procfs.directory(path, home) as directory, os.scandir(directory) as entries:
        for entry in entries:
            count += 1
            name = entry.name
            try:
                # Reading the link never waits; stat() would, on a file of a dead network file system.
                link = readlink(name, dir_fd=directory)
                if link[:8] == "socket:[":
                    inode = int(link[8:-1])
                    if wanted is None or inode in wanted:
                        found.append((inode, int(name)))
            except (FileNotFoundError, ValueError):
                continue
    return found, count


def _count(home: int) -> int | None:
    """How many descriptors a process has; None where that may not be known.

    Since Linux 6.2 the size of the directory tells, which no other directory of a process in /proc has.
    """
    try:
        size = 0 if os.fstat(home).st_size else os.stat("fd", dir_fd=home).st_size
        return size or len(procfs.names(home, "fd"))
    except PermissionError:
        return None


def _holds_nothing(path: str) -> bool:
    """Whether it can be told that the process has no descriptors: a kernel thread, a zombie, or gone by now."""
    try:
        with procfs.directory(path) as home:
            _, fields = procfs.stat(home)
            zombie = fields[0] == b"Z" and int(fields[17]) <= 1
            return zombie or bool(int(fields[6]) & _KERNEL_THREAD)
    except GONE:
        return True
    except (PermissionError, ValueError):
        return False


def _executable(home: int) -> str | None:
    try:
        return os.readlink("exe", dir_fd=home)
    except (*GONE, PermissionError):
        return None
