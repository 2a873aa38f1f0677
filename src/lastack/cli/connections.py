"""`lastack connections`: one row a connection."""

from __future__ import annotations

import re
import time
from itertools import chain
from pathlib import Path

import click

from lastack.errors import CallError

from .options import captures, duration, out, output, paper, wanted, where, writing
from .progress import progress


@click.command(
    epilog="Example: lastack connections -f 'state close-wait and age > 5min'; lastack connections -w eth0.pcap"
)
@captures
@where
@click.option(
    "--min-age", metavar="TIME", callback=duration, default="0s", help="Only those at least as long in their state."
)
@click.option("-a", "--all", "everything", is_flag=True, help="Listening sockets too.")
@click.option("-w", "--wide", is_flag=True, help="All columns, however wide.")
@out("table", "json", "jsonl", "csv", "parquet")
def connections(
    paths: tuple[str, ...],
    memory: int | None,
    netns: str,
    expression: str,
    process: str,
    unit: str,
    container: str,
    min_age: int,
    everything: bool,
    wide: bool,
    form: str,
    file: Path | None,
    no_color: bool,
) -> None:
    """List connections: this host's with states, ages, queues, owners; those of captures with how they ended."""
    from lastack.api import connections as read
    from lastack.model.filters import condition, parse
    from lastack.model.filters.values import duration_text

    chosen = wanted(expression, process, unit, container)
    # As with ss: listening sockets are shown to who asks for them, or names states.
    if not paths and not everything and not re.search(r"\bstate\b", expression, re.IGNORECASE):
        chosen &= parse("exclude listening")
    if min_age:
        chosen &= condition("age", ">=", duration_text(min_age))
    if form == "parquet" and file is None:
        raise CallError("a Parquet file needs a name: -o FILE")
    if paths and memory is not None and form in ("json", "jsonl", "csv"):
        from lastack.recorded import leaving
        from lastack.report.machine import write_tables

        with progress(silent=False) as told:
            tables = leaving(paths, where=chosen, memory=memory, progress=told)
            # What cannot be read is told of before a file is opened, and emptied, for the answer.
            first = next(tables)
            with output(file) as paper_:
                write_tables(chain([first], tables), paper_, form)
        return
    with progress(not paths) as told:
        table = read(*paths, netns=netns, where=chosen, memory=memory, progress=told)
    if form == "parquet" and file is not None:
        with writing(file):
            table.write_parquet(file)
        return
    with output(file) as paper_:
        if form == "table":
            from lastack.report.listing import render_connections

            width, color = paper(paper_, no_color)
            render_connections(table, paper_, now=time.time_ns(), width=None if wide else width, color=color)
        else:
            from lastack.report.machine import write_connections

            write_connections(table, paper_, form)
