"""`lastack connections`: one row a connection."""

from __future__ import annotations

import re
import sys
import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lastack.errors import CallError

from .options import (
    captures,
    duration,
    moment,
    one_source,
    out,
    output,
    paper,
    recorded,
    waiting,
    wanted,
    watched,
    where,
    writing,
)
from .progress import progress

if TYPE_CHECKING:
    from lastack.model.filters import Filter
    from lastack.model.record import ConnectionTable
    from lastack.model.time import Nanos


@click.command(
    epilog="Example: lastack connections -f 'state close-wait and age > 5min'; lastack connections -w eth0.pcap; "
    "lastack connections --recorded DIR --since 02:00 --until 03:00"
)
@captures
@recorded
@click.option("--since", metavar="TIME", callback=moment, help="Of a recording: all that were seen from then on.")
@click.option("--until", metavar="TIME", callback=moment, help="Of a recording: all that were seen until then.")
@where
@watched
@click.option(
    "--min-age", metavar="TIME", callback=duration, default="0s", help="Only those at least as long in their state."
)
@click.option("-a", "--all", "everything", is_flag=True, help="Listening sockets too.")
@click.option("-w", "--wide", is_flag=True, help="All columns, however wide.")
@out("table", "json", "jsonl", "csv", "parquet")
def connections(
    paths: tuple[str, ...],
    memory: int | None,
    recorded: Path | None,
    at: int | None,
    since: int | None,
    until: int | None,
    netns: str,
    expression: str,
    process: str,
    unit: str,
    container: str,
    watch: int,
    min_age: int,
    everything: bool,
    wide: bool,
    form: str,
    file: Path | None,
    no_color: bool,
) -> None:
    """List connections: this host's with states, ages, queues, owners; those of captures with how they ended.

    Of a recording: as they were at one moment, or all that were seen, each as it was last seen.
    """
    from lastack.api import connections as read
    from lastack.model.filters import condition, parse
    from lastack.model.filters.values import duration_text

    one_source(paths, recorded, at=at, since=since, until=until)
    waiting(watch, bool(paths or recorded))
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
    now = time.time_ns()
    if recorded is not None:
        table, now = _look_back(recorded, at, since, until, netns, chosen)
    else:
        with progress(not paths) as told:
            table = read(*paths, netns=netns, where=chosen, watch_ns=watch, memory=memory, progress=told)
    if form == "parquet" and file is not None:
        with writing(file):
            table.write_parquet(file)
        return
    with output(file) as paper_:
        if form == "table":
            from lastack.report.listing import render_connections

            width, color = paper(paper_, no_color)
            render_connections(table, paper_, now=now, width=None if wide else width, color=color)
        else:
            from lastack.report.machine import write_connections

            write_connections(table, paper_, form)


def _look_back(
    directory: Path, at: Nanos | None, since: Nanos | None, until: Nanos | None, netns: str, where: Filter
) -> tuple[ConnectionTable, Nanos]:
    """The connections of a recording, and the moment that they are shown at; what could not be read goes to stderr."""
    from lastack.archive.when import shown
    from lastack.lookback import connections, connections_between
    from lastack.report.escape import visible

    if since is not None and until is not None and since > until:
        raise CallError(f"--since ({shown(since)}) is after --until ({shown(until)})")
    if at is None:
        with progress(silent=False) as told:
            found = connections_between(directory, since, until, netns=netns, where=where, progress=told)
    elif since is None and until is None:
        found = connections(directory, at=at, netns=netns, where=where)
    else:
        raise CallError("--at is one moment: give it, or --since and --until")
    for line in found.unseen:
        print(f"lastack: not seen: {visible(line)}", file=sys.stderr)
    return found.connections, found.at or 0
