"""The whole answer of `lastack check`: findings, the connections they speak of, counts and headroom."""

from __future__ import annotations

from dataclasses import dataclass, field

from .finding import Finding, Severity
from .record import ConnectionTable
from .time import Nanos


@dataclass(frozen=True, slots=True)
class Gauge:
    """How much of a limit is used. `where` names whose limit it is; `source` where both numbers were read."""

    what: str
    used: int
    limit: int
    unit: str
    where: str = ""
    source: str = ""

    @property
    def share(self) -> float:
        """Their ratio; 0 where there is no limit."""
        return self.used / self.limit if self.limit else 0.0


@dataclass(frozen=True, slots=True)
class Source:
    """What was looked at: `kind` is `host`, `recording` (of a host) or `capture`; `name` a host's name or a path.

    `taken_ns`: when, Unix time. `filter`: the expression, if any, that chose the connections that were
    judged.
    """

    kind: str
    name: str
    taken_ns: Nanos
    kernel: str = ""
    netns: tuple[str, ...] = ()
    lastack: str = ""
    filter: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Findings (gravest first), all connections, how many are in each state, and the headroom of each limit."""

    source: Source
    findings: tuple[Finding, ...] = ()
    connections: ConnectionTable = field(default_factory=ConnectionTable)
    states: dict[str, int] = field(default_factory=dict)
    headroom: tuple[Gauge, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def worst(self) -> Severity | None:
        """The gravest severity among the findings, or None where there are none."""
        return max((finding.severity for finding in self.findings), default=None)
