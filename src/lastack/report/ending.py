"""What `lastack end` would do and did: groups of connections to which the same happened, and the same for programs."""

from __future__ import annotations

import json
from textwrap import fill
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from lastack.model.ending import Endings, Outcome
from lastack.model.state import State

from .ending_words import ACTED, KEPT, became, owner_sees, peer_sees, would
from .escape import visible
from .listing import render_connections
from .schema import ENDING
from .view import counted

if TYPE_CHECKING:
    from lastack.model.time import Nanos

_PREVIEW: Final = 10
"""So many rows of a group are listed before anything is done; afterwards all of them."""

_NARROWEST: Final = 30
_ACTED, _LEFT = "1", "33"


class Said(NamedTuple):
    """What is said of a connection: what happens to it, and what those at its two ends see; None where nothing does."""

    said: str
    owner: str | None = None
    peer: str | None = None


def render_ending(endings: Endings, file: IO[str], *, now: Nanos, width: int = 80, color: bool = False) -> None:
    """Write what would be done (`endings.done` None), or was, to `file`; `now` is when it was chosen, Unix ns.

    Connections of which the same is said stand together, those first to which something happens.
    """
    if not len(endings.connections):
        file.write("No connection is chosen: nothing to end.\n")
    groups: dict[Said, list[int]] = {}
    for row in range(len(endings.connections)):
        groups.setdefault(said(endings, row), []).append(row)
    for what, rows in sorted(groups.items(), key=lambda group: (group[0].owner is None, -len(group[1]))):
        style = _ACTED if what.owner else _LEFT
        _write(file, f"{counted(len(rows), 'connection')} {what.said}", width, style if color else "")
        for label, words in (("its process sees", what.owner), ("its peer sees", what.peer)):
            if words:
                _write(file, f"  {label}: {words}", width)
        shown = rows if endings.done else rows[:_PREVIEW]
        render_connections(endings.connections.select(shown), file, now=now, width=width, color=color)
        if len(shown) < len(rows):
            file.write(f"and {len(rows) - len(shown):,} more (--format json tells all)\n")
        file.write("\n")
    if any(what.owner and owned(endings, rows[0]) for what, rows in groups.items()):
        _write(file, KEPT, width)
    for line in endings.unseen:
        _write(file, f"Not seen: {visible(line)}", width)


def said(endings: Endings, row: int) -> Said:
    """What is said of one of the connections."""
    means, left = endings.means, endings.plan[row]
    if endings.done is not None:
        ending = endings.done[row]
        text, acted = became(means, ending), ending.outcome in ACTED
    else:
        text, acted = would(means, left), left is None
    if not acted:
        return Said(text)
    before = State[str(endings.connections.value("local_state", row))]
    here = owned(endings, row)
    return Said(text, owner_sees(means, before, here), peer_sees(means, before, here))


def owned(endings: Endings, row: int) -> bool:
    """Whether a process has a descriptor of it."""
    return endings.connections.value("fd", row) is not None


def _write(file: IO[str], text: str, width: int, style: str = "") -> None:
    """A paragraph, what follows its first line indented."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    folded = fill(text, max(width, _NARROWEST), subsequent_indent=indent)
    file.write(f"\x1b[{style}m{folded}\x1b[0m\n" if style else f"{folded}\n")


def ending_document(endings: Endings) -> dict[str, Any]:
    """The same as plain dictionaries and lists, as `schema.ending_schema` describes them."""
    return {
        "schema": ENDING,
        "means": endings.means.value,
        "done": endings.done is not None,
        "unseen": [visible(line) for line in endings.unseen],
        "counts": _counts(endings),
        "connections": [_entry(endings, row) for row in range(len(endings.connections))],
    }


def write_ending(endings: Endings, file: IO[str]) -> None:
    """Write it as JSON, indented, and a line end."""
    file.write(json.dumps(ending_document(endings), indent=2, allow_nan=False) + "\n")


def _entry(endings: Endings, row: int) -> dict[str, Any]:
    text, owner, peer = said(endings, row)
    ending = None if endings.done is None else endings.done[row]
    left = endings.plan[row] if ending is None else ending.left
    return {
        "outcome": None if ending is None else ending.outcome.value,
        "left": None if left is None else left.value,
        "state": None if ending is None else ending.state.name,
        "said": text,
        "owner_sees": owner,
        "peer_sees": peer,
        "connection": {
            name: visible(value) if isinstance(value, str) else value
            for name, value in endings.connections.row(row).items()
        },
    }


def _counts(endings: Endings) -> dict[str, int]:
    outcomes = [ending.outcome for ending in endings.done or ()]
    return {outcome.value: outcomes.count(outcome) for outcome in Outcome if outcome in outcomes}
