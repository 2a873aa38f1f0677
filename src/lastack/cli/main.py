"""`lastack`: the list of commands, and what becomes of errors."""

from __future__ import annotations

import os
import sys

import typer

from .. import __version__
from ..errors import LastackError
from . import check, connections, show

app = typer.Typer(
    name="lastack",
    help="The life of a TCP connection, and above all its end: what is wrong on this host, whose it is, what to do.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("check", epilog=check.EXAMPLE)(check.check)
app.command("connections", epilog=connections.EXAMPLE)(connections.connections)
app.command("show", epilog=show.EXAMPLE)(show.show)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lastack {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    """What all commands share."""


def main() -> None:
    """Run the command line. Exit status: 0 all well, 1 findings at or above --fail-on, 2 bad usage or input."""
    try:
        app()
    except LastackError as error:
        from ..report.escape import visible

        for line in f"lastack: {error}".splitlines():
            print(visible(line), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone: nothing left to say. Python's own flush at exit must not complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
