"""`lastack watch`: connections' lives as they happen."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .options import duration, wanted, where

SOURCES = ("best", "bpf", "tracefs", "sock_diag")


def _lasting(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    return None if value is None else duration(context, parameter, value)


@click.command(
    short_help="Connections' lives on this host as they happen.",
    epilog="Example: lastack watch --jsonl -f 'sport = :443' | jq -c 'select(.after == \"CLOSE_WAIT\")'",
)
@where
@click.option("--jsonl", is_flag=True, help="Every change of state as a line of JSON, until Ctrl-C or SIGTERM.")
@click.option(
    "--source",
    type=click.Choice(SOURCES),
    default="best",
    show_default=True,
    help="Where changes of state come from: the best that this machine allows, or this one.",
)
@click.option("--for", "lasting", metavar="TIME", callback=_lasting, help="End after so long.")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --jsonl: write to this file.",
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def watch(
    netns: str,
    expression: str,
    process: str,
    unit: str,
    container: str,
    jsonl: bool,
    source: str,
    lasting: int | None,
    file: Path | None,
    quiet: bool,
) -> None:
    """Watch connections being made, changing state and ending, with who did it where the kernel can know."""
    filter_ = wanted(expression, process, unit, container)
    if jsonl:
        from lastack.watch.stream import stream

        try:
            told = stream(netns, source, filter_, file, lasting, None if quiet else say)
        except BrokenPipeError:
            sys.exit(141)  # the reader has gone, which click would call a failure
        if not quiet:
            say(told)


def say(text: str) -> None:
    """Tell whoever is at the terminal; standard output is for the lines."""
    print(f"lastack: {text}", file=sys.stderr)
