"""One connection's life as lines: what its state waits for, how long it was in each, and its facts."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from lastack.live.transitions.life import UNKNOWN
from lastack.live.transitions.record import SAMPLED
from lastack.model.address import Endpoint, address_text
from lastack.model.close import Closer
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos, spoken
from lastack.report.escape import visible
from lastack.report.socket_view import socket_page

from .parts import LIFE_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lastack.model.record import Array
    from lastack.watch.looker import Followed

_LABEL = 24


def life(followed: Followed, now: Nanos) -> list[Text]:
    """All that is known of the connection that is followed; `now` is when it was looked at."""
    row, told = followed.row, followed.life
    shown = None
    if row is not None:
        info = None if followed.info is None else {name: each.value for name, each in followed.info.items()}
        shown = socket_page(row, info, followed.taken)
        lines = [Text(shown.title, "bold"), Text.assemble((shown.state, "bold"), f" waits for {shown.waits_for}")]
    elif told is not None:
        over = told["state"] == State.CLOSED
        lines = [Text(_ends(told), "bold"), Text("its life is over" if over else "no dump shows it now", "bold")]
    else:
        return [Text("this connection is gone, and its life was not seen")]
    if told is not None:
        lines += [Text(), Text("Life", "bold"), *_lived(told, now)]
    if len(followed.changes):
        lines += [Text(), Text("Changes since it is followed", "bold"), *map(_change, followed.changes)]
    for title, facts in () if shown is None else shown.groups:
        lines += [Text(), Text(title, "bold")]
        lines += [
            Text.assemble(f"  {fact.label:<{_LABEL}} {fact.value}", (f"  {fact.source}", "dim")) for fact in facts
        ]
    return lines


def _ends(told: Array) -> str:
    ends = (
        Endpoint(address_text(*map(int, told[f"{side}_addr"].tolist())), int(told[f"{side}_port"]))
        for side in ("local", "remote")
    )
    return " -> ".join(map(str, ends))


def _lived(told: Array, now: Nanos) -> Iterator[Text]:
    """A line for each state that it was in, in the order of a life, and one for the one that it is in."""
    began, opened, closed = int(told["began"]), Closer(int(told["opened_by"])), Closer(int(told["first_closer"]))
    yield Text(f"  {'began':<{_LABEL}} {_clock(began) if began else 'before it was watched'}")
    if opened is not Closer.UNKNOWN:
        yield Text(f"  {'opened by':<{_LABEL}} {opened.name.lower()}")
    if closed not in (Closer.UNKNOWN, Closer.NOBODY):
        yield Text(f"  {'closed first by':<{_LABEL}} {closed.name.lower()}")
    present, since = int(told["state"]), int(told["since"])
    for state in LIFE_ORDER:
        mark = ", sampled" if int(told["sampled"]) >> state & 1 else ""
        spent = int(told["spent"][state])
        if state == present:
            stay = f"{spoken(max(now - since, 0))} until now" if since else "since before it was watched"
            yield Text.assemble(f"  {state.name:<{_LABEL}} ", (stay, "bold"), mark)
        elif spent:
            yield Text(f"  {state.name:<{_LABEL}} {_stay(spent)}{mark}")
    if present == UNKNOWN:
        yield Text(f"  {'let go by the kernel':<{_LABEL}} in TIME_WAIT or gone: the next dump tells")


def _stay(spent: Nanos) -> str:
    if spent < 0:
        return "not known how long"
    return spoken(spent) if spent >= 10 * MILLISECOND else f"{spent / MILLISECOND:.2f} ms"


def _change(change: Array) -> Text:
    before, after = (State(number).name if number else "?" for number in (int(change["before"]), int(change["after"])))
    pid, command = int(change["pid"]), visible(os.fsdecode(bytes(change["command"])))
    who = f"  by {command} ({pid})" if pid else ""
    sampled = "  sampled" if int(change["flags"]) & SAMPLED else ""
    return Text(f"  {_clock(int(change['at']))}  {before} -> {after}{who}{sampled}")


def _clock(at: Nanos) -> str:
    return f"{datetime.fromtimestamp(at // SECOND).astimezone():%H:%M:%S}.{at % SECOND // 1_000_000:03d}"
