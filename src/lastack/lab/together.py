"""Many experiments at once, on both sides, and what they come to side by side."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import Final

from lastack.errors import CallError
from lastack.model.lab import Row, Run, Setting

from .catalog import named
from .experiment import Experiment
from .lab import knobs
from .processes import Broken, each
from .run import run
from .settings import of, read

SIM: Final = "sim"
KERNEL: Final = "kernel"
BOTH: Final = "both"

_WAITING_AT_ONCE: Final = 12
"""Experiments on the kernel mostly wait."""

_AGAIN: Final = 2
"""So often a run on the kernel is played again that was disturbed; and so many at once then:"""
_WHEN_DISTURBED: Final = 4
_LATE_S: Final = 0.004
"""A wire that is later than this has disturbed what depends on it."""

_Job = tuple[int, str]
"""Which experiment, which part of it."""
Told = Callable[[int, int], None]
"""Told now and then how many runs of how many are done."""


def kernel_missing() -> str:
    """Why no experiment can run on a kernel here; empty where it can."""
    if sys.platform != "linux":
        return "the kernel's side needs Linux"
    if os.geteuid() != 0:
        return "the kernel's side needs root: it makes network namespaces"
    return "" if os.path.exists("/dev/net/tun") else "the kernel's side needs /dev/net/tun"  # noqa: PTH110


def experiment(which: str | Experiment, on: str = SIM, *, seed: int = 1, **settings: Setting) -> Row:
    """Run one experiment on `sim`, `kernel` (as root) or `both`, some of its knobs or sysctls set.

    `which`: its name in the catalog, the path of a file that defines EXPERIMENT, or an Experiment. Raises CallError
    where there is none of that name, or a setting is neither a knob of it nor a sysctl; what goes wrong within it is in
    the row's `failed`.
    """
    if on not in (SIM, KERNEL, BOTH):
        raise CallError(f"experiments run on sim, kernel or both, not on {on!r}")
    chosen = named(which) if isinstance(which, str) else which
    return rows([chosen], on, read([(key, str(value)) for key, value in settings.items()], [chosen]), seed)[0]


def about_s(experiments: Sequence[Experiment], on: str) -> float:
    """About how many seconds they take with nothing set; 0.0 where only the engine plays."""
    if on == SIM or kernel_missing():
        return 0.0
    times = [one.kernel_s for one in experiments if one.side != SIM]
    return max([*times, sum(times) / _WAITING_AT_ONCE, 0.0])


def rows(
    experiments: Sequence[Experiment], on: str, given: Mapping[str, Setting], seed: int = 1, told: Told | None = None
) -> list[Row]:
    """Run experiments on `sim`, `kernel` or `both`, each in a process of its own, in the order given.

    With `both` the engine plays with the kernel's knobs, so that the two can be compared, and once more with its own
    where they differ (`Row.full`). Where engine and kernel differ and a busy machine made the wire late, the kernel
    plays again.
    """
    lacks = kernel_missing() if on != SIM else ""
    if KERNEL in (on, BOTH) and not lacks:
        from .kernel import prepare

        # Before the processes are forked: what each would load takes the processors from those that run.
        prepare()
    mine = [of(experiment, given) for experiment in experiments]
    jobs = {
        (index, part): partial(run, experiment, side, settings, seed)
        for index, experiment in enumerate(experiments)
        for part, side, settings in _parts(experiment, on, mine[index], lacks)
    }
    # Those that wait for long begin first, so that they do not end last.
    order = sorted(jobs, key=lambda job: -experiments[job[0]].kernel_s if job[1] == KERNEL else 0.0)
    at_once = _WAITING_AT_ONCE if any(part == KERNEL for _, part in jobs) else os.cpu_count() or 1
    found = _played(jobs, order, at_once, told)
    for _ in range(_AGAIN):
        disturbed = [(index, KERNEL) for index in range(len(experiments)) if _disturbed(found, index)]
        if not disturbed:
            break
        found |= _played(jobs, disturbed, _WHEN_DISTURBED, told)
    return [_row(experiment, index, on, mine[index], found, lacks) for index, experiment in enumerate(experiments)]


def _played(
    jobs: Mapping[_Job, Callable[[], Run]], order: Sequence[_Job], at_once: int, told: Told | None
) -> dict[_Job, Run | Broken]:
    found: dict[_Job, Run | Broken] = {}
    tick = None if told is None else lambda: told(len(found), len(order))
    for place, result in each([jobs[job] for job in order], at_once, tick):
        found[order[place]] = result
    return found


def _disturbed(found: Mapping[_Job, Run | Broken], index: int) -> bool:
    """Whether the kernel's run came to something else than the engine's while the wire was late."""
    ours, theirs = found.get((index, SIM)), found.get((index, KERNEL))
    if isinstance(theirs, Broken):
        return not isinstance(ours, Broken)
    if not isinstance(ours, Run) or theirs is None or theirs.late_s < _LATE_S:
        return False
    return bool(_differences(ours, theirs))


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


def _row(
    experiment: Experiment,
    index: int,
    on: str,
    given: Mapping[str, Setting],
    found: Mapping[_Job, Run | Broken],
    lacks: str,
) -> Row:
    results = {part: found.get((index, part)) for part in (SIM, KERNEL, "full")}
    runs = {part: result for part, result in results.items() if isinstance(result, Run)}
    failed = "; ".join(f"on {part}: {result.why}" for part, result in results.items() if isinstance(result, Broken))
    missing = experiment.only if on in (BOTH, KERNEL if experiment.side == SIM else SIM) else ""
    if SIM not in (on, experiment.side) and lacks:
        missing = f"{missing}; {lacks}" if missing else lacks
    return Row(
        experiment.about,
        on,
        given,
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
