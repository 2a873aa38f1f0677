"""Whether this machine lets BPF programs run at all: where not, their tests say why they are skipped.

That the verifier accepts the programs is not asked here: if it does not, the tests fail.
"""

from __future__ import annotations

import os
import sys

import pytest

from lastack.errors import KernelError


def _refusal() -> str:
    if sys.platform != "linux" or os.geteuid():
        return ""  # such tests need root, and are skipped for that
    from lastack.linux.bpf.btf import KERNEL
    from lastack.linux.bpf.maps import Array
    from lastack.linux.bpf.syscall import require_first_pids

    try:
        require_first_pids()
        Array.make("lastack_test", 8, 1).close()
    except KernelError as error:
        return str(error)
    return "" if KERNEL.exists() else f"no {KERNEL}: the kernel does not tell its types"


_REFUSAL = _refusal()
with_bpf = pytest.mark.skipif(bool(_REFUSAL), reason=_REFUSAL or "BPF is not allowed here")
