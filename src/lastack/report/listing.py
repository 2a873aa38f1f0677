"""The connections as text: fixed-width columns chosen by the width, written a chunk of rows at a time."""

from __future__ import annotations

from itertools import count
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from .columns import Heading, cells, headings, listed, source
from .glyphs import Glyphs, glyphs_for, holdable

if TYPE_CHECKING:
    from lastack.model.record import ConnectionTable
    from lastack.model.time import Nanos

_CHUNK: Final = 8_192
_SACRIFICED: Final = (
    *("container", "listener", "unit", "timer", "send_q", "recv_q", "first_ns"),
    *("unseen", "local_state", "remote_state", "reset_cause", "octets_out", "octets_in"),
)
"""What is left out of a narrow listing, in this order; never the namespace: the same addresses may be in each."""

_AGE: Final = 6
_INSTANT: Final = 14
_LEAST: Final = {"process": 12, "local": len(":65535"), "remote": 14}
"""So many cells a column that is cut keeps."""
_NETNS_LEAST: Final = len("pid 4194304") + 1
"""As many it is of namespaces, or those that tell them apart."""

_CUT: Final = ("netns", "local", "process", "remote")
"""What is cut in a listing that is still too wide, and what goes then; a process ends with its pid."""
_LAST: Final = ("local", "netns")
_COLOURS: Final = {
    "ESTABLISHED": "32",
    "CLOSE_WAIT": "1;33",
    "TIME_WAIT": "34",
    "LISTEN": "36",
}
_OTHER_COLOUR: Final = "35"


class _Field(NamedTuple):
    heading: Heading
    width: int
    least: int
    port_only: bool = False
    last: bool = False


def render_connections(
    table: ConnectionTable, file: IO[str], *, now: Nanos, width: int | None = 80, color: bool = False
) -> None:
    """Write one line a connection to `file`: ID first, then what fits into `width` cells (None: all, uncut).

    `now` is when the table was taken, Unix ns. Columns without any value are left out.
    """
    import numpy as np

    glyphs = glyphs_for(file)
    fields = [_Field(each, _width(table, each), _least(table, each.key)) for each in headings(table)]
    fields, gap = _fit(fields, width)
    if not fields:
        file.write("No connections.\n")
        return
    fields[-1] = fields[-1]._replace(last=True)
    head = gap.join(_cell(field, field.heading.title, glyphs) for field in fields).rstrip()
    file.write(f"\x1b[1m{head}\x1b[0m\n" if color else f"{head}\n")
    for start in range(0, len(table), _CHUNK):
        chunk = table.select(np.arange(start, min(start + _CHUNK, len(table))))
        drawn = [_column(chunk, field, now, glyphs, color) for field in fields]
        lines = [gap.join(row) for row in zip(*drawn, strict=True)]
        file.write(holdable("\n".join(lines) + "\n", file))


def _width(table: ConnectionTable, heading: Heading) -> int:
    """Cells that the widest entry of a column can take, from its distinct parts."""

    def distinct(name: str) -> set[str]:
        return {str(cell) for cell in set(cells(table, name))} if name in table else {"-"}

    def widest(texts: set[str]) -> int:
        return max(map(_cells_of, texts), default=1)

    if heading.key in ("local", "remote"):
        addresses = distinct(f"{heading.key}_addr")
        brackets = 2 if any(":" in address for address in addresses) else 0
        content = widest(addresses) + brackets + 1 + widest(distinct(f"{heading.key}_port"))
    elif heading.key == "process":
        shared = table.values("holders") if "holders" in table else ()
        others = max(map(len, (f" +{each - 1}" for each in set(shared) if each > 1)), default=0)
        content = widest(distinct("command")) + 1 + widest(distinct("pid")) + others
    elif heading.key in ("age", "lasted"):
        content = _AGE
    elif heading.key in ("first_ns", "last_ns"):
        content = _INSTANT
    elif heading.key == "timer":
        content = widest(distinct("timer")) + 1 + _AGE
    else:
        content = widest(distinct(source(table, heading.key)))
    return max(content, len(heading.title))


def _least(table: ConnectionTable, key: str) -> int:
    """Cells from which a column's entries, cut to them, still say what they are there for."""
    if key != "netns":
        return _LEAST.get(key, 0)
    names = {str(name) for name in cells(table, key)}
    kept = next(most for most in count(1) if len({name[:most] for name in names}) == len(names))
    return max(_NETNS_LEAST, *(_cells_of(name[:kept]) + 1 for name in names))


def _cells_of(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _fit(fields: list[_Field], width: int | None) -> tuple[list[_Field], str]:
    """The columns that fit, and the gap between them.

    The less important are left out first; then the gaps shrink, of the local end only the port is left, or nothing,
    and long entries are cut.
    """
    gap = "  "
    if width is None:
        return fields, gap
    for key in _SACRIFICED:
        if _over(fields, gap, width) <= 0:
            return fields, gap
        fields = [field for field in fields if field.heading.key != key]
    if _over(fields, gap, width) > 0:
        gap = " "
    for key in _CUT:
        over = _over(fields, gap, width)
        if over <= 0:
            break
        fields = [_narrower(field, over) if field.heading.key == key else field for field in fields]
    for key in _LAST:
        if _over(fields, gap, width) > 0:
            fields = [field for field in fields if field.heading.key != key]
    return fields, gap


def _narrower(field: _Field, over: int) -> _Field:
    if field.heading.key == "local":
        return field._replace(width=field.least, port_only=True)
    return field._replace(width=min(field.width, max(field.width - over, field.least)))


def _over(fields: list[_Field], gap: str, width: int) -> int:
    """By how many cells the columns are too wide."""
    return sum(field.width for field in fields) + len(gap) * (len(fields) - 1) - width


def _column(table: ConnectionTable, field: _Field, now: Nanos, glyphs: Glyphs, color: bool) -> list[str]:
    texts = listed(table, field.heading.key, now)[1]
    if field.port_only:
        texts = [text[max(text.rfind(":"), 0) :] for text in texts]
    drawn = {text: _cell(field, text, glyphs) for text in set(texts)}
    if color and field.heading.key == "state":
        drawn = {text: f"\x1b[{_COLOURS.get(text, _OTHER_COLOUR)}m{cell}\x1b[0m" for text, cell in drawn.items()}
    return [drawn[text] for text in texts]


def _cell(field: _Field, text: str, glyphs: Glyphs) -> str:
    """The text padded or cut to the column's width; an endpoint keeps its port."""
    if not text.isascii():
        return _wide_cell(field, text, glyphs)
    if len(text) > field.width:
        if field.heading.key == "remote":
            keep = text.rindex(":")
            room = field.width - 1 - (len(text) - keep)
            text = text[:room] + glyphs.elided + text[keep:]
        else:
            text = text[: field.width - 1] + glyphs.elided
    if field.heading.numeric and field.heading.key != "timer":
        return text.rjust(field.width)
    return text if field.last else text.ljust(field.width)


def _wide_cell(field: _Field, text: str, glyphs: Glyphs) -> str:
    from rich.cells import set_cell_size

    if _cells_of(text) > field.width:
        return set_cell_size(text, field.width - 1) + glyphs.elided
    return set_cell_size(text, field.width)
