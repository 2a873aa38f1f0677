"""What `lastack end` would do and did: groups of connections to which the same happened, and the same for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from textwrap import fill
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from lastack.model.ending import Ending, Endings, Left, Means, Outcome
from lastack.model.state import State

from .columns import Cell, cells
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
    for row, each in enumerate(said(endings)):
        groups.setdefault(each, []).append(row)
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
    if any(what.owner and endings.connections.valid("fd")[rows[0]] for what, rows in groups.items()):
        _write(file, KEPT, width)
    for line in endings.unseen:
        _write(file, f"Not seen: {visible(line)}", width)


def said(endings: Endings) -> list[Said]:
    """What is said of each of the connections."""
    states = cells(endings.connections, "local_state")
    owned = endings.connections.valid("fd").tolist()
    done = endings.done or [None] * len(endings.plan)
    # Of many the same is said.
    known: dict[tuple[Left | Ending | None, Cell, bool], Said] = {}
    found = []
    for left, ending, state, here in zip(endings.plan, done, states, owned, strict=True):
        key = (ending or left, state, here)
        if key not in known:
            known[key] = _said(endings.means, left, ending, State[str(state)], here)
        found.append(known[key])
    return found


def _said(means: Means, left: Left | None, ending: Ending | None, before: State, owned: bool) -> Said:
    text = would(means, left) if ending is None else became(means, ending)
    if left is not None if ending is None else ending.outcome not in ACTED:
        return Said(text)
    outcome = None if ending is None else ending.outcome
    return Said(text, owner_sees(means, before, owned, outcome), peer_sees(means, before, owned, outcome))


def _write(file: IO[str], text: str, width: int, style: str = "") -> None:
    """A paragraph, what follows its first line indented."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    folded = fill(text, max(width, _NARROWEST), subsequent_indent=indent)
    file.write(f"\x1b[{style}m{folded}\x1b[0m\n" if style else f"{folded}\n")


def ending_document(endings: Endings) -> dict[str, Any]:
    """The same as plain dictionaries and lists, as `schema.ending_schema` describes them."""
    return {**_head(endings), "connections": list(_entries(endings))}


def write_ending(endings: Endings, file: IO[str]) -> None:
    """Write it as JSON, one line a connection."""
    head = json.dumps(_head(endings), indent=2, allow_nan=False).removesuffix("\n}")
    file.write(f'{head},\n  "connections": [')
    for number, entry in enumerate(_entries(endings)):
        file.write(f"{',' if number else ''}\n    {json.dumps(entry, allow_nan=False)}")
    file.write("\n  ]\n}\n")


def _head(endings: Endings) -> dict[str, Any]:
    outcomes = Counter(ending.outcome for ending in endings.done or ())
    return {
        "schema": ENDING,
        "means": endings.means.value,
        "done": endings.done is not None,
        "unseen": [visible(line) for line in endings.unseen],
        "counts": {outcome.value: outcomes[outcome] for outcome in Outcome if outcome in outcomes},
    }


def _entries(endings: Endings) -> Iterator[dict[str, Any]]:
    names = endings.connections.names
    columns = [cells(endings.connections, name) for name in names]
    for row, (text, owner, peer) in enumerate(said(endings)):
        ending = None if endings.done is None else endings.done[row]
        left = endings.plan[row] if ending is None else ending.left
        yield {
            "outcome": None if ending is None else ending.outcome.value,
            "left": None if left is None else left.value,
            "state": None if ending is None else ending.state.name,
            "said": text,
            "owner_sees": owner,
            "peer_sees": peer,
            "connection": dict(zip(names, (column[row] for column in columns), strict=True)),
        }
