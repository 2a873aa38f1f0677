"""Scripts from files, one or many, on the engine or on the kernel: parsed, run, and what came of them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lastack.errors import CallError, LastackError, ScriptError
from lastack.model.time import MILLISECOND, Nanos
from lastack.tcp.settings import Settings

from .config import Config, configured
from .engine import EngineTarget
from .parser import read
from .runner import Failure, Run, run
from .syntax import Script
from .target import Target

SIM: Final = "sim"
KERNEL: Final = "kernel"
TUN: Final = "tun:"
KERNEL_TOLERANCE: Final[Nanos] = 20 * MILLISECOND
_SHELL_SECONDS: Final = 60
_APART_S: Final = 0.02
"""Between the first scripts on the kernel: where all of them prepare at once, what each does first comes late."""


@dataclass(frozen=True)
class How:
    """How scripts are run: `on` SIM, KERNEL, or TUN with the name of a device that the stack has open.

    `defined` are names for #ifdef and the words of the scripts, `options` (name, value) as in a script's first lines,
    `sysctls` (name, value) set before it. `tolerance` None: 4 ms on the engine, 20 elsewhere. `shell` and `python`
    let a script's own commands and code be run: that is running a program from the script's author. `exact` fails a
    script also for packets after its last line.
    """

    on: str = SIM
    defined: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    tolerance: Nanos | None = None
    seed: int = 1
    shell: bool = False
    python: bool = False
    exact: bool = False

    def __post_init__(self) -> None:
        """Raises CallError where `on` is nothing that there is: scripts are not to pass on the wrong thing."""
        if self.on not in (SIM, KERNEL) and self.on.removeprefix(TUN) in (self.on, ""):
            raise CallError(f"{self.on!r} is neither {SIM}, {KERNEL} nor {TUN} and the name of a device")


def play(path: str | Path, how: How = How(), target: Target | None = None) -> Run:
    """Run the script in a file, on `target` where there is one (`how.on` then says nothing).

    What it cannot be read for, or run on, is its failure; nothing is raised.
    """
    usual = None if how.on == SIM and target is None else KERNEL_TOLERANCE
    try:
        script = read(path, dict(how.defined))
        config = configured(script, how.options, usual if how.tolerance is None else how.tolerance)
        return _played(script, config, how, target)
    except (LastackError, OSError) as error:
        text = str(error)
        if isinstance(error, OSError):
            text = f"cannot be {'read' if error.filename == str(path) else 'run'}: {error.strerror or error}"
        return Run(str(path), Failure(str(path), 0, "", text.removeprefix(f"{path}: "), 0))


def play_all(paths: Sequence[str | Path], how: How = How(), jobs: int = 1) -> Iterator[Run]:
    """Run many scripts, `jobs` at a time, in the order of their names whichever ends first.

    Behind a TUN device there is one stack for all: one at a time.
    """
    if jobs <= 1 or len(paths) <= 1 or how.on.startswith(TUN):
        yield from (play(path, how) for path in paths)
        return
    # On the engine it is a matter of processors; on the kernel of waiting, each thread in its own namespace.
    if how.on != KERNEL:
        with ProcessPoolExecutor(jobs) as processes:
            yield from processes.map(play, paths, [how] * len(paths), chunksize=max(len(paths) // (4 * jobs), 1))
        return
    with ThreadPoolExecutor(jobs) as threads:
        begun = []
        for path in paths:
            begun.append(threads.submit(play, path, how))
            if len(begun) < jobs:
                time.sleep(_APART_S)
        yield from (one.result() for one in begun)


def _played(script: Script, config: Config, how: How, target: Target | None) -> Run:
    if target is not None:
        return _set_and_run(script, target, config, how)
    if how.on.startswith(TUN):
        return _behind_tun(script, config, how)
    return _on_kernel(script, config, how) if how.on == KERNEL else _on_engine(script, config, how)


def _on_engine(script: Script, config: Config, how: How) -> Run:
    settings = Settings.linux()
    settings.mtu = config.mtu
    return _set_and_run(script, EngineTarget([config.local_ip], settings, how.seed), config, how)


def _on_kernel(script: Script, config: Config, how: How) -> Run:
    from lastack.linux import namespaces
    from lastack.linux.priority import before_others

    from .kernel import KernelTarget

    with before_others(), namespaces.private():
        return _set_and_run(script, KernelTarget(config), config, how)


def _behind_tun(script: Script, config: Config, how: How) -> Run:
    from .beside import PORTS, BesideTun
    from .device import DeviceTarget

    device = BesideTun(how.on.removeprefix(TUN), config.local_ip)
    try:
        # The stack remembers the connections of the script before this one: another port for each.
        port = PORTS[time.time_ns() // MILLISECOND % len(PORTS)]
        return _set_and_run(script, DeviceTarget(device), replace(config, remote_port=port), how)
    finally:
        device.close()


def _set_and_run(script: Script, target: Target, config: Config, how: How) -> Run:
    try:
        for name, value in how.sysctls:
            target.set_sysctl(name, value)
    except LastackError:
        target.close()
        raise
    shell, python = _shell if how.shell else None, _python if how.python else None
    return run(script, target, config, shell, python, exact=how.exact)


def _shell(command: str) -> None:
    """Run a command line, as --allow-shell lets it."""
    _program(["/bin/sh", "-c", command], command)


def _python(code: str) -> None:
    """Run code in a Python of its own, as --allow-python lets it."""
    import sys

    _program([sys.executable, "-c", code], code.splitlines()[-1])


def _program(command: Sequence[str], said: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SHELL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ScriptError(f"`{said}` did not run: {error}") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise ScriptError(f"`{said}` ended with {done.returncode}" + (f": {words[-1]}" if words else ""))
