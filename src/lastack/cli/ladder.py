"""`lastack show` of a capture: the ladder of one connection, or its packets alone."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from lastack.errors import CallError

from .options import output, paper, writing
from .progress import progress

if TYPE_CHECKING:
    from lastack.model.address import FourTuple
    from lastack.model.time import Nanos
    from lastack.recorded import Told

_RUNGS: Final = 60
"""Rungs of a life that is folded, where nobody says how tall the page is."""


def show_recorded(
    which: int | FourTuple,
    paths: tuple[str, ...],
    around: str | None,
    whole: bool,
    form: str,
    file: Path | None,
    no_color: bool,
) -> None:
    """Read the captures and show the connection. Raises CallError where there is none of that name."""
    from lastack.recorded import tell

    place = _place(around)
    with progress(False) as told:
        found = tell(paths, which, progress=told)
    if found is None:
        raise CallError(f"no connection of that name is in {', '.join(paths)}: see lastack connections")
    if form == "pcapng" or (file is not None and file.suffix == ".pcapng" and form == "table"):
        _cut(found, paths, file)
        return
    with output(file) as page:
        _draw(found, page, form, None if whole else _most(page), place, no_color)


def _place(around: str | None) -> str | Nanos | None:
    """`open`, `close`, or an instant."""
    from lastack.model.filters.values import duration

    if around in (None, "open", "close"):
        return around
    try:
        return duration(str(around))
    except ValueError as error:
        raise CallError(f"--around {around}: {error}; or open, or close") from None


def _most(page: IO[str]) -> int:
    """How many rungs: as the terminal is tall, or a page full."""
    return max(shutil.get_terminal_size((80, 24)).lines - 4, 20) if page.isatty() else _RUNGS


def _draw(found: Told, page: IO[str], form: str, most: int | None, place: str | Nanos | None, no_color: bool) -> None:
    history = found.history
    if form == "json":
        json.dump(_plain(found), page, indent=1)
        page.write("\n")
    elif form in ("svg", "html"):
        from lastack.report.ladder.svg import render_html, render_svg

        page.write((render_svg if form == "svg" else render_html)(history, most=most, around=place))
    else:
        from lastack.report.ladder.text import render

        width, color = paper(page, no_color)
        if found.incarnations > 1:
            page.write(f"The first of {found.incarnations} connections with these ends.\n")
        render(history, page, width=width, color=color, most=most, around=place)


def _plain(found: Told) -> dict[str, object]:
    """The history as JSON: the row, every segment, every change of state."""
    history = found.history
    return {
        "connection": found.connection.row(0),
        "segments": [segment._asdict() for segment in history.segments],
        "changes": [
            {**change._asdict(), "before": change.before.name, "after": change.after.name} for change in history.changes
        ],
        "unseen": list(history.unseen),
    }


def _cut(found: Told, paths: tuple[str, ...], file: Path | None) -> None:
    from lastack.recorded import cut_out

    if file is None:
        raise CallError("a pcapng needs a name: -o FILE")
    with writing(file), file.open("wb") as target:
        count = cut_out(paths, found, target)
    print(f"lastack: {count:,} packets written to {file}", file=sys.stderr)
