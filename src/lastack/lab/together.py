"""Many experiments at once, on both sides, and what they come to side by side."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import zip_longest
from typing import Final

from lastack.model.lab import Row, Run, Setting

from .experiment import Experiment
from .lab import knobs
from .processes import Broken, each
from .run import run

SIM: Final = "sim"
KERNEL: Final = "kernel"
BOTH: Final = "both"

_WAITING_AT_ONCE: Final = 12
"""Experiments on the kernel mostly wait."""

_PRIORITY: Final = -15

Told = Callable[[int, int], None]
"""Told of progress: how many runs of how many are done."""


def kernel_missing() -> str:
    """Why no experiment can run on a kernel here; empty where it can."""
    if sys.platform != "linux":
        return "the kernel's side needs Linux"
    if os.geteuid() != 0:
        return "the kernel's side needs root: it makes network namespaces"
    return "" if os.path.exists("/dev/net/tun") else "the kernel's side needs /dev/net/tun"  # noqa: PTH110


def rows(
    experiments: Sequence[Experiment], on: str, given: Mapping[str, Setting], seed: int = 1, told: Told | None = None
) -> list[Row]:
    """Run experiments on `sim`, `kernel` or `both`, each in a process of its own, in the order given.

    With `both` the engine plays with the kernel's knobs, so that the two can be compared, and once more with its own
    where they differ (`Row.full`).
    """
    lacks = kernel_missing() if on != SIM else ""
    jobs: list[tuple[int, str, Callable[[], Run]]] = []
    for index, experiment in enumerate(experiments):
        for part, side, settings in _parts(experiment, on, given, lacks):
            jobs.append((index, part, partial(_run, experiment, side, settings, seed)))
    # Those that wait for long begin first, so that they do not end last.
    jobs.sort(key=lambda job: -experiments[job[0]].kernel_s if job[1] == KERNEL else 0.0)
    found: dict[tuple[int, str], Run | Broken] = {}
    at_once = _WAITING_AT_ONCE if any(part == KERNEL for _, part, _ in jobs) else os.cpu_count() or 1
    for number, (job, result) in enumerate(each([call for _, _, call in jobs], at_once), 1):
        index, part, _ = jobs[job]
        found[index, part] = result
        if told is not None:
            told(number, len(jobs))
    return [_row(experiment, index, on, found, lacks) for index, experiment in enumerate(experiments)]


def _run(experiment: Experiment, side: str, settings: Mapping[str, Setting], seed: int) -> Run:
    if side == KERNEL:
        # Real time waits for nobody: who carries the packets goes before whatever else keeps the machine busy.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    return run(experiment, side, settings, seed)


def _parts(
    experiment: Experiment, on: str, given: Mapping[str, Setting], lacks: str
) -> list[tuple[str, str, Mapping[str, Setting]]]:
    """What is to be run: (part, side, settings)."""
    sim = on in (SIM, BOTH) and experiment.side != KERNEL
    kernel = on in (KERNEL, BOTH) and experiment.side != SIM and not lacks
    parts: list[tuple[str, str, Mapping[str, Setting]]] = []
    alike = {**knobs(experiment, KERNEL), **given}
    if kernel:
        parts.append((KERNEL, KERNEL, given))
    if sim:
        parts.append((SIM, SIM, alike if kernel else given))
    if sim and kernel and {**knobs(experiment, SIM), **given} != alike:
        parts.append(("full", SIM, given))
    return parts


def _row(experiment: Experiment, index: int, on: str, found: Mapping[tuple[int, str], Run | Broken], lacks: str) -> Row:
    results = {part: found.get((index, part)) for part in (SIM, KERNEL, "full")}
    runs = {part: result for part, result in results.items() if isinstance(result, Run)}
    failed = "; ".join(f"on {part}: {result.why}" for part, result in results.items() if isinstance(result, Broken))
    missing = experiment.only if on in (BOTH, KERNEL if experiment.side == SIM else SIM) else ""
    if SIM not in (on, experiment.side):
        missing = missing or lacks
    return Row(
        experiment.name,
        on,
        experiment.claim,
        runs.get(SIM),
        runs.get(KERNEL),
        runs.get("full"),
        missing,
        _differences(runs.get(SIM), runs.get(KERNEL)),
        experiment.reason,
        failed,
    )


def _differences(sim: Run | None, kernel: Run | None) -> tuple[str, ...]:
    """In what engine and kernel differ, each in a sentence."""
    if sim is None or kernel is None:
        return ()
    found = []
    if sim.outcome.verdict is not kernel.outcome.verdict:
        found.append(f"verdict: engine {sim.outcome.verdict.value}, kernel {kernel.outcome.verdict.value}")
    for ours, theirs in zip_longest(sim.outcome.facts, kernel.outcome.facts):
        if ours is None or theirs is None:
            found.append(f"{(ours or theirs).what}: seen on {'the kernel' if ours is None else 'the engine'} alone")
        elif ours.what != theirs.what or not ours.agrees(theirs):
            found.append(f"{ours.what}: engine {ours}, kernel {theirs}")
    return tuple(found)
