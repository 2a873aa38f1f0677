"""The connections as people read them: which columns there are, and their cells, a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from lastack.model.address import address_text
from lastack.model.close import Viewpoint
from lastack.model.record import ADDRESS, COLUMN, TEXT
from lastack.model.time import SECOND, Nanos

from .escape import visible

if TYPE_CHECKING:
    from lastack.model.record import Array, ConnectionTable

Cell = str | int | bool | None


class Heading(NamedTuple):
    """One column of a listing: its key, its heading, what it means, whether its cells are numbers."""

    key: str
    title: str
    meaning: str
    numeric: bool = False


HEADINGS: Final[tuple[Heading, ...]] = (
    Heading("id", "ID", "what `lastack show` knows it by", numeric=True),
    Heading("netns", "NETNS", "network namespace"),
    Heading("state", "STATE", "state of the local side"),
    Heading("local", "LOCAL", "address and port of this host"),
    Heading("remote", "REMOTE", "address and port of the peer"),
    Heading("age", "AGE", "time in the present state, at least", numeric=True),
    Heading("recv_q", "RECV-Q", "octets received and not yet read; a FIN counts 1", numeric=True),
    Heading("send_q", "SEND-Q", "octets sent or queued, not yet acknowledged", numeric=True),
    Heading("timer", "TIMER", "the timer that is armed, and when it expires", numeric=True),
    Heading("process", "PROCESS", "process that holds the socket, and its pid"),
    Heading("unit", "UNIT", "systemd unit of the process"),
    Heading("container", "CONTAINER", "container of the process"),
    Heading("listener", "LISTENER", "the listening socket that it came in by"),
    Heading("first_ns", "FIRST SEEN", "the first look that it was seen in"),
    Heading("last_ns", "LAST SEEN", "the last look that it was seen in"),
)
CAPTURE_HEADINGS: Final[tuple[Heading, ...]] = (
    HEADINGS[0],
    Heading("local", "CLIENT", "address and port of the side that opened"),
    Heading("remote", "SERVER", "address and port of the other side"),
    Heading("close_kind", "CLOSE", "how it ended"),
    Heading("first_closer", "BY", "who sent the first FIN or RST"),
    Heading("lasted", "LASTED", "from its first segment to its last", numeric=True),
    Heading("octets_out", "OUT", "octets of payload from the client", numeric=True),
    Heading("octets_in", "IN", "octets of payload from the server", numeric=True),
    Heading("local_state", "CLIENT IN", "state of the client's side at the end of the capture"),
    Heading("remote_state", "SERVER IN", "state of the server's side at the end of the capture"),
    Heading("reset_cause", "RESET FOR", "why it was reset, as far as can be seen"),
    Heading("unseen", "UNSEEN", "what the capture lacks of it"),
)
_NEEDS: Final = {
    "lasted": "last_ns",
    "state": "local_state",
    "local": "local_port",
    "remote": "remote_port",
    "age": "age_ns",
    "process": "pid",
}


def headings(table: ConnectionTable) -> tuple[Heading, ...]:
    """The columns worth showing of a table: those with a value in some row; the namespace where it is not the own."""
    captured = "viewpoint" in table and bool((table.values("viewpoint") == Viewpoint.CAPTURE).all())
    chosen = []
    for heading in CAPTURE_HEADINGS if captured and len(table) else HEADINGS:
        column = source(table, heading.key)
        if column not in table or not table.valid(column).any():
            continue
        if heading.key == "timer" and not table.values("timer")[table.valid("timer")].any():
            continue
        if heading.key == "netns" and set(cells(table, "netns")) <= {"own"}:
            continue
        chosen.append(heading)
    return tuple(chosen)


def source(table: ConnectionTable, key: str) -> str:
    """The schema's column that a heading shows: a live socket's ID is its cookie, which outlasts a dump."""
    if key == "id" and "cookie" in table:
        return "cookie"
    return _NEEDS.get(key, key)


def cells(table: ConnectionTable, name: str) -> list[Cell]:
    """A column of the schema as plain Python values, None for null; all text made safe to show."""
    column, filled = COLUMN[name], table.column(name)
    found: list[Cell]
    if column.dtype == ADDRESS:
        found = list(_addresses(filled.values))
    elif column.dtype == TEXT:
        texts = [visible(text) for text in filled.strings] or [""]
        found = [texts[code] for code in filled.values.tolist()]
    elif column.words is not None:
        names = {int(word): word.name for word in column.words}
        found = [names.get(code) for code in filled.values.tolist()]
    else:
        found = filled.values.tolist()
    if filled.valid is None or filled.valid.all():
        return found
    return [cell if known else None for cell, known in zip(found, filled.valid.tolist(), strict=True)]


def _addresses(values: Array) -> list[str]:
    known: dict[tuple[int, int], str] = {}
    texts = []
    for halves in zip(values["high"].tolist(), values["low"].tolist(), strict=True):
        text = known.get(halves)
        if text is None:
            text = known[halves] = address_text(*halves)
        texts.append(text)
    return texts


def listed(table: ConnectionTable, key: str, now: Nanos) -> tuple[Sequence[Cell], list[str]]:
    """A listing's column: the values to sort by, and the texts to show (`-` for null). `now` is when it was taken."""
    if key == "age":
        ages = cells(table, "age_ns")
        return ages, _each_once(ages, lambda age: brief(None if age is None else int(age)))
    if key == "timer":
        return _timers(table, now)
    if key in ("first_ns", "last_ns"):
        instants = cells(table, key)
        return instants, _each_once(instants, lambda at: "-" if at is None else local_time(int(at)))
    if key == "lasted":
        spans = [int(span) for span in (table.values("last_ns") - table.values("first_ns")).tolist()]
        return spans, _each_once(spans, lambda span: brief(None if span is None else int(span)))
    values: Sequence[Cell]
    if key in ("local", "remote"):
        values = _endpoints(table, key)
    elif key == "process":
        values = _processes(table)
    else:
        values = cells(table, source(table, key))
    return values, ["-" if value is None else str(value) for value in values]


def _endpoints(table: ConnectionTable, side: str) -> list[str | None]:
    bracketed: dict[Cell, str] = {}
    ends: list[str | None] = []
    for addr, port in zip(cells(table, f"{side}_addr"), cells(table, f"{side}_port"), strict=True):
        if addr is None or port is None:
            ends.append(None)
            continue
        text = bracketed.get(addr)
        if text is None:
            text = bracketed[addr] = f"[{addr}]" if ":" in str(addr) else str(addr)
        ends.append(f"{text}:{port}")
    return ends


def _processes(table: ConnectionTable) -> list[str | None]:
    """`nginx/4711`; `nginx/4711 +3` where three others hold the socket too."""
    columns = zip(*(cells(table, name) for name in ("command", "pid", "holders")), strict=True)
    return [
        None if pid is None else f"{'?' if command is None else command}/{pid}{_and_others(holders)}"
        for command, pid, holders in columns
    ]


def _and_others(holders: Cell) -> str:
    return f" +{holders - 1}" if isinstance(holders, int) and holders > 1 else ""


def _timers(table: ConnectionTable, now: Nanos) -> tuple[list[Cell], list[str]]:
    left: list[Cell] = []
    texts = []
    for timer, expires in zip(cells(table, "timer"), cells(table, "timer_expires_ns"), strict=True):
        if timer in (None, "OFF"):
            left.append(None)
            texts.append("-")
            continue
        rest = None if expires is None else max(int(expires) - now, 0)
        left.append(rest)
        texts.append(f"{str(timer).lower()} {brief(rest)}")
    return left, texts


def _each_once(values: Sequence[Cell], show: Callable[[Cell], str]) -> list[str]:
    """`show` of each value, called once for each distinct one."""
    known: dict[Cell, str] = {}
    texts = []
    for value in values:
        text = known.get(value)
        if text is None:
            text = known[value] = show(value)
        texts.append(text)
    return texts


def local_time(at: Nanos) -> str:
    """An instant in fourteen characters, in local time: `11-21 03:12:45`."""
    return f"{datetime.fromtimestamp(at // SECOND).astimezone():%m-%d %H:%M:%S}"


def brief(duration: Nanos | None) -> str:
    """A duration in six characters at most: `0.4s`, `41s`, `3m20s`, `2h11m`, `5d3h`, `512d`; `-` for None."""
    if duration is None:
        return "-"
    if duration < 10 * SECOND:
        return f"{max(duration, 0) // (SECOND // 10) / 10:.1f}s"
    seconds = duration // SECOND
    for size, unit, below in ((86_400, "d", "h"), (3_600, "h", "m"), (60, "m", "s")):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            part = rest // {"h": 3_600, "m": 60, "s": 1}[below]
            return f"{count}{unit}{part}{below}" if part and count < 100 else f"{count}{unit}"
    return f"{seconds}s"
