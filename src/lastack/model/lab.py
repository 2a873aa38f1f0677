"""What an experiment says and what came of it: claims, facts, verdicts, as the lab makes them and reports show them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from .history import History
from .time import Nanos

Setting = int | float | str | bool
"""What a knob can be set to. Durations are in seconds."""
Value = int | float | str | bool | tuple[str, ...]
"""What a fact can say."""


class Words(NamedTuple):
    """A sentence in both languages."""

    en: str
    zh: str

    def said(self, language: str) -> str:
        """The sentence in `en` or `zh`."""
        return self.zh if language == "zh" else self.en


class Verdict(Enum):
    """What an experiment finds of its claim."""

    HOLDS = "holds"
    ONLY_IF = "holds only if"
    FALSE = "false"


VERDICTS_ZH = {Verdict.HOLDS: "成立", Verdict.ONLY_IF: "有条件地成立", Verdict.FALSE: "不成立"}


class Fact(NamedTuple):
    """Something observed, for example `what` "time to CLOSED", `value` 60.0, `unit` "s".

    `near`: engine and kernel agree when their values differ by no more than this share of the greater one (0: they are
    equal). `near` None: the value belongs to one run alone (a port, the memory of this machine) and is not compared.
    """

    what: str
    value: Value
    unit: str = ""
    near: float | None = 0.0

    def agrees(self, other: Fact) -> bool:
        """Whether the other run saw the same."""
        if self.near is None or other.near is None or self.value == other.value:
            return True
        if isinstance(self.value, str | tuple) or isinstance(other.value, str | tuple):
            return False
        return abs(self.value - other.value) <= max(self.near, other.near) * max(abs(self.value), abs(other.value))

    def __str__(self) -> str:
        value = self.value
        if isinstance(value, tuple):
            return ", ".join(value) or "none"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            text = f"{value:,.3f}".rstrip("0").rstrip(".")
        else:
            text = f"{value:,}" if isinstance(value, int) else value
        return f"{text} {self.unit}".rstrip()


class Scene(NamedTuple):
    """One set-up, played once: what it was called, how it was set, and what was seen.

    `settings` are the sysctls that were not at their defaults, by host. `histories`: connections as ladders draw them.
    `moved`: the counters that moved, by host, under nstat's names. `packets`: (instant, host that sent it, octets,
    what became of it), in order. `left_out`: connections that were seen and have no ladder. `late`: by how much the
    wire was late at most. `replaced`: settings of the scene that others were given for, each in a sentence.
    """

    title: str
    settings: Mapping[str, Mapping[str, str]]
    histories: tuple[History, ...]
    moved: Mapping[str, Mapping[str, int]]
    packets: tuple[tuple[Nanos, str, bytes, str], ...]
    left_out: int = 0
    late: Nanos = 0
    replaced: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """The verdict of a run and the facts that it rests on."""

    verdict: Verdict
    facts: tuple[Fact, ...]


class Run(NamedTuple):
    """An experiment, run once. `on` is `sim` or `kernel`; `system` says which (the release of the kernel).

    `late_s`: by how much the wire was late at most, where time is real: a machine that is too busy disturbs a run.
    """

    name: str
    on: str
    system: str
    knobs: Mapping[str, Setting]
    outcome: Outcome
    scenes: tuple[Scene, ...]
    wall_s: float
    late_s: float = 0.0


class About(NamedTuple):
    """What is told of an experiment before it is run: its claim, where people read it, and what to learn from it.

    `expected`: what it comes to with nothing set; `condition`: under what the claim then holds, where only so.
    """

    name: str
    claim: Words
    source: Words
    lesson: Words
    expected: Verdict
    condition: Words | None = None


class Row(NamedTuple):
    """What one experiment came to, engine and kernel side by side.

    `given`: what was set for it. `sim` and `kernel` are None where that side was not run; `missing` then says why. With
    both, `sim` played with the kernel's (shorter) knobs, and `full` with the engine's own where those differ.
    `differences` are the facts that differ, each in a sentence; `reason`: why some may. `failed`: what went wrong,
    where there is no verdict.
    """

    about: About
    on: str
    given: Mapping[str, Setting]
    sim: Run | None
    kernel: Run | None
    full: Run | None = None
    missing: str = ""
    differences: tuple[str, ...] = ()
    reason: str = ""
    failed: str = ""

    @property
    def name(self) -> str:
        """The experiment's."""
        return self.about.name

    @property
    def agrees(self) -> bool | None:
        """Whether engine and kernel saw the same; None where one side is missing."""
        return None if self.sim is None or self.kernel is None else not self.differences

    @property
    def verdict(self) -> Verdict | None:
        """The verdict: the kernel's, where it was asked."""
        run = self.kernel or self.sim
        return None if run is None else run.outcome.verdict
