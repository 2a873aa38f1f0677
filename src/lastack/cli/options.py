"""The options that commands share, and how their output leaves."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from lastack.errors import CallError

if TYPE_CHECKING:
    from lastack.model.filters import Filter
    from lastack.model.time import Nanos

Command = TypeVar("Command", bound=Callable[..., Any])


def duration(_context: click.Context, _parameter: click.Parameter, value: str) -> Nanos:
    """An option's callback: `60s`, `5min` or `2h` as nanoseconds, read in the filter language's own way."""
    from lastack.model.filters.values import duration as read

    try:
        return read(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Nanos | None:
    """An option's callback: `03:12`, `2026-11-21 03:12` or `2h` (ago) as ns since 1970."""
    if value is None:
        return None
    import time

    from lastack.archive.when import moment as read

    try:
        return read(value, time.time_ns())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """An option's callback: `512M`, `2G` as octets."""
    if value is None:
        return None
    units = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number, unit = value[:-1], value[-1:].upper()
    if unit.isdigit():
        number, unit = value, ""
    if not number.isdigit() or unit not in units:
        raise click.BadParameter(f"{value!r} is no size: 512M, 2G")
    return int(number) * units[unit]


def pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """An option's callback: NAME=VALUE, several times."""
    found = []
    for value in values:
        name, equals, meaning = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE", context, parameter)
        found.append((name, meaning))
    return tuple(found)


def captures(command: Command) -> Command:
    """The argument that names captures, and how much memory reading them may take."""
    command = click.option(
        "--memory",
        metavar="SIZE",
        callback=size,
        help="Of captures: keep no more than this of live connections (512M, 2G); older ones leave early. "
        "`connections` as JSON or CSV then writes each when it leaves, and keeps none.",
    )(command)
    return click.argument("paths", nargs=-1, metavar="[CAPTURE...]")(command)


def recorded(command: Command) -> Command:
    """The options that name a recording, and a moment of it."""
    command = click.option(
        "--at",
        metavar="TIME",
        callback=moment,
        help="Of a recording: as it was then (03:12, yesterday 03:12, 2026-11-21 03:12, or 2h for so long ago).",
    )(command)
    return click.option(
        "--recorded",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="Look at what `lastack watch --record DIR` has recorded.",
    )(command)


def watched(command: Command) -> Command:
    """The option that watches first, for so long."""
    return click.option(
        "--for",
        "watch",
        metavar="TIME",
        callback=duration,
        default="0s",
        help="Of this host: first watch for so long who closes connections (BPF, root), so that TIME_WAIT has an "
        "owner. Where `lastack watch` runs, it knows without.",
    )(command)


def waiting(watch: Nanos, elsewhere: bool, quiet: bool = False) -> None:
    """Say on a terminal's standard error what is waited for. Raises CallError where it is not this host's."""
    if watch and elsewhere:
        raise CallError("--for watches this host: it is not for captures or a recording")
    if watch and not quiet and sys.stderr.isatty():
        from lastack.model.time import spoken

        print(f"lastack: watching for {spoken(watch)} who closes connections", file=sys.stderr)


def one_source(paths: tuple[str, ...], directory: Path | None, **needs_one: Nanos | None) -> None:
    """Raises CallError where captures and a recording are both named, or a moment without a recording."""
    if paths and directory is not None:
        raise CallError("name captures or --recorded DIR, not both")
    for name, value in needs_one.items():
        if value is not None and directory is None:
            raise CallError(f"--{name} is a moment of a recording: it needs --recorded DIR")


def _given(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """An option's callback: an empty value is refused, for `--process "$NAME"` must never mean any process."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty: say which, or leave the option out")
    return value or ""


def where(command: Command) -> Command:
    """The options that say which connections: a namespace, a filter, an owner."""
    for option in reversed(
        (
            click.option(
                "--netns",
                default="own",
                show_default=True,
                help="Network namespace: own, all, a name, an inode or a process id.",
            ),
            click.option(
                "-f",
                "--filter",
                "expression",
                callback=_given,
                help="Only these, in the language of ss: 'state close-wait sport = :80'.",
            ),
            click.option("--process", callback=_given, help="Only those of this process: a name or a pid."),
            click.option("--unit", callback=_given, help="Only those of this systemd unit."),
            click.option("--container", callback=_given, help="Only those of this container."),
        )
    ):
        command = option(command)
    return command


def spoken_of(command: Command) -> Command:
    """The option that says how old a closing state must be for the diagnosis to speak of it."""
    return click.option(
        "--min-age",
        metavar="TIME",
        callback=duration,
        default="60s",
        show_default=True,
        help="A closing state younger than this is not spoken of.",
    )(command)


def out(*forms: str) -> Callable[[Command], Command]:
    """The options that say how the answer leaves; the first form is the default."""

    def decorate(command: Command) -> Command:
        for option in reversed(
            (
                click.option(
                    "--format",
                    "form",
                    type=click.Choice(forms),
                    default=forms[0],
                    show_default=True,
                    help="How to show it.",
                ),
                click.option(
                    "-o",
                    "--output",
                    "file",
                    type=click.Path(dir_okay=False, path_type=Path),
                    help="Write to this file.",
                ),
                click.option("--no-color", is_flag=True, help="No colour; NO_COLOR in the environment does the same."),
            )
        ):
            command = option(command)
        return command

    return decorate


def wanted(expression: str, process: str = "", unit: str = "", container: str = "") -> Filter:
    """The filter of a command line. Raises FilterError, which points at the word that cannot be understood."""
    from lastack.model.filters import condition, parse

    found = parse(expression)
    for word, value in (("process", process), ("unit", unit), ("container", container)):
        if value:
            found &= condition(word, "=", value)
    return found


@contextmanager
def output(path: Path | None) -> Iterator[IO[str]]:
    """Where a command writes: a file in UTF-8, or standard output. Raises CallError if it cannot be written."""
    if path is None:
        if sys.stdout is None:
            raise CallError("cannot write: standard output is closed")
        with writing("standard output"):
            yield sys.stdout
            sys.stdout.flush()
        return
    with writing(path), path.open("w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """Turns the system's refusal to write to a place into a CallError. A reader that has gone is no error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CallError(f"cannot write {place}: {error.strerror or error}") from error


def paper(file: IO[str], no_color: bool) -> tuple[int, bool]:
    """The width in cells and whether to colour: as the terminal is; 80 cells and plain where it is none."""
    terminal = file.isatty()
    color = terminal and not no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return shutil.get_terminal_size((80, 24)).columns if terminal else 80, color
