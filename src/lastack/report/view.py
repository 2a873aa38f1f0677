"""What a page says, decided once for terminal and browser: both of them only draw it.

Everything here is plain text and numbers; whatever came from the system has gone through `escape.visible`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lastack.model.finding import Severity
from lastack.model.state import State
from lastack.model.time import spoken

from .columns import headings
from .escape import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lastack.model.finding import Advice, Evidence, Finding, Histogram
    from lastack.model.record import Array, ConnectionTable
    from lastack.model.report import Gauge, Report, Source
    from lastack.model.time import Nanos

    from .columns import Heading

NAMED: Final = 3
"""So many owners, peers or listeners are named one by one; the rest is counted."""

ROWS_SHOWN: Final = 5_000
"""So many connections a page carries at most."""

_WORDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_STATE_WORDS: Final = {state.name.lower().replace("_", "-"): state.name for state in State}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of evidence: what, how much (with its unit), and where it can be read again."""

    label: str
    value: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bucket of a histogram; `share` is of the fullest one."""

    label: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Bars:
    """A histogram: its title, its buckets, and the same in words."""

    title: str
    bars: tuple[Bar, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """A popular remedy that does not help here, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding as it is shown. `title` names it in one line, `whose` says what the summary leaves out.

    `netns` is empty where it is the own one.
    """

    number: int
    severity: Severity
    rule: str
    title: str
    summary: str
    netns: str
    whose: str
    ages: Bars | None
    evidence: tuple[Fact, ...]
    advice: tuple[Advice, ...]
    useless: tuple[Remedy, ...]
    connections: int

    @property
    def problem(self) -> bool:
        """Whether something should be done about it."""
        return self.severity > Severity.INFO

    @property
    def placed(self) -> str:
        """The title, with the network namespace that it is about."""
        return f"{self.title} [{self.netns}]" if self.netns else self.title


@dataclass(frozen=True, slots=True)
class Level:
    """How much of a limit is used: the share, and the sentence beside it."""

    share: float
    percent: str
    words: str
    source: str


@dataclass(frozen=True, slots=True)
class Page:
    """All that a report says, in the order of reading."""

    healthy: bool
    severity: Severity | None
    verdict: str
    problems: tuple[str, ...]
    source: str
    states: tuple[tuple[str, int], ...]
    remarks: tuple[Remark, ...]
    headroom: tuple[Level, ...]
    unseen: tuple[str, ...]
    total: int
    columns: tuple[Heading, ...]


def page(report: Report) -> Page:
    """What is said of a report: verdict, findings (gravest first, the order given otherwise), headroom, the unseen."""
    remarks = tuple(_remark(number, finding) for number, finding in enumerate(gravest_first(report), 1))
    healthy = not any(remark.problem for remark in remarks)
    return Page(
        healthy=healthy,
        severity=report.worst,
        verdict=_verdict(report, remarks, healthy),
        problems=tuple(remark.placed for remark in remarks if remark.problem),
        source=_source(report.source),
        states=tuple(sorted(((visible(name), count) for name, count in report.states.items()), key=lambda s: -s[1])),
        remarks=remarks,
        headroom=tuple(_level(gauge) for gauge in sorted(report.headroom, key=lambda gauge: -gauge.share)),
        unseen=tuple(visible(line) for line in report.unseen),
        total=len(report.connections),
        columns=headings(report.connections),
    )


def gravest_first(report: Report) -> list[Finding]:
    """The findings in the order they are shown: by severity, then as given."""
    return sorted(report.findings, key=lambda finding: -finding.severity)


# -- the verdict


def _verdict(report: Report, remarks: tuple[Remark, ...], healthy: bool) -> str:
    place = f"{'in' if report.source.kind == 'capture' else 'on'} {visible(report.source.name)}"
    if report.source.kind == "recording":
        place += f" at {_instant(report.source.taken_ns)}"
    if not healthy:
        counts = [sum(remark.severity is severity for remark in remarks) for severity in _WORDS]
        said = [counted(count, word) for count, word in zip(counts, _WORDS.values(), strict=True) if count]
        return f"{', '.join(said)} {place}"
    far = ", as far as could be seen" if report.unseen else ""
    total = len(report.connections)
    if report.source.filter:
        if not total:
            return f"No connection {place} matches the filter{far}"
        return f"Nothing wrong {place}{far} with the {counted(total, 'connection')} chosen by the filter"
    if not total:
        return f"Nothing wrong {place}: it has no TCP connections{far}"
    return f"Nothing wrong {place}{far}: {counted(total, 'connection')}, none of them stuck"


def counted(count: int, word: str) -> str:
    """`1 error`, `1,204 connections`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _source(source: Source) -> str:
    taken = _instant(source.taken_ns)
    kernel = f"Linux {visible(source.kernel)}" if source.kernel else ""
    spaces = "" if source.netns in ((), ("own",)) else f"network namespaces: {', '.join(map(visible, source.netns))}"
    version = f"lastack {visible(source.lastack)}" if source.lastack else ""
    chosen = f"only {visible(source.filter)}" if source.filter else ""
    return ", ".join(part for part in (visible(source.name), kernel, taken, spaces, version, chosen) if part)


def _instant(at: Nanos) -> str:
    try:
        return f"{datetime.fromtimestamp(at // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return ""


# -- one finding


def _remark(number: int, finding: Finding) -> Remark:
    summary = visible(finding.summary)
    evidence = tuple(_fact(item) for item in finding.evidence)
    said = " ".join((summary, *(fact.value for fact in evidence)))
    return Remark(
        number=number,
        severity=finding.severity,
        rule=visible(finding.rule),
        title=_title(finding),
        summary=summary,
        netns="" if finding.netns in (None, "own") else visible(str(finding.netns)),
        whose=", ".join(_whose(finding.connections, said)),
        ages=None if finding.histogram is None else _bars(finding.histogram),
        evidence=evidence,
        advice=tuple(_advice(advice) for advice in finding.advice),
        useless=tuple(_remedy(text) for text in finding.useless),
        connections=len(finding.connections),
    )


def _title(finding: Finding) -> str:
    """`CLOSE_WAIT, eof unread: 1,204 of java`: the rule in words, how many, and whose or where where that is one."""
    rule = visible(finding.rule)
    state = max((word for word in _STATE_WORDS if rule.startswith(word)), key=len, default="")
    rest = rule[len(state) :].replace("-", " ").strip()
    topic = ", ".join(part for part in (_STATE_WORDS.get(state, ""), rest) if part)
    table = finding.connections
    if not len(table):
        return topic
    who = ""
    if _single(table, "command"):
        who = f" of {visible(str(table.value('command', 0)))}"
    elif _single(table, "listener"):
        who = f" at {visible(str(table.value('listener', 0)))}"
    elif _single(table, "remote_addr") and _single(table, "remote_port"):
        addr, port = table.value("remote_addr", 0), table.value("remote_port", 0)
        who = f" to [{addr}]:{port}" if ":" in str(addr) else f" to {addr}:{port}"
    return f"{topic}: {len(table):,}{who}"


def _single(table: ConnectionTable, name: str) -> bool:
    """Whether a column has one and the same value in every row."""
    values = table.values(name)
    return bool(table.valid(name).all() and (values == values[0]).all())


def _says(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _whose(table: ConnectionTable, said: str) -> Iterator[str]:
    """Words for whose connections these are, as far as that is known and not `said` already."""
    if not len(table):
        return
    for column, word in (("command", "process"), ("unit", "unit"), ("container", "container"), ("listener", "at")):
        groups = [(visible(str(keys[0])), rows) for keys, rows in table.groups(column) if keys[0] is not None]
        new = [f"{word} {name}{_of(rows, table)}" for name, rows in groups[:NAMED] if not _says(said, name)]
        yield from new
        if new and len(groups) > NAMED:
            yield f"{len(groups) - NAMED:,} more"
    if _single(table, "remote_addr"):
        peer = str(table.value("remote_addr", 0))
        if not _says(said, peer):
            yield f"peer {peer}"


def _of(rows: Array, table: ConnectionTable) -> str:
    return "" if len(rows) == len(table) else f" ({len(rows):,})"


def _fact(evidence: Evidence) -> Fact:
    return Fact(visible(evidence.fact), quantity(evidence.value, evidence.unit), visible(evidence.source))


def quantity(value: str | int | float, unit: str) -> str:
    """A value with its unit as a person reads it: `1,204 octets`, `41 s` for nanoseconds, `61%` for a share."""
    if isinstance(value, str):
        shown = visible(value)
    elif isinstance(value, float) and not math.isfinite(value):
        return "not known"
    elif unit == "ns":
        return spoken(round(value))
    elif unit == "share":
        return percent(value)
    else:
        shown = _number(value)
    return f"{shown} {_singular(unit) if value == 1 else visible(unit)}".strip()


def _singular(unit: str) -> str:
    """The unit of one: `octet`, `segment`, `process`, `octet a second`."""
    first, space, rest = visible(unit).partition(" ")
    if len(first) > 3 and first.endswith("s"):
        first = first[: -2 if first.endswith("sses") else -1]
    return first + space + rest


def _number(value: int | float) -> str:
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def percent(share: float) -> str:
    """`61%`; one digit more below one in a hundred."""
    return f"{share:.1%}" if 0.0005 <= share < 0.01 else f"{share:.0%}"


def _bars(histogram: Histogram) -> Bars:
    most = max((*histogram.counts, 1))
    pairs = [(visible(label), count) for label, count in zip(histogram.labels, histogram.counts, strict=True)]
    words = ", ".join(f"{label} ({count:,})" for label, count in pairs if count)
    return Bars(visible(histogram.title), tuple(Bar(label, count, count / most) for label, count in pairs), words)


def _advice(advice: Advice) -> Advice:
    return type(advice)(visible(advice.do), visible(advice.effect), visible(advice.risk))


def _remedy(text: str) -> Remedy:
    what, _, why = visible(text).partition(": ")
    return Remedy(what, why)


# -- the headroom


def _level(gauge: Gauge) -> Level:
    where = f", {visible(gauge.where)}" if gauge.where else ""
    unit = "" if gauge.unit in gauge.what else f" {visible(gauge.unit)}"
    words = f"{visible(gauge.what)}{where}: {gauge.used:,} of {gauge.limit:,}{unit}"
    return Level(max(gauge.share, 0.0), percent(gauge.share), words, visible(gauge.source))


# -- which connections a page carries


def shown_rows(report: Report, limit: int = ROWS_SHOWN) -> tuple[Array, list[list[int]]]:
    """Which rows of `report.connections` a page carries, and for each finding (in the page's order) which of those.

    All of them up to `limit`; beyond it a fair part for each finding first, gravest first, then the rest of the
    findings' rows, then any. Returns the row indices in the table's order, and positions among them. Rows are joined
    by `id`.
    """
    import numpy as np

    table = report.connections
    known, ids = table.valid("id"), table.values("id")
    theirs = [
        np.flatnonzero(known & np.isin(ids, rows.values("id")[rows.valid("id")]))
        for rows in (finding.connections for finding in gravest_first(report))
    ]
    if len(table) <= limit:
        chosen = np.arange(len(table))
    else:
        fair = limit // (len(theirs) + 1)
        wanted = np.concatenate([*(rows[:fair] for rows in theirs), *theirs, np.arange(len(table))])
        firsts = np.sort(np.unique(wanted, return_index=True)[1])[:limit]
        chosen = np.sort(wanted[firsts])
    return chosen, [np.flatnonzero(np.isin(chosen, rows)).tolist() for rows in theirs]


def rows_words(shown: int, total: int) -> str:
    """What a page says of its table: all of them, or how many, which, and how to get the rest."""
    if shown == total:
        return f"All {counted(total, 'connection')}."
    return (
        f"{shown:,} of {total:,} connections, those of the findings first. "
        "For all of them: lastack connections --format csv -o connections.csv"
    )
