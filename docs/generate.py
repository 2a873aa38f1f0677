"""Write what the code itself knows best: the pages on rules, thresholds and columns, and the published JSON Schemas.

`python docs/generate.py` writes them; with `--check` it writes nothing and exits with 1 if one is out of date.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import book

from lastack.diagnose.captures.run import CAPTURE_RULES
from lastack.diagnose.run import RULES
from lastack.diagnose.thresholds import threshold_rows
from lastack.model.record import COLUMNS
from lastack.model.state import TRANSITIONS
from lastack.report.schema import connection_schema, ending_schema, experiment_schema, report_schema
from lastack.script.calls import CALLS
from lastack.watch.metrics import COUNTER, INFO, METRICS

HERE = Path(__file__).parent
MARK: Final = "<!-- From here on written by docs/generate.py. -->"
ASSETS = "../src/lastack/report/assets"


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def rules() -> str:
    """What `lastack check` may find, and the numbers it compares with."""
    found = [(f"`{name}`", meaning) for rule in RULES for name, meaning in rule.ids.items()]
    in_captures = [(f"`{name}`", meaning) for rule in CAPTURE_RULES for name, meaning in rule.ids.items()]
    limits = [(f"`{name}`", value, meaning) for name, value, meaning in threshold_rows()]
    return (
        "# Rules\n\nWhat `lastack check` may find on a live host. Every finding comes with the evidence that proves "
        "it, advice with its effect in numbers, and the popular remedies that will not help.\n\n"
        + table(("rule", "what it says"), found)
        + "\n## In captures\n\nWhat `lastack check CAPTURE...` may find. A capture shows both sides, and nothing of "
        "the processes.\n\n"
        + table(("rule", "what it says"), in_captures)
        + "\n## Thresholds\n\nEvery number that a rule compares with. `--min-age` sets the first; from Python "
        "all of them can be set: `lastack.check(thresholds=Thresholds(...))`.\n\n"
        + table(("threshold", "value", "of what"), limits)
    )


def columns() -> str:
    """The schema of a connection, and the transitions of its states."""
    schema = [
        (
            f"`{column.name}`",
            "word" if column.words else column.dtype,
            column.unit,
            column.meaning + (f": {', '.join(word.name for word in column.words)}" if column.words else ""),
        )
        for column in COLUMNS
    ]
    moves = [(t.before.name, t.after.name, t.event, t.sends, t.source) for t in TRANSITIONS]
    return (
        "# Connections\n\nThe one schema of a connection, whoever observed it. A column that an observer does not fill "
        "is null, in every format; nothing is a made-up zero.\n\n"
        + table(("column", "type", "unit", "meaning"), schema)
        + "\n## Transitions\n\nEvery lawful change of state.\n\n"
        + table(("from", "to", "on", "sends", "source"), moves)
    )


def conformance() -> str:
    """The sentences of the standards that tests hold the engine to, from the tests' own markers."""
    clauses: dict[str, list[tuple[str, ...]]] = {}
    for path in sorted((HERE.parent / "tests" / "clauses").glob("test_*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            for mark in getattr(function, "decorator_list", ()):
                if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "clause":
                    document, section, sentence = (str(ast.literal_eval(word)) for word in mark.args)
                    test = f"{path.name}: `{getattr(function, 'name', '').removeprefix('test_')}`"
                    clauses.setdefault(document, []).append((section, sentence, test))
    count = sum(len(rows) for rows in clauses.values())
    pages = [
        f"## {document}\n\n" + table(("section", "sentence", "test"), rows)
        for document, rows in sorted(clauses.items(), key=lambda item: int(item[0].split()[-1]))
    ]
    return (
        f"# Conformance\n\n{count} sentences of {len(clauses)} standards that the engine is held to. Each row is a "
        "test in `tests/clauses`, run interpreted and compiled; `make unit T=tests/clauses` runs them.\n\n"
        + "\n".join(pages)
    )


def scripts() -> str:
    """The page on scripts: what stands above its mark is written by hand, the lists below it are not."""
    above, _, _ = (HERE / "scripts.md").read_text().partition(MARK)
    calls = ", ".join(f"`{name}`" for name in sorted(CALLS))
    suite = HERE.parent / "tests" / "scripts"
    groups: dict[str, list[tuple[str, ...]]] = {}
    for path in sorted(suite.rglob("*.pkt")):
        groups.setdefault(path.parent.name, []).append(script_row(path))
    count = sum(len(rows) for rows in groups.values())
    headings = ("script", "what it shows", "source", "engine", "kernel")
    tables = [f"### {group}\n\n" + table(headings, rows) for group, rows in groups.items()]
    return (
        f"{above}{MARK}\n## System calls\n\n{calls}.\n\n## The suite\n\n{count} scripts in `tests/scripts`, for "
        "what public suites leave out. `tests/scripts/test_suite.py` holds the engine and the running kernel to them, "
        "with `--exact`; the column on the kernel is of Linux 6.18.\n\n" + "\n".join(tables)
    )


def metrics() -> str:
    """The page on Prometheus: what stands above its mark is written by hand, the list of metrics below it is not."""
    above, _, _ = (HERE / "metrics.md").read_text().partition(MARK)
    added = {COUNTER: "_total", INFO: "_info"}
    rows = [
        (f"`{each.name}{added.get(each.kind, '')}`", each.kind, ", ".join(each.labels), each.meaning)
        for each in METRICS
    ]
    return f"{above}{MARK}\n## Metrics\n\n" + table(("metric", "kind", "labels", "meaning"), rows)


def script_row(path: Path) -> tuple[str, ...]:
    """What the head of a script says: what it shows, who says so, and why only one side can pass it."""
    title, source, *rest = (line.removeprefix("// ") for line in path.read_text().splitlines()[:3])
    only = re.match(r"Only on the (engine|kernel): (.+)", rest[0]) if rest else None
    sides = [
        "passes" if only is None or only.group(1) == side else f"not there: {only.group(2)}"
        for side in ("engine", "kernel")
    ]
    return (f"`{path.stem}`", title, source, *sides)


def published(schema: dict[str, Any]) -> str:
    """A JSON Schema as it is published."""
    return json.dumps(schema, indent=2) + "\n"


PAGES: Final[dict[str, Callable[[], str]]] = {
    "rules.md": rules,
    "connections.md": columns,
    "conformance.md": conformance,
    "scripts.md": scripts,
    "metrics.md": metrics,
    f"{ASSETS}/report.schema.json": lambda: published(report_schema()),
    f"{ASSETS}/connection.schema.json": lambda: published(connection_schema()),
    **{name: partial(book.page, language) for language, name in book.LANGUAGES.items()},
    f"{ASSETS}/ending.schema.json": lambda: published(ending_schema()),
    f"{ASSETS}/experiment.schema.json": lambda: published(experiment_schema()),
}


def main() -> int:
    """Write or check every page."""
    stale = []
    written = {name: write() for name, write in PAGES.items()} | book.pictures()
    for name, text in written.items():
        path = HERE / name
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(name)
    if stale:
        print(f"out of date: {', '.join(stale)}: run `make docs`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
