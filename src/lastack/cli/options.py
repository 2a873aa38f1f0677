"""The options that commands share, and how their output leaves."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from ..errors import CallError

if TYPE_CHECKING:
    from ..model.filters import Filter
    from ..model.time import Nanos

Netns = Annotated[str, typer.Option(help="Network namespace: own, all, a name, an inode or a process id.")]
Expression = Annotated[
    str, typer.Option("--filter", "-f", help="Only these, in ss's language: 'state close-wait sport = :80'.")
]
ProcessName = Annotated[str, typer.Option("--process", help="Only connections of this process: a name or a pid.")]
Unit = Annotated[str, typer.Option("--unit", help="Only connections of this systemd unit.")]
Container = Annotated[str, typer.Option("--container", help="Only connections of this container.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.", show_default=False)]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colour (NO_COLOR does the same).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.")]


class FailOn(Enum):
    """The gravity of findings from which the exit status is 1."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    NEVER = "never"


def wanted(expression: str, process: str = "", unit: str = "", container: str = "") -> Filter:
    """The filter of a command line. Raises FilterError, which points at the word that cannot be understood."""
    from ..model.filters import condition, parse

    found = parse(expression)
    for word, value in (("process", process), ("unit", unit), ("container", container)):
        if value:
            found &= condition(word, "=", value)
    return found


def duration(text: str) -> Nanos:
    """Nanoseconds from `60s`, `5min`, `0s`; for the options that take a time. Raises typer.BadParameter."""
    from ..model.filters.values import duration as read

    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@contextmanager
def output(path: Path | None) -> Iterator[IO[str]]:
    """Where a command writes: a file in UTF-8, or standard output. Raises CallError if the file cannot be written."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise CallError(f"cannot write {path}: {error.strerror}") from error


def paper(file: IO[str], no_color: bool) -> tuple[int, bool]:
    """The width in cells and whether to colour: as the terminal is; 80 cells and plain where it is none."""
    terminal = file.isatty()
    color = terminal and not no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return shutil.get_terminal_size((80, 24)).columns if terminal else 80, color
