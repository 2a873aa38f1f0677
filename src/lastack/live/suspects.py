"""What the owners of a few suspect sockets do about them: epoll sets that watch them, threads that wait on them.

From /proc/PID/fdinfo (the `tfd:` lines of epoll, proc_pid_fdinfo(5)) and /proc/PID/task/TID/{stat,syscall,wchan}. All
but `stat` take the right to trace the process: root, or its own user where Yama allows that. What a thread in poll() or
select() waits for stands in the memory of the process, where it is read (`polling`).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from lastack.model.host import Wait
from lastack.model.time import Nanos

from . import polling, procfs
from .procfs import GONE, PROC
from .syscalls import BY_MACHINE

MOST_SUSPECTS: Final = 1000
MOST_THREADS: Final = 512
"""Threads of one process that are looked at."""
MOST_DESCRIPTORS: Final = 32_768
"""Of a process with more, the epoll sets are not read: the kernel locks a set meanwhile, for about 1.5 us a descriptor
watched (measured), and the process has to wait."""

_MOST_FDINFO: Final = 1 << 22
_WATCHED: Final = re.compile(rb"^tfd:\s*(\d+) events:\s*([0-9a-f]+)(?:.* ino:([0-9a-f]+))?", re.MULTILINE)
_READABLE: Final = 0x1 | 0x40 | 0x2000  # EPOLLIN, EPOLLRDNORM, EPOLLRDHUP: what an end of file sets off
_STACKS_64: Final = 1 << 32  # below lies the stack of a 32-bit program, whose system calls have other numbers


def look(
    suspects: Iterable[tuple[int, int, int]], deadline_ns: Nanos, clock: Callable[[], Nanos], proc: Path = PROC
) -> tuple[Wait, ...]:
    """What is done about each suspect, given as (inode of the socket, pid, descriptor).

    Looks at the first MOST_SUSPECTS, and stops when `clock()` reaches `deadline_ns`: the suspects not come to by then
    have no Wait, nor have those whose descriptor has been closed. What may not be read is None in their Wait. Never
    raises for what /proc says.
    """
    by_pid: dict[int, list[tuple[int, int]]] = {}
    for inode, pid, fd in islice(suspects, MOST_SUSPECTS):
        by_pid.setdefault(pid, []).append((inode, fd))

    def late() -> bool:
        return clock() >= deadline_ns

    waits: list[Wait] = []
    for pid, sockets in by_pid.items():
        if late():
            break
        try:
            with procfs.directory(f"{proc}/{pid}") as home:
                waits += _of_process(home, pid, sockets, late)
        except (OSError, ValueError):
            continue
    return tuple(waits)


@dataclass(slots=True)
class _Threads:
    """The threads of a process. `calls`: by descriptor the call on it and its thread; `unknown`: there may be more."""

    total: int = 0
    running: int = 0
    unknown: bool = False
    calls: dict[int, tuple[str, int]] = field(default_factory=dict)
    waiting: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Watched:
    """What the epoll sets of a process watch for reading; by descriptor where the kernel does not tell the inode."""

    inodes: set[int] = field(default_factory=set)
    descriptors: set[int] = field(default_factory=set)
    unknown: bool = False


def _of_process(home: int, pid: int, sockets: list[tuple[int, int]], late: Callable[[], bool]) -> list[Wait]:
    threads = _threads(home, late)
    watched = _watched(home, late)
    waits = []
    for inode, fd in sockets:
        try:
            # After all has been read: what was said of it was said of this socket.
            if os.readlink(f"fd/{fd}", dir_fd=home) != f"socket:[{inode}]":
                continue
        except FileNotFoundError:
            continue
        polled = inode in watched.inodes or fd in watched.descriptors
        call, thread = threads.calls.get(fd, (None if threads.unknown else "", None))
        waits.append(
            Wait(
                inode=inode,
                pid=pid,
                fd=fd,
                polled=None if watched.unknown and not polled else polled,
                blocked=call,
                blocked_by=thread,
                threads=threads.total,
                threads_running=threads.running,
                waiting=tuple(threads.waiting.most_common()),
            )
        )
    return waits


def _threads(home: int, late: Callable[[], bool]) -> _Threads:
    names = procfs.names(home, "task")
    found = _Threads(total=len(names), unknown=len(names) > MOST_THREADS)
    for name in names[:MOST_THREADS]:
        if late():
            found.unknown = True
            break
        try:
            with procfs.directory(f"task/{name}", home) as thread:
                _add_thread(found, thread, int(name))
        except GONE:
            continue
        except (PermissionError, ValueError):
            found.unknown = True
    return found


def _add_thread(found: _Threads, thread: int, number: int) -> None:
    if procfs.stat(thread)[1][0] == b"R":
        found.running += 1
        return
    words = procfs.optional(thread, "syscall").split()
    calls = BY_MACHINE.get(os.uname().machine)
    call = None
    # The number, six arguments, stack pointer, instruction pointer. Otherwise it is in no call at all.
    if len(words) == 9:
        if calls is None or int(words[7], 16) < _STACKS_64:
            found.unknown = True
        else:
            call = calls.get(int(words[0]))
    if call is not None:
        found.waiting[call.name] += 1
        arguments = [int(word, 16) for word in words[1:7]]
        descriptors = [arguments[position] & 0xFFFF_FFFF for position in call.descriptors]
        if call.name in polling.CALLS:
            polled = polling.polled(thread, call.name, arguments)
            still = polled is not None and procfs.optional(thread, "syscall").split() == words
            found.unknown |= not still
            descriptors += polled if polled is not None and still else ()
        found.calls.update(dict.fromkeys(descriptors, (call.name, number)))
        return
    found.unknown |= not words
    where = os.fsdecode(procfs.optional(thread, "wchan"))
    if where not in ("", "0"):
        found.waiting[where] += 1


def _watched(home: int, late: Callable[[], bool]) -> _Watched:
    found = _Watched()
    try:
        names = procfs.names(home, "fd")
        if len(names) > MOST_DESCRIPTORS:
            return _Watched(unknown=True)
        for name in sorted(names, key=int):
            if late():
                return _Watched(found.inodes, found.descriptors, unknown=True)
            _add_set(found, home, name)
    except PermissionError:
        found.unknown = True
    return found


def _add_set(found: _Watched, home: int, name: str) -> None:
    try:
        kind = os.readlink(f"fd/{name}", dir_fd=home)
        # A ring may wait for the socket too, and does not tell.
        found.unknown |= kind == "anon_inode:[io_uring]"
        if kind != "anon_inode:[eventpoll]":
            return
        text = procfs.read(home, f"fdinfo/{name}", _MOST_FDINFO)
    except GONE:
        return
    found.unknown |= len(text) == _MOST_FDINFO
    for fd, events, inode in _WATCHED.findall(text):
        if int(events, 16) & _READABLE:
            if inode:
                found.inodes.add(int(inode, 16))
            else:
                found.descriptors.add(int(fd))
