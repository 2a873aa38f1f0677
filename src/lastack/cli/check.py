"""`lastack check`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from .options import (
    captures,
    duration,
    one_source,
    out,
    output,
    paper,
    recorded,
    spoken_of,
    waiting,
    wanted,
    watched,
    where,
)
from .progress import progress

if TYPE_CHECKING:
    from lastack.model.report import Report

GRAVITIES = ("info", "warning", "error")


@click.command(
    short_help="What is wrong on this host, or in captures; whose it is, what to do.",
    epilog="Example: lastack check --process nginx --min-age 5min; lastack check eth0.pcapng.gz; "
    "lastack check --recorded /var/lib/lastack --at 03:12",
)
@captures
@recorded
@where
@watched
@spoken_of
@click.option(
    "--pause",
    metavar="TIME",
    callback=duration,
    default="1s",
    show_default=True,
    help="Look at suspect CLOSE_WAIT again after this.",
)
@click.option(
    "--fail-on",
    type=click.Choice((*GRAVITIES, "never")),
    default="error",
    show_default=True,
    help="Exit with 1 if a finding is as grave as this.",
)
@click.option("-v", "--verbose", is_flag=True, help="All evidence, advice and reasons.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
@out("table", "json", "html")
def check(
    paths: tuple[str, ...],
    memory: int | None,
    recorded: Path | None,
    at: int | None,
    netns: str,
    expression: str,
    process: str,
    unit: str,
    container: str,
    watch: int,
    min_age: int,
    pause: int,
    fail_on: str,
    verbose: bool,
    quiet: bool,
    form: str,
    file: Path | None,
    no_color: bool,
) -> None:
    """Tell what is wrong with closing connections, whose they are, why, and what to do.

    Of this host, of the captures named (pcap, pcapng, compressed or not; - is standard input), or of a recording.
    """
    from lastack.diagnose.thresholds import Thresholds

    one_source(paths, recorded, at=at)
    waiting(watch, bool(paths or recorded), quiet)
    chosen, thresholds = wanted(expression, process, unit, container), Thresholds(min_age_ns=min_age)
    if recorded is not None:
        from lastack.lookback import check as look_back

        report = look_back(recorded, at=at, netns=netns, where=chosen, thresholds=thresholds)
    else:
        from lastack.api import check as run

        with progress(quiet or not paths) as told:
            report = run(
                *paths,
                netns=netns,
                where=chosen,
                thresholds=thresholds,
                pause_ns=pause,
                watch_ns=watch,
                memory=memory,
                progress=told,
            )
    with output(file) as paper_:
        write(report, form, paper_, verbose, no_color)
    if file is not None and not quiet:
        print(f"lastack: written to {file}", file=sys.stderr)
    if fail_on != "never" and str(report.worst) in GRAVITIES[GRAVITIES.index(fail_on) :]:
        sys.exit(1)


def write(report: Report, form: str, file: IO[str], verbose: bool, no_color: bool) -> None:
    """Write a report in the form asked for."""
    if form == "json":
        from lastack.report.machine import write_report

        write_report(report, file)
    elif form == "html":
        from lastack.report.html import render as page

        file.write(page(report))
    else:
        from lastack.report.terminal import render

        width, color = paper(file, no_color)
        render(report, file, width=width, color=color, verbose=verbose)
