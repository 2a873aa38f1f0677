"""Reports and connections for programs: JSON, JSON lines and CSV.

Text from the system is made safe as on a terminal (`escape.visible`), JSON is pure ASCII, times are integer
nanoseconds, missing is null (in CSV: empty), and numbers are finite.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any, Final

from lastack.model.finding import Severity

from .columns import Cell, cells
from .escape import visible
from .schema import REPORT, connection_schema, report_schema
from .view import gravest_first

if TYPE_CHECKING:
    from lastack.model.finding import Finding
    from lastack.model.host import Doing
    from lastack.model.record import ConnectionTable
    from lastack.model.report import Report

__all__ = [
    "FORMATS",
    "connection_schema",
    "report_document",
    "report_schema",
    "write_connections",
    "write_report",
    "write_socket",
    "write_tables",
]

SAMPLE: Final = 100
"""So many connections of each finding are in the JSON of a report."""

FORMATS: Final = ("json", "jsonl", "csv")
_CHUNK: Final = 4_096


def report_document(report: Report) -> dict[str, Any]:
    """The report as `report_schema` describes it: plain dictionaries and lists, ready for json.dumps."""
    severities = [finding.severity for finding in report.findings]
    document: dict[str, Any] = {
        "schema": REPORT,
        "source": {**asdict(report.source), "unseen": list(report.unseen)},
        "findings": [_finding(finding) for finding in gravest_first(report)],
        "counts": {
            "connections": len(report.connections),
            "states": dict(sorted(report.states.items())),
            "findings": {str(severity): severities.count(severity) for severity in reversed(Severity)},
        },
        "headroom": [asdict(gauge) for gauge in report.headroom],
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def write_report(report: Report, file: IO[str]) -> None:
    """Write the report as JSON (`report_schema`), indented, and a line end."""
    file.write(_dumps(report_document(report), indent=2) + "\n")


def write_connections(table: ConnectionTable, file: IO[str], form: str) -> None:
    """Write a table's rows as `json` (an array), `jsonl` (an object a line) or `csv` (with a heading).

    A row has the table's filled columns in the schema's order. Raises KeyError on any other form.
    """
    write_tables([table], file, form)


def write_tables(tables: Iterable[ConnectionTable], file: IO[str], form: str) -> None:
    """Write tables that have the same columns as they come, as if they were one (`write_connections`)."""
    {"json": _write_json, "jsonl": _write_jsonl, "csv": _write_csv}[form](tables, file)


def write_socket(
    table: ConnectionTable,
    info: Mapping[str, int | float | bool | str] | None,
    file: IO[str],
    doing: Doing | None = None,
) -> None:
    """Write one socket as JSON: `connection`, the only row of the table; `tcp_info`, by the kernel's names, or null.

    `process`: its runtime, what is done about the socket, and the stacks of its threads; null where there is none.
    """
    socket = {"connection": table.row(0), "tcp_info": info and dict(info), "process": doing and _process(doing)}
    file.write(_dumps(_plain(socket), indent=2) + "\n")


def _process(doing: Doing) -> dict[str, Any]:
    wait = doing.wait
    return {
        "runtime": doing.runtime and doing.runtime.value,
        "also": [{"pid": each.pid, "command": each.command} for each in doing.also],
        "wait": wait
        and {
            "polled": wait.polled,
            "blocked": wait.blocked,
            "blocked_by": wait.blocked_by,
            "threads": wait.threads,
            "threads_running": wait.threads_running,
            "waiting": dict(wait.waiting),
        },
        "options": doing.options and doing.options._asdict(),
        "stacks": [
            {
                "thread": stack.thread,
                "tid": stack.tid,
                "frames": [{"function": f.function, "file": f.file, "line": f.line} for f in stack.frames],
            }
            for stack in doing.stacks
        ],
    }


def _write_json(tables: Iterable[ConnectionTable], file: IO[str]) -> None:
    before = "[\n"
    for table in tables:
        for rows in _chunks(table):
            file.write(before + ",\n".join(_dumps(dict(zip(table.names, row, strict=True))) for row in rows))
            before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")


def _write_jsonl(tables: Iterable[ConnectionTable], file: IO[str]) -> None:
    for table in tables:
        for rows in _chunks(table):
            file.write("".join(_dumps(dict(zip(table.names, row, strict=True))) + "\n" for row in rows))


def _write_csv(tables: Iterable[ConnectionTable], file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    for number, table in enumerate(tables):
        if not number:
            writer.writerow(table.names)
        for rows in _chunks(table):
            writer.writerows(rows)


def _chunks(table: ConnectionTable) -> Iterator[list[tuple[Cell, ...]]]:
    """The rows, some thousands at a time, each a tuple in the order of `table.names`."""
    import numpy as np

    for start in range(0, len(table), _CHUNK):
        chunk = table.select(np.arange(start, min(start + _CHUNK, len(table))))
        yield list(zip(*(cells(chunk, name) for name in table.names), strict=True))


def _finding(finding: Finding) -> dict[str, Any]:
    histogram = finding.histogram
    buckets = zip(histogram.labels, histogram.counts, strict=True) if histogram else ()
    return {
        "rule": finding.rule,
        "severity": str(finding.severity),
        "summary": finding.summary,
        "evidence": [asdict(evidence) for evidence in finding.evidence],
        "advice": [asdict(advice) for advice in finding.advice],
        "useless": list(finding.useless),
        "connections": {
            "count": len(finding.connections),
            "netns": finding.netns,
            "histogram": histogram
            and {"title": histogram.title, "buckets": [{"label": label, "count": n} for label, n in buckets]},
            "sample": list(finding.connections.rows(SAMPLE)),
        },
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value as JSON knows it: text made safe, numbers of NumPy made Python's, non-finite ones null."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value


def _dumps(value: object, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, allow_nan=False)
