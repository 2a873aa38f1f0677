"""`lastack connections`: one row a connection."""

from __future__ import annotations

import re
import time
from enum import Enum
from typing import Annotated

import typer

from ..errors import CallError
from .options import Container, Expression, Netns, NoColor, Output, ProcessName, Unit, duration, output, paper, wanted

EXAMPLE = "Example: lastack connections -f 'state close-wait and age > 5min'; lastack connections --format csv -o c.csv"


class Format(Enum):
    """How connections are listed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def connections(
    netns: Netns = "own",
    expression: Expression = "",
    process: ProcessName = "",
    unit: Unit = "",
    container: Container = "",
    min_age: Annotated[str, typer.Option(help="Only those at least as long in their state.")] = "0s",
    everything: Annotated[bool, typer.Option("--all", "-a", help="Listening sockets too.")] = False,
    wide: Annotated[bool, typer.Option("--wide", "-w", help="All columns, however wide.")] = False,
    form: Annotated[Format, typer.Option("--format", help="How to list them.")] = Format.TABLE,
    file: Output = None,
    no_color: NoColor = False,
) -> None:
    """List this host's connections: states, ages, queues, owners."""
    from ..api import connections as read
    from ..model.filters import condition, parse

    where = wanted(expression, process, unit, container)
    if not everything and not re.search(r"\bstate\b", expression, re.IGNORECASE):
        where &= parse("exclude listening")
    if duration(min_age):
        where &= condition("age", ">=", min_age)
    if form is Format.PARQUET and file is None:
        raise CallError("a Parquet file needs a name: -o FILE")
    table = read(netns, where=where)
    if form is Format.PARQUET and file is not None:
        table.write_parquet(file)
        return
    with output(file) as paper_:
        if form is Format.TABLE:
            from ..report.listing import render_connections

            width, color = paper(paper_, no_color)
            render_connections(table, paper_, now=time.time_ns(), width=None if wide else width, color=color)
        else:
            from ..report.machine import write_connections

            write_connections(table, paper_, form.value)
