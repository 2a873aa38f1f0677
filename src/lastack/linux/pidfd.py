"""A socket of another process, taken by its descriptor: pidfd_open(2) and pidfd_getfd(2), since Linux 5.6.

What is taken is the socket itself and not a copy: what is done to it here, its process sees. It takes the right to
trace the process (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS): root, or its own user where Yama allows that.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lastack.errors import KernelError

from .required import require_linux

if TYPE_CHECKING:
    import ctypes

_PIDFD_GETFD: Final = 438
"""The same on every architecture, as all system calls from 424 on."""
_PIDFD_THREAD: Final = getattr(os, "O_EXCL", 0)
_SO_COOKIE: Final = 57
_GONE: Final = (errno.ESRCH, errno.EBADF, errno.ENOENT, errno.EINVAL)
"""The process has ended, or has no such descriptor. EINVAL: no descriptors of threads, which came with Linux 6.9."""


def take(pid: int, fd: int, cookie: int) -> socket.socket | None:
    """The socket behind a descriptor of a process, if it is the one with this cookie; None if it is not, or is gone.

    It is for the caller to close, soon: as long as it is held, a close() by its process sends no FIN. Raises
    PermissionError where the process may not be traced, and KernelError where the kernel is too old, or a sandbox
    forbids the call.
    """
    require_linux("a descriptor of another process")
    try:
        return _with_cookie(_taken(pid, pid, fd), cookie)
    except OSError as error:
        if error.errno not in _GONE:
            raise _refused(error) from error
    for thread in _other_threads(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            try:
                return _with_cookie(_taken(pid, thread, fd), cookie)
            except OSError as error:
                if error.errno not in _GONE:
                    raise _refused(error) from error
    return None


def _taken(pid: int, thread: int, fd: int) -> int:
    """A descriptor of our own for the socket; OSError (EBADF) where there is another file."""
    # Only a socket is taken: giving back a file of a dead network file system could wait for ever.
    if not Path(f"/proc/{pid}/task/{thread}/fd/{fd}").readlink().name.startswith("socket:"):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    process = os.pidfd_open(thread, 0 if thread == pid else _PIDFD_THREAD)
    try:
        return _pidfd_getfd(process, fd)
    finally:
        os.close(process)


@cache
def _library() -> ctypes.CDLL:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _pidfd_getfd(process: int, fd: int) -> int:
    import ctypes

    taken: int = _library().syscall(_PIDFD_GETFD, process, fd, 0)
    if taken < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return taken


def _with_cookie(taken: int, cookie: int) -> socket.socket | None:
    """The descriptor as a socket, if it is one and has the cookie; closed otherwise."""
    if not stat.S_ISSOCK(os.fstat(taken).st_mode):
        os.close(taken)
        return None
    found = socket.socket(fileno=taken)
    with suppress(OSError):  # not every kind of socket has a cookie
        if int.from_bytes(found.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder) == cookie:
            return found
    found.close()
    return None


def _other_threads(pid: int) -> list[int]:
    """The threads of a process whose first thread has ended: only they still have its descriptors."""
    home = Path(f"/proc/{pid}")
    with suppress(OSError, IndexError):
        if (home / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z":
            return [int(entry.name) for entry in (home / "task").iterdir() if entry.name != str(pid)]
    return []


def _refused(error: OSError) -> OSError | KernelError:
    if isinstance(error, PermissionError):
        return error
    needs = "; it takes Linux 5.6" if error.errno == errno.ENOSYS else ""
    return KernelError(f"cannot take a descriptor of another process: {error.strerror}{needs}")
