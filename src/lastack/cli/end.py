"""`lastack end`: connections that hang are ended, in order where that can be done."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from lastack.errors import CallError

from .options import duration, out, output, paper, wanted, where, writing
from .show import identity

if TYPE_CHECKING:
    from lastack.model.ending import Endings
    from lastack.model.time import Nanos


@click.command(
    short_help="End connections that hang: a FIN where possible, --reset where not.",
    epilog="Example: lastack end --process worker --min-age 1h; lastack end -f 'state established idle > 8h'; "
    "lastack end --reset 4171",
)
@click.argument("names", nargs=-1, metavar="[ID...]")
@where
@click.option("--all-netns", is_flag=True, help="In every network namespace: the same as --netns all.")
@click.option("--min-age", metavar="TIME", callback=duration, default="0s", help="Only those so long in their state.")
@click.option("--reset", is_flag=True, help="Not in order but at once: the kernel sends a RST (SOCK_DESTROY; root).")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@out("table", "json")
def end(
    names: tuple[str, ...],
    netns: str,
    expression: str,
    process: str,
    unit: str,
    container: str,
    all_netns: bool,
    min_age: int,
    reset: bool,
    yes: bool,
    dry_run: bool,
    form: str,
    file: Path | None,
    no_color: bool,
) -> None:
    """End connections that hang, after showing which and asking.

    By a FIN, sent on the socket of the very process that has it, so that the peer gets an orderly end; with --reset at
    once. Chosen by a filter, an owner or IDs (as `lastack connections` lists them). A filter that names no state is
    about closing ones only (CLOSE_WAIT, FIN_WAIT_1, FIN_WAIT_2, CLOSING, LAST_ACK). Listening sockets, and the
    connection of your own terminal, are ended only by ID.

    Exit status: 0 nothing that was chosen stays as it was, 1 something does, 2 bad usage.
    """
    from lastack.ending import end as run
    from lastack.model.ending import Means
    from lastack.model.filters import condition
    from lastack.model.filters.values import duration_text

    chosen = wanted(expression, process, unit, container)
    if min_age:
        chosen &= condition("age", ">=", duration_text(min_age))
    now = time.time_ns()

    def agreed(told: Endings) -> bool:
        # Where all is left alone there is nothing to ask.
        if dry_run or not (yes or None not in told.plan or _asked(told, now, no_color)):
            return False
        if file is not None:
            with writing(file):  # what was done must not go untold
                file.open("a").close()
        return True

    endings = run(
        *map(identity, names),
        where=chosen,
        netns="all" if all_netns else netns,
        means=Means.RST if reset else Means.FIN,
        agreed=agreed,
    )
    with output(file) as paper_:
        if form == "json":
            from lastack.report.ending import write_ending

            write_ending(endings, paper_)
        elif endings.done is not None or dry_run or not endings.plan:
            _show(endings, paper_, now, no_color)
    if endings.done is None and endings.plan and not dry_run:
        print("lastack: nothing was ended", file=sys.stderr)
    if not dry_run and _something_stays(endings):
        sys.exit(1)


def _asked(told: Endings, now: Nanos, no_color: bool) -> bool:
    """Show what would be done on standard error, and ask there: standard output is for what was done."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise CallError(
            "nothing was ended: there is no terminal to ask at; say --yes, or --dry-run to see what would be"
        )
    _show(told, sys.stderr, now, no_color)
    count = told.plan.count(None)
    return click.confirm(f"End {count:,} connection{'' if count == 1 else 's'}?", err=True)


def _show(endings: Endings, file: IO[str], now: Nanos, no_color: bool) -> None:
    from lastack.report.ending import render_ending

    width, color = paper(file, no_color)
    render_ending(endings, file, now=now, width=width, color=color)


def _something_stays(endings: Endings) -> bool:
    if endings.done is None:
        return bool(endings.plan)
    return any(ending.outcome.failed for ending in endings.done)
