"""`lastack watch`: connections' lives as they happen."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from lastack.errors import CallError

from .options import duration, size, spoken_of, wanted, where

if TYPE_CHECKING:
    from lastack.watch.looker import Asked

SOURCES = ("best", "bpf", "tracefs", "sock_diag")


def _lasting(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    return None if value is None else duration(context, parameter, value)


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """`ADDR:PORT`; of an IPv6 address in brackets."""
    if value is None:
        return None
    addr, colon, port = value.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise click.BadParameter(f"{value!r} is no ADDR:PORT")
    return addr.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)


@click.command(
    short_help="Connections' lives on this host as they happen.",
    epilog="Example: lastack watch; lastack watch --prometheus 127.0.0.1:9465 --record /var/lib/lastack; "
    "lastack watch --jsonl -f 'sport = :443' | jq -c 'select(.after == \"CLOSE_WAIT\")'",
)
@where
@click.option("--jsonl", is_flag=True, help="Every change of state as a line of JSON, until Ctrl-C or SIGTERM.")
@click.option(
    "--prometheus", "at", metavar="ADDR:PORT", callback=_address, help="No screen: serve metrics over HTTP there."
)
@click.option(
    "--record",
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="No screen: keep looks in DIR, for `lastack check --recorded DIR --at TIME`.",
)
@click.option(
    "--record-every",
    metavar="TIME",
    callback=duration,
    default="1min",
    show_default=True,
    help="From look to look that is kept.",
)
@click.option(
    "--keep-size", metavar="SIZE", callback=size, default="1G", show_default=True, help="DIR never holds more."
)
@click.option(
    "--keep-age",
    metavar="TIME",
    callback=duration,
    default="7d",
    show_default=True,
    help="DIR holds so much of what was recorded last.",
)
@click.option(
    "--every", metavar="TIME", callback=_lasting, help="From look to look at everything; 2s, without a screen 10s."
)
@spoken_of
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
@click.option("--no-color", is_flag=True, help="No colour; NO_COLOR in the environment does the same.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def watch(
    netns: str,
    expression: str,
    process: str,
    unit: str,
    container: str,
    jsonl: bool,
    at: tuple[str, int] | None,
    directory: Path | None,
    record_every: int,
    keep_size: int,
    keep_age: int,
    every: int | None,
    min_age: int,
    source: str,
    lasting: int | None,
    file: Path | None,
    no_color: bool,
    quiet: bool,
) -> None:
    """Watch connections being made, changing state and ending, with who did it where the kernel can know.

    On a full screen, with what is wrong as it appears and clears (? shows the keys); or as lines, to Prometheus, into a
    directory.
    """
    filter_ = wanted(expression, process, unit, container)
    _only_with("--jsonl", jsonl, "file")
    _only_with("--record", directory is not None, "record_every", "keep_size", "keep_age")
    if jsonl:
        if at is not None or directory is not None:
            raise CallError("--jsonl stands alone: run --prometheus and --record beside it")
        from lastack.watch.stream import stream

        told = stream(netns, source, filter_, file, lasting, None if quiet else say)
        if not quiet:
            say(told)
        return
    from lastack.diagnose.thresholds import Thresholds
    from lastack.model.time import SECOND
    from lastack.watch.looker import Asked

    served = at is not None or directory is not None
    asked = Asked(
        netns,
        None if filter_.condition is None else filter_,
        source,
        every or (10 if served else 2) * SECOND,
        Thresholds(min_age_ns=min_age),
    )
    if served:
        from lastack.watch.service import Kept, serve

        kept = None if directory is None else Kept(directory, record_every, keep_size, keep_age)
        serve(asked, at=at, kept=kept, lasting=lasting, quiet=quiet)
    else:
        _show(asked, lasting, no_color)


def _only_with(option: str, there: bool, *names: str) -> None:
    """Raises CallError where an option is given that means nothing without another."""
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if not there and given and parameter.name in names:
            raise CallError(f"{parameter.opts[-1]} is for {option}")


def _show(asked: Asked, lasting: int | None, no_color: bool) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        raise CallError("the full-screen view needs a terminal; without one: --jsonl, --prometheus or --record")
    if no_color:
        os.environ["NO_COLOR"] = "1"
    from lastack.watch.screen.app import run

    run(asked, lasting)


def say(text: str) -> None:
    """Tell whoever is at the terminal; standard output is for the lines."""
    print(f"lastack: {text}", file=sys.stderr)
