"""Compiles kernels with Numba on first use, and keeps them on disk. Nothing here imports Numba before it is asked to.

A kernel is a function of this package, `compiled(function, signature)` its fast twin. Functions of this package that it
calls are compiled with it, found by following names: a kernel module imports its helpers by name at its top
(`from .octets import u16`), never a module to look them up in.

Numba's own cache looks only at the file that holds the function. Here the directory's name has a digest of all sources
of the package, so that a changed helper never meets an old kernel.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import FunctionType
from typing import Any, Final, TypeVar

PACKAGE: Final = "lastack.capture.kernels"
MODULES: Final = (
    "lastack.capture.kernels.records",
    "lastack.capture.kernels.runs",
    "lastack.capture.kernels.table",
    "lastack.capture.kernels.keep",
    "lastack.capture.kernels.join",
)
"""The modules with kernels to compile ahead. Each has KERNELS: name of a function -> its Numba signature."""

_ONE_AT_A_TIME: Final = Lock()
"""Threads that want the same kernel at once compile it once."""

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def available() -> bool:
    """Whether Numba is installed (the extra `captures`). Does not import it."""
    return find_spec("numba") is not None


def cache_directory() -> Path:
    """Where compiled kernels are kept: a directory of the user's own, named after the sources and Numba's version."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lastack" / f"kernels-{_digest()}"


@cache
def _digest() -> str:
    """Changes with any source of the package, with Numba and with Python."""
    import hashlib

    import numba

    whole = hashlib.sha256(f"{numba.__version__} {sys.version_info[:2]}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        whole.update(path.read_bytes())
    for name in ("packets.py", "../model/state.py"):  # their constants are compiled in
        whole.update((Path(__file__).parent.parent / name).read_bytes())
    return whole.hexdigest()[:16]


def compiled(function: Kernel, signature: str) -> Kernel:
    """The kernel under Numba, for arguments of this signature (`"int64(uint8[::1], int64, int64[::1])"`).

    Compiles within the call, or takes what is on disk. Says on stderr that it compiles: that takes seconds, once.
    Raises ImportError without Numba (ask `available`).
    """
    with _ONE_AT_A_TIME:
        return _compiled(function, signature)  # type: ignore[return-value]


@cache
def _compiled(function: FunctionType, signature: str) -> Callable[..., Any]:
    import numba

    for helper in _helpers(function, set()):
        _register(helper)
    directory = _kept_at()
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    if directory is None or not any(directory.glob(f"**/{name}-*.nbi")):
        print(f"lastack: compiling {function.__name__}, once (lastack warm does it ahead)", file=sys.stderr)
    settings: Any = numba.config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(directory or "")
    try:
        compiler = numba.njit(signature, nogil=True, cache=directory is not None, error_model="numpy")
        twin: Callable[..., Any] = compiler(function)
    finally:
        settings.CACHE_DIR = before
    return twin


@cache
def _register(helper: FunctionType) -> None:
    """Make a helper known to Numba, as itself or, in `octets`, as a load."""
    from numba.extending import register_jitable

    loads = import_module(f"{PACKAGE}.loads")
    if helper.__module__ != loads.octets.__name__:
        register_jitable(nogil=True, error_model="numpy", forceinline=True)(helper)


def _helpers(function: FunctionType, seen: set[FunctionType]) -> Iterator[FunctionType]:
    """The functions of this package that a function calls, deepest first."""
    for name in function.__code__.co_names:
        helper = function.__globals__.get(name)
        if isinstance(helper, FunctionType) and helper.__module__.startswith(PACKAGE) and helper not in seen:
            seen.add(helper)
            yield from _helpers(helper, seen)
            yield helper


def _kept_at() -> Path | None:
    """The cache directory, made; None where nothing can be kept, and kernels are compiled anew in every process."""
    try:
        directory = cache_directory()
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        # Not writable, or a user without a home.
        return None
    return directory if os.access(directory, os.W_OK) else None


def warm() -> list[str]:
    """Compile every kernel now, and say which. Raises ImportError without Numba."""
    done = []
    for module in map(import_module, MODULES):
        for name, signature in module.KERNELS.items():
            compiled(getattr(module, name), signature)
            done.append(f"{module.__name__}.{name}")
    return done
