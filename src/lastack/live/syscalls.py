"""The system calls that threads wait in, by the numbers of two architectures.

Numbers: arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h for aarch64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Call(NamedTuple):
    """A system call: its name, its number on x86_64 and on aarch64, and which arguments are descriptors it waits on."""

    name: str
    x86_64: int | None
    aarch64: int | None
    descriptors: tuple[int, ...] = ()


CALLS: Final = (
    Call("read", 0, 63, (0,)),
    Call("write", 1, 64, (0,)),
    Call("pread64", 17, 67, (0,)),
    Call("pwrite64", 18, 68, (0,)),
    Call("readv", 19, 65, (0,)),
    Call("writev", 20, 66, (0,)),
    Call("preadv2", 327, 286, (0,)),
    Call("pwritev2", 328, 287, (0,)),
    Call("recvfrom", 45, 207, (0,)),
    Call("recvmsg", 47, 212, (0,)),
    Call("recvmmsg", 299, 243, (0,)),
    Call("sendto", 44, 206, (0,)),
    Call("sendmsg", 46, 211, (0,)),
    Call("sendmmsg", 307, 269, (0,)),
    Call("sendfile", 40, 71, (0, 1)),
    Call("splice", 275, 76, (0, 2)),
    Call("tee", 276, 77, (0, 1)),
    Call("connect", 42, 203, (0,)),
    Call("accept", 43, 202, (0,)),
    Call("accept4", 288, 242, (0,)),
    Call("ioctl", 16, 29, (0,)),
    Call("close", 3, 57, (0,)),
    Call("poll", 7, None),
    Call("ppoll", 271, 73),
    Call("select", 23, None),
    Call("pselect6", 270, 72),
    Call("epoll_wait", 232, None),
    Call("epoll_pwait", 281, 22),
    Call("epoll_pwait2", 441, 441),
    Call("io_getevents", 208, 4),
    Call("io_uring_enter", 426, 426),
    Call("futex", 202, 98),
    Call("futex_waitv", 449, 449),
    Call("futex_wait", 455, 455),
    Call("nanosleep", 35, 101),
    Call("clock_nanosleep", 230, 115),
    Call("pause", 34, None),
    Call("rt_sigtimedwait", 128, 137),
    Call("rt_sigsuspend", 130, 133),
    Call("wait4", 61, 260),
    Call("waitid", 247, 95),
    Call("flock", 73, 32),
    Call("fcntl", 72, 25),
    Call("fsync", 74, 82),
    Call("fdatasync", 75, 83),
    Call("openat", 257, 56),
)

BY_MACHINE: Final[Mapping[str, Mapping[int, Call]]] = {
    "x86_64": {call.x86_64: call for call in CALLS if call.x86_64 is not None},
    "aarch64": {call.aarch64: call for call in CALLS if call.aarch64 is not None},
}
"""The calls by number, for each machine as uname(2) names it."""
