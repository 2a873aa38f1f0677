"""bpf(2): the call itself, what it refuses in words, and the descriptors that it gives out."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from lastack.errors import KernelError
from lastack.linux.required import require_linux

_NUMBERS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64le": 361}
_INITIAL_PIDS: Final = 0xEFFF_FFFC
"""Inode of the first pid namespace (include/linux/proc_ns.h: PROC_PID_INIT_INO)."""

_HELPS: Final = {
    errno.EPERM: "run as root (it takes CAP_BPF and CAP_PERFMON), outside a sandbox that forbids bpf(2)",
    errno.EACCES: "the verifier refuses it",
    errno.ENOSYS: "this kernel was built without CONFIG_BPF_SYSCALL",
    errno.EINVAL: "this kernel is too old for it (5.12 is needed), or was built without it",
    errno.ENOMEM: "it is short of memory, or of what the control group may use",
}


class Descriptor:
    """Something that the kernel keeps for as long as this is open."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._number

    def close(self) -> None:
        """Give it back. Again does nothing."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def bpf(command: int, attributes: bytes | bytearray) -> tuple[int, bytes]:
    """The call: its result, and the attributes as the kernel left them. Raises OSError."""
    number, call = _entry()
    buffer = ctypes.create_string_buffer(bytes(attributes), len(attributes))
    result = call(number, command, buffer, len(attributes))
    if result < 0:
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed))
    return result, buffer.raw


def refused(doing: str, error: OSError) -> KernelError:
    """The error for what bpf(2) refused, saying what would help."""
    help_ = _HELPS.get(error.errno or 0)
    return KernelError(f"cannot {doing}: {error.strerror}" + (f"; {help_}" if help_ else ""))


def require_first_pids() -> None:
    """Raise KernelError unless the numbers of processes here are those that the kernel's programs see."""
    require_linux("BPF")
    try:
        first = Path("/proc/self/ns/pid").stat().st_ino == _INITIAL_PIDS
    except OSError as error:
        raise KernelError(f"cannot read /proc/self/ns/pid: {error.strerror}") from error
    if not first:
        raise KernelError("processes have other numbers here than in the kernel: run in the host's pid namespace")


@cache
def _entry() -> tuple[int, Any]:
    require_linux("BPF")
    machine = os.uname().machine
    if machine not in _NUMBERS or sys.byteorder != "little" or sys.maxsize < 1 << 32:
        raise KernelError(f"BPF programs are not assembled for {machine}")
    return _NUMBERS[machine], ctypes.CDLL(None, use_errno=True).syscall
