"""`lastack check`: the main job."""

from __future__ import annotations

import sys
from enum import Enum
from typing import IO, TYPE_CHECKING, Annotated

import typer

from .options import (
    Container,
    Expression,
    FailOn,
    Netns,
    NoColor,
    Output,
    ProcessName,
    Quiet,
    Unit,
    duration,
    output,
    paper,
    wanted,
)

if TYPE_CHECKING:
    from ..model.report import Report

EXAMPLE = "Example: lastack check --process nginx --min-age 5min; lastack check --format html -o report.html"


class Format(Enum):
    """How a report is shown."""

    TABLE = "table"
    JSON = "json"
    HTML = "html"


def check(
    netns: Netns = "own",
    expression: Expression = "",
    process: ProcessName = "",
    unit: Unit = "",
    container: Container = "",
    min_age: Annotated[str, typer.Option(help="A closing state younger than this is not spoken of.")] = "60s",
    pause: Annotated[str, typer.Option(help="Look at suspect CLOSE_WAIT again after this.")] = "1s",
    fail_on: Annotated[FailOn, typer.Option(help="Exit with 1 if a finding is as grave as this.")] = FailOn.ERROR,
    form: Annotated[Format, typer.Option("--format", help="How to show it.")] = Format.TABLE,
    file: Output = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All evidence and advice.")] = False,
    no_color: NoColor = False,
    quiet: Quiet = False,
) -> None:
    """Tell what is wrong with this host's closing connections, whose they are, why, and what to do."""
    from ..api import check as run
    from ..diagnose.thresholds import Thresholds

    report = run(
        netns,
        where=wanted(expression, process, unit, container),
        thresholds=Thresholds(min_age_ns=duration(min_age)),
        pause_ns=duration(pause),
    )
    with output(file) as paper_:
        write(report, form, paper_, verbose, no_color)
    if file is not None and not quiet:
        print(f"lastack: written to {file}", file=sys.stderr)
    worst = report.worst
    if fail_on is not FailOn.NEVER and worst is not None and str(worst) in _at_least(fail_on):
        raise typer.Exit(1)


def write(report: Report, form: Format, file: IO[str], verbose: bool, no_color: bool) -> None:
    """Write a report in the form asked for."""
    if form is Format.JSON:
        from ..report.machine import write_report

        write_report(report, file)
    elif form is Format.HTML:
        from ..report.html import render as page

        file.write(page(report))
    else:
        from ..report.terminal import render

        width, color = paper(file, no_color)
        render(report, file, width=width, color=color, verbose=verbose)


def _at_least(gravity: FailOn) -> tuple[str, ...]:
    order = ("info", "warning", "error")
    return order[order.index(gravity.value) :]
