"""Builds the engine as a native extension where that is asked for, and as plain Python everywhere else.

    LASTACK_COMPILE=1 pip install .        compile model.state, wire, tcp, stack and the simulator's loop with mypyc

Without the variable, or without mypy or a C compiler, the same package installs as plain Python. Nothing is built in
place: compiled code lives only in the installed package.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

PACKAGES = ("wire", "tcp", "tcp/congestion", "stack")
SINGLE = (
    "errors.py",
    "model/close.py",
    "model/state.py",
    "drive/faults.py",
    "drive/handles.py",
    "drive/link.py",
    "drive/node.py",
    "drive/simulator.py",
    "drive/station.py",
    "drive/tell.py",
    "drive/trace.py",
)
# Classes that are there to be inherited from stay plain, and so does what only NumPy is waited for in.
PLAIN = ("tcp/observer.py", "stack/table.py")


def modules() -> list[str]:
    """What is compiled."""
    source = Path("src/lastack")
    found = [path for name in PACKAGES for path in (source / name).glob("*.py") if path.name != "__init__.py"]
    found += [source / name for name in SINGLE]
    return sorted(str(path) for path in found if not str(path).endswith(PLAIN))


def extensions() -> list[Extension]:
    """The extension modules; none where compiling was not asked for."""
    if os.environ.get("LASTACK_COMPILE", "0") in ("", "0"):
        return []
    from mypyc.build import mypycify

    os.environ["MYPYPATH"] = "src"
    # What is only imported is neither compiled nor judged here: the build needs none of the dependencies.
    options = ["--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
    built: list[Extension] = mypycify([*options, *modules()], opt_level="3")
    trashcan = str(Path("trashcan.h").resolve())
    for extension in built:
        extension.optional = True
        extension.extra_compile_args += ["/FI" + trashcan] if sys.platform == "win32" else ["-include", trashcan]
        if sys.platform != "win32":
            # Nobody replaces a function of ours with another at load time: calls among them are direct, or inlined.
            extension.extra_compile_args.append("-fno-semantic-interposition")
    return built


setup(ext_modules=extensions())
