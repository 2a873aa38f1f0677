"""Network namespaces: which there are, what they are called, and being inside one for a while.

A namespace belongs to a thread: `entered` and `private` move the calling thread alone and always bring it back.
Processes and threads that it starts meanwhile are born inside. /proc/self/net shows the namespace of the process's
first thread; what follows the calling thread is /proc/thread-self/net, and /proc/sys/net (see `sysctl`).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from lastack.errors import KernelError

from .required import require_linux

OWN: Final = "own"
ALL: Final = "all"

_CLONE_NEWNET: Final = 0x4000_0000
_HERE: Final = "/proc/thread-self/ns/net"
_NAMED: Final = (Path("/run/netns"), Path("/run/docker/netns"))
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_IFREQ: Final = struct.Struct("16sh22x")


class Namespace(NamedTuple):
    """A network namespace: `label` for people (`own`, its name, `pid 123`), its inode, and a path that opens it."""

    label: str
    inode: int
    path: str


def own() -> Namespace:
    """The namespace that the calling thread is in. Raises KernelError without Linux or without /proc."""
    require_linux("a network namespace")
    try:
        inode = Path(_HERE).stat().st_ino
    except OSError as error:
        raise KernelError(f"cannot read {_HERE}: {error.strerror}; is /proc mounted?") from error
    return Namespace(OWN, inode, f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")


def known() -> tuple[Namespace, ...]:
    """Every namespace that can be found: the own one, those with a name, those of the processes; each once.

    Names are those of `ip netns` (/run/netns) and Docker. Without root the namespaces of other users' processes
    cannot be read and are missing. Raises KernelError where the system is not Linux.
    """
    here = own()
    found = {here.inode: here}
    for directory in _NAMED:
        with suppress(OSError):
            for path in sorted(directory.iterdir()):
                _add(found, path.name, str(path))
    for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()):
        _add(found, f"pid {pid}", f"/proc/{pid}/ns/net")
    return tuple(found.values())


def choose(which: str) -> tuple[Namespace, ...]:
    """The namespaces that a `--netns` argument means: `own`, `all`, a name, the id of a process, or an inode.

    Raises KernelError where there is none of that name, or where it may not be looked at.
    """
    if which == OWN:
        return (own(),)
    everything = known()
    if which == ALL:
        return everything
    for namespace in everything:
        if which in (namespace.label, str(namespace.inode)):
            return (namespace,)
    for path in [str(directory / which) for directory in _NAMED] + [f"/proc/{which}/ns/net"]:
        # A second name of a namespace, or any process but its first.
        if "/" not in which and which not in ("", ".", ".."):
            with suppress(OSError):
                inode = Path(path).stat().st_ino
                return tuple(namespace for namespace in everything if namespace.inode == inode)
    raise KernelError(_no_such(which))


@contextmanager
def entered(namespace: Namespace) -> Iterator[None]:
    """The calling thread inside `namespace`, and back where it was afterwards.

    Raises KernelError where the namespace is gone or the thread may not enter it. Staying in the present one needs no
    privilege.
    """
    if namespace.inode == own().inode:
        yield
        return
    try:
        target = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(f"enter the network namespace {namespace.label!r}", error) from error
    try:
        # The process may have gone and its number been given to another.
        if os.fstat(target).st_ino != namespace.inode:
            raise KernelError(f"the network namespace {namespace.label!r} is gone")
        with _moved("setns", target, f"enter the network namespace {namespace.label!r}"):
            yield
    finally:
        os.close(target)


@contextmanager
def private() -> Iterator[Namespace]:
    """The calling thread in a new, empty network namespace with its loopback device up, and back afterwards.

    The kernel removes it, with all that lives in it, when its last thread, descriptor and process have left.
    Raises KernelError without root (CAP_SYS_ADMIN).
    """
    require_linux("a network namespace")
    with _moved("unshare", None, "make a network namespace"):
        _raise_loopback()
        yield own()._replace(label="private")


@contextmanager
def _moved(call: str, descriptor: int | None, doing: str) -> Iterator[None]:
    """The calling thread where the call brings it, and back where it was afterwards."""
    former = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call(call, descriptor, doing)
        try:
            yield
        finally:
            _call("setns", former, "return to the former network namespace")
    finally:
        os.close(former)


def _call(name: str, descriptor: int | None, doing: str) -> None:
    arguments = (_CLONE_NEWNET,) if descriptor is None else (descriptor, _CLONE_NEWNET)
    try:
        if sys.version_info >= (3, 12):
            getattr(os, name)(*arguments)
        else:
            import ctypes

            if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
    except OSError as error:
        raise _refused(doing, error) from error


def _raise_loopback() -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
        flags = _IFREQ.unpack(answer)[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", flags | _IFF_UP))


def _add(found: dict[int, Namespace], label: str, path: str) -> None:
    # A process may vanish, or belong to somebody else, at any moment: then it is not among those that can be found.
    with suppress(OSError):
        inode = Path(path).stat().st_ino
        found.setdefault(inode, Namespace(label, inode, path))


def _no_such(which: str) -> str:
    if which.isdecimal():
        return f"no process {which} whose network namespace can be read; that of another user's process needs root"
    names = [namespace.label for namespace in known()]
    return f"no network namespace is called {which!r}; there are: {', '.join(names)}"


def _refused(doing: str, error: OSError) -> KernelError:
    help_ = "; run as root (it takes CAP_SYS_ADMIN)" if isinstance(error, PermissionError) else ""
    return KernelError(f"cannot {doing}: {error.strerror}{help_}")
