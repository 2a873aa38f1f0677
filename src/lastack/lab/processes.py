"""Many calls at once, each in a process of its own that does not outlive this one."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final, NamedTuple, TypeVar

from lastack.errors import LastackError

T = TypeVar("T")
_PR_SET_PDEATHSIG: Final = 1
_TICK_S: Final = 0.2


class Broken(NamedTuple):
    """A call that gave no result, and why."""

    why: str


def each(
    calls: Sequence[Callable[[], T]], at_once: int, tick: Callable[[], None] | None = None
) -> Iterator[tuple[int, T | Broken]]:
    """Make the calls, `at_once` at a time, and give (index, result) as each ends; `tick` is called while they run.

    However this ends, killed by whatever signal, its processes end with it: what they hold (namespaces, devices) the
    kernel removes with them.
    """
    # Forked, so that nothing is imported again; where there is no fork, a call must be picklable.
    if sys.platform == "linux":
        context = multiprocessing.get_context("fork")
    else:
        context = multiprocessing.get_context("spawn")
    waiting = list(range(len(calls)))[::-1]
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    process: BaseProcess
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_serve, args=(theirs, calls[index], os.getpid()), daemon=True)
                process.start()
                theirs.close()
                running[ours] = (index, process)
            ready = set(wait(list(running), None if tick is None else _TICK_S))
            if tick is not None:
                tick()
            for pipe in [one for one in running if one in ready]:
                index, process = running.pop(pipe)
                yield index, _result(pipe, process)
    finally:
        for pipe, (_, left) in running.items():
            left.kill()
            left.join()
            pipe.close()


def _result(pipe: Connection, process: BaseProcess) -> T | Broken:
    try:
        found: T | Broken = pipe.recv()
    except EOFError:
        process.join()
        found = Broken(f"its process ended with {process.exitcode} before it had a result")
    process.join()
    pipe.close()
    return found


def _serve(pipe: Connection, call: Callable[[], object], parent: int) -> None:
    """The process: make the call and tell."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Ctrl-C is the parent's affair, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != parent:
        return
    try:
        result = call()
    except LastackError as error:
        result = Broken(str(error))
    except Exception as error:
        result = Broken(f"{type(error).__name__}: {error}")
    with suppress(BrokenPipeError):
        pipe.send(result)
