"""`lastack`: the list of commands, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from lastack import __version__
from lastack.errors import LastackError

from .check import check
from .connections import connections
from .end import end
from .lab import lab
from .script import script
from .show import show
from .tun import tun
from .warm import warm
from .watch import watch


def _version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    """Say the version, and whether the engine runs compiled here."""
    if wanted:
        native = any(path.suffix in (".so", ".pyd") for path in (Path(__file__).parents[1] / "model").glob("state.*"))
        build = "compiled" if native else "interpreted"
        click.echo(f"lastack {__version__} ({build} engine)")
        context.exit()


@contextmanager
def _until_nobody_reads() -> Iterator[None]:
    """Where the reader has gone (`| head`), end as SIGPIPE ends other tools: quietly, with the status of that."""
    try:
        yield
    except BrokenPipeError:
        sys.exit(141)


class _Commands(click.Group):
    """Click itself would call it a failure, status 1, that nobody reads any more, before `main` sees it."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        with _until_nobody_reads():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with _until_nobody_reads():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def app() -> None:
    """The life of a TCP connection, and above all its end: what is wrong, whose it is, what to do."""


app.add_command(check)
app.add_command(connections)
app.add_command(lab)
app.add_command(end)
app.add_command(script)
app.add_command(show)
app.add_command(tun)
app.add_command(warm)
app.add_command(watch)


def main() -> None:
    """Run the command line. Exit status: 0 all well, 1 findings at or above --fail-on, 2 bad usage or input.

    141, as with other tools: nobody reads any more. Raises KeyboardInterrupt.
    """
    # NumPy's BLAS, which nothing here uses, would start a thread a core and let them spin: a third of the CPU time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app(prog_name="lastack", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except LastackError as error:
        from lastack.report.escape import visible

        for line in f"lastack: {error}".splitlines():
            print(visible(line), file=sys.stderr)
        sys.exit(2)
    except click.Abort:
        raise KeyboardInterrupt from None
    except OSError as error:
        print(f"lastack: {error}", file=sys.stderr)
        sys.exit(2)
    finally:
        _flush()


def _flush() -> None:
    """Write out what is left; where that cannot be done, Python must not try again, and complain, when it exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
