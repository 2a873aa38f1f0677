"""Kernels compile once, are found again by the next process, and work where nothing can be kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lastack.capture.kernels import build

pytestmark = pytest.mark.skipif(not build.available(), reason="needs numba")

CODE = """
from array import array
import numpy as np
from lastack.capture.kernels import build, runs
numbers = np.arange(64, dtype=np.int64)
kernel = build.compiled(runs.keep_ports, runs.KERNELS["keep_ports"])
assert kernel(numbers.ctypes.data, 4, 5, 37) == runs.keep_ports(array("q", range(64)), 4, 5, 37) == 2
"""


def run(cache: Path) -> str:
    """What a process that uses a kernel says on stderr."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the cache where Linux has it")
def test_a_kernel_is_compiled_once_and_says_so(tmp_path: Path) -> None:
    assert "compiling keep_ports, once" in run(tmp_path)
    assert run(tmp_path) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the cache where Linux has it")
def test_a_kernel_works_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "lastack").write_text("not a directory")
    assert "compiling keep_ports" in run(tmp_path)


def test_threads_that_want_a_kernel_at_once_compile_it_once(tmp_path: Path) -> None:
    threads = """
from threading import Thread
from lastack.capture.kernels import build, runs
threads = [Thread(target=build.compiled, args=(runs.keep_ports, runs.KERNELS["keep_ports"])) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", threads], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr.count("compiling") == 1


def test_every_kernel_has_a_signature_of_its_own_arguments() -> None:
    from importlib import import_module
    from inspect import signature

    for name in build.MODULES:
        module = import_module(name)
        for kernel, types in module.KERNELS.items():
            assert types.count(",") + 1 == len(signature(getattr(module, kernel)).parameters), kernel


def test_kernels_that_are_looked_up_in_a_module_would_not_be_found() -> None:
    from lastack.capture.kernels import records

    names = {helper.__name__ for helper in build._helpers(records.walk_pcap, set())}  # type: ignore[arg-type]
    assert {"frame", "decode", "ipv4", "segment", "u32", "word"} <= names
