"""Sysctls, by their dotted names.

Those below `net` that a network namespace has for itself are the namespace's of the calling thread: read inside
`namespaces.entered` they are that namespace's (the kernel looks at the reader, not at the path).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lastack.errors import KernelError

from .required import require_linux

_ROOT: Final = Path("/proc/sys")


def read(name: str) -> str | None:
    """The text of a sysctl such as `net.ipv4.tcp_fin_timeout`, or None where this kernel or namespace has none.

    None too where it may not be read, or where the system is not Linux.
    """
    try:
        return _path(name).read_text(errors="replace").strip()
    except OSError:
        return None


def write(name: str, value: str | int) -> None:
    """Set a sysctl. Raises KernelError where the kernel refuses, or where the system is not Linux."""
    require_linux("a sysctl")
    try:
        _path(name).write_text(f"{value}\n")
    except OSError as error:
        needs = "; it takes root" if isinstance(error, PermissionError) else ""
        raise KernelError(f"cannot set {name} to {value}: {error.strerror}{needs}") from error


def _path(name: str) -> Path:
    # An interface's name may hold dots; sysctl(8) writes them as slashes: net.ipv4.conf.eth0/1.forwarding.
    return _ROOT / name.translate(str.maketrans("./", "/."))
