"""What a diagnosis says: a finding, the evidence that proves it, and the advice that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from .record import ConnectionTable


class Severity(IntEnum):
    """How much a finding matters; `--fail-on` compares by it."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured fact. `source` is the interface it was read from, so that anybody can look again."""

    fact: str
    value: str | int | float
    unit: str = ""
    source: str = ""

    def __str__(self) -> str:
        value = f"{self.value:,}" if isinstance(self.value, int) else str(self.value)
        return f"{self.fact}: {value}{' ' + self.unit if self.unit else ''}"


@dataclass(frozen=True, slots=True)
class Advice:
    """What to change, the effect to expect (in numbers where there are any), and the risk of it."""

    do: str
    effect: str
    risk: str = ""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many connections fall below each bound; the last bucket is unbounded.

    `labels` name the buckets (`under 10 s`, ...), `counts` has one entry a label.
    """

    title: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth telling about a host or a capture.

    `rule` is the kebab-case id, `summary` one sentence that stands alone, `useless` the popular remedies that will
    not help here and why. `connections` holds every connection the finding is about.
    """

    rule: str
    severity: Severity
    summary: str
    evidence: tuple[Evidence, ...] = ()
    advice: tuple[Advice, ...] = ()
    useless: tuple[str, ...] = ()
    connections: ConnectionTable = field(default_factory=ConnectionTable)
    histogram: Histogram | None = None
    netns: str | None = None
