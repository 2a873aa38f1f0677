"""The one schema: what is known of a connection, as columns. Every instrument fills it, every rule reads it.

A `ConnectionTable` is a set of NumPy columns with masks. A column that was not filled is all null; nothing is ever a
made-up zero. Importing this module does not import NumPy; making a table does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .address import address_text
from .close import CloseKind, Closer, Timer, Viewpoint
from .state import State

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

TEXT: Final = "text"
ADDRESS: Final = "address"


class Column(NamedTuple):
    """One column: its name, what its values are, their unit, and what they mean.

    `dtype` is a NumPy integer name, `bool`, `text` (codes into a tuple of strings) or `address` (two 64-bit halves).
    `words` names the values of an enumerated column.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
    words: type[IntEnum] | None = None


_INSTANT = "ns since 1970"
_CLOSING = ("fin_wait_1", "fin_wait_2", "closing", "time_wait", "close_wait", "last_ack")

COLUMNS: Final[tuple[Column, ...]] = (
    Column("id", "uint32", "", "ordinal of the connection within what was observed, from 1"),
    Column("viewpoint", "uint8", "", "where it was observed", Viewpoint),
    Column("netns", TEXT, "", "network namespace (host): own, a name, or `pid` and a process in it"),
    Column("family", "uint8", "", "4 or 6: what is on the wire"),
    Column("local_addr", ADDRESS, "", "this host's address; in a capture, the side that opened"),
    Column("local_port", "uint16", "", "this host's port"),
    Column("remote_addr", ADDRESS, "", "the peer's address"),
    Column("remote_port", "uint16", "", "the peer's port"),
    Column("opened_by", "uint8", "", "who sent the first SYN", Closer),
    Column("first_closer", "uint8", "", "who sent the first FIN or RST", Closer),
    Column("close_kind", "uint8", "", "how it ended", CloseKind),
    Column("local_state", "uint8", "", "state of the local side", State),
    Column("remote_state", "uint8", "", "state of the remote side", State),
    Column("first_ns", "int64", _INSTANT, "first seen"),
    Column("last_ns", "int64", _INSTANT, "last seen"),
    Column("segments_out", "uint64", "segments", "sent by local"),
    Column("segments_in", "uint64", "segments", "received by local"),
    Column("octets_out", "uint64", "octets", "payload sent by local"),
    Column("octets_in", "uint64", "octets", "payload received by local"),
    Column("syn_out", "uint32", "segments", "SYNs sent by local"),
    Column("syn_in", "uint32", "segments", "SYNs received by local"),
    Column("fin_out", "uint32", "segments", "FINs sent by local"),
    Column("fin_in", "uint32", "segments", "FINs received by local"),
    Column("rst_out", "uint32", "segments", "RSTs sent by local"),
    Column("rst_in", "uint32", "segments", "RSTs received by local"),
    Column("close_segments", "uint32", "segments", "from the first FIN or RST to the last ACK"),
    Column("reset_cause", TEXT, "", "why it was reset, as far as can be seen"),
    Column("fin_retransmits_out", "uint32", "segments", "local FINs sent again"),
    Column("fin_retransmits_in", "uint32", "segments", "remote FINs sent again"),
    Column("reuse_gap_ns", "int64", "ns", "from the close to the next SYN of the same four-tuple"),
    Column("reset_state", "uint8", "", "the state that the RST met", State),
    Column("reset_silence_ns", "int64", "ns", "how long the sender of the RST had been silent before it"),
    Column("lost_out", "uint64", "octets", "sent by local and never acknowledged when a RST ended it"),
    Column("lost_in", "uint64", "octets", "sent by remote and never acknowledged when a RST ended it"),
    Column("handshake_rtt_ns", "int64", "ns", "from SYN to the ACK of the SYN,ACK, where neither was sent twice"),
    Column("retransmits_out", "uint32", "segments", "sent again by local: text, SYN or FIN"),
    Column("retransmits_in", "uint32", "segments", "sent again by remote: text, SYN or FIN"),
    Column("keepalives_out", "uint32", "segments", "keepalive probes sent by local"),
    Column("keepalives_in", "uint32", "segments", "keepalive probes received by local"),
    Column("zero_windows_out", "uint32", "times", "local closed its window: what came was not read"),
    Column("zero_windows_in", "uint32", "times", "remote closed its window"),
    Column("last_acks_again_out", "uint32", "segments", "ACKs of the peer's FIN sent again by local"),
    Column("last_acks_again_in", "uint32", "segments", "ACKs of the peer's FIN sent again by remote"),
    Column("fin_early_out", "bool", "", "local's FIN came before data that belongs in front of it"),
    Column("fin_early_in", "bool", "", "remote's FIN came before data that belongs in front of it"),
    Column("duplicates", "uint32", "packets", "in the capture twice (same IP identification), and counted once"),
    Column("unseen", TEXT, "", "what the capture lacks: start, local, remote, segments, memory (it left early)"),
    Column("first_frame", "uint64", "", "number of its first frame; the file, where there are several, from bit 40"),
    *(
        Column(f"{side}_{state}_ns", "int64", "ns", f"time that {side} spent in {state.upper()}")
        for side in ("local", "remote")
        for state in _CLOSING
    ),
    Column("pid", "int32", "", "process that holds the socket (host); where none does, who closed it, if watched"),
    Column("command", TEXT, "", "its name"),
    Column("program", TEXT, "", "what it runs, where it is an interpreter: script, jar, module"),
    Column("fd", "int32", "", "its descriptor"),
    Column("holders", "uint16", "processes", "processes that hold a descriptor of the socket"),
    Column("uid", "uint32", "", "user that owns the socket"),
    Column("inode", "uint64", "", "inode of the socket; 0: it has no descriptor (never accepted, or orphaned)"),
    Column("cookie", "uint64", "", "the kernel's socket cookie"),
    Column("recv_q", "uint32", "octets", "received and not yet read (a FIN counts 1); of a listener, its accept queue"),
    Column("send_q", "uint32", "octets", "sent or queued, not yet acknowledged; of a listener, the queue's limit"),
    Column("timer", "uint8", "", "timer that is armed", Timer),
    Column("timer_expires_ns", "int64", _INSTANT, "when it expires"),
    Column("retransmits", "uint8", "", "unanswered retransmissions or probes in a row"),
    Column("last_ack_received_ns", "int64", _INSTANT, "last ACK received"),
    Column("last_data_received_ns", "int64", _INSTANT, "last data received"),
    Column("last_data_sent_ns", "int64", _INSTANT, "last data sent"),
    Column("age_ns", "int64", "ns", "time in the present state, at least"),
    Column("age_most_ns", "int64", "ns", "time in the present state, at most"),
    Column("timestamps", "bool", "", "TCP timestamps were negotiated (RFC 7323)"),
    Column("listener", TEXT, "", "the listening socket that it came in by"),
    Column("unit", TEXT, "", "systemd unit of the process"),
    Column("container", TEXT, "", "container of the process"),
)

COLUMN: Final[Mapping[str, Column]] = {column.name: column for column in COLUMNS}


class Values:
    """One filled column: values, a mask of what is not null (None: nothing is), and the strings of a text column."""

    __slots__ = ("strings", "valid", "values")

    def __init__(self, values: Array, valid: Array | None = None, strings: tuple[str, ...] = ()) -> None:
        self.values = values
        self.valid = valid
        self.strings = strings

    def take(self, rows: Array) -> Values:
        """The rows that a boolean mask or an array of indices selects."""
        return Values(self.values[rows], None if self.valid is None else self.valid[rows], self.strings)


def address_dtype() -> np.dtype[Any]:
    """The dtype of an address column: its two halves as native unsigned integers."""
    import numpy as np

    return np.dtype([("high", "u8"), ("low", "u8")])


class ConnectionTable:
    """Connections as columns. Immutable by convention: every method returns a new table.

    `filled` maps a column's name to a NumPy array (no nulls) or to `Values`; every array has `length` rows.
    """

    __slots__ = ("_filled", "_length")

    def __init__(self, length: int = 0, filled: Mapping[str, Values | Array] | None = None) -> None:
        self._length = length
        self._filled: dict[str, Values] = {}
        for name, values in (filled or {}).items():
            kept = values if isinstance(values, Values) else Values(values)
            if name not in COLUMN:
                raise ValueError(f"no column is called {name!r}")
            if len(kept.values) != length:
                raise ValueError(f"column {name!r} has {len(kept.values)} rows, the table {length}")
            self._filled[name] = kept

    # -- reading

    def __len__(self) -> int:
        return self._length

    def __contains__(self, name: str) -> bool:
        return name in self._filled

    @property
    def names(self) -> tuple[str, ...]:
        """The filled columns, in the schema's order."""
        return tuple(column.name for column in COLUMNS if column.name in self._filled)

    def column(self, name: str) -> Values:
        """A column's values, mask and strings; all null where it was never filled."""
        found = self._filled.get(name)
        return self._null(name) if found is None else found

    def values(self, name: str) -> Array:
        """A column's raw values: numbers, codes of a text column, halves of an address. Nulls hold anything."""
        return self.column(name).values

    def valid(self, name: str) -> Array:
        """Which rows of a column are not null, as a boolean array."""
        import numpy as np

        found = self.column(name)
        return np.ones(self._length, np.bool_) if found.valid is None else found.valid

    def value(self, name: str, row: int) -> str | int | bool | None:
        """One value as a person reads it: state names, dotted addresses, plain numbers; None for null."""
        found = self._filled.get(name)
        if found is None or (found.valid is not None and not found.valid[row]):
            return None
        column, raw = COLUMN[name], found.values[row]
        if column.dtype == ADDRESS:
            return address_text(int(raw["high"]), int(raw["low"]))
        if column.dtype == TEXT:
            return found.strings[int(raw)]
        if column.words is not None:
            return column.words(int(raw)).name
        return bool(raw) if column.dtype == "bool" else int(raw)

    def row(self, row: int) -> dict[str, str | int | bool | None]:
        """One connection as a dictionary of its filled columns."""
        return {name: self.value(name, row) for name in self.names}

    def rows(self, limit: int | None = None) -> Iterator[dict[str, str | int | bool | None]]:
        """The connections as dictionaries, in order, `limit` of them at most."""
        for row in range(self._length if limit is None else min(limit, self._length)):
            yield self.row(row)

    # -- choosing

    def select(self, rows: Array | Sequence[int]) -> ConnectionTable:
        """The rows that a boolean mask or an array of indices names, in that order."""
        import numpy as np

        chosen = np.asarray(rows)
        if chosen.dtype != np.bool_:
            chosen = chosen.astype(np.intp)
        length = int(np.count_nonzero(chosen)) if chosen.dtype == np.bool_ else len(chosen)
        return ConnectionTable(length, {name: values.take(chosen) for name, values in self._filled.items()})

    def in_state(self, *states: State) -> Array:
        """A boolean mask of the rows whose local side is in one of the states."""
        import numpy as np

        return self.valid("local_state") & np.isin(self.values("local_state"), [int(s) for s in states])

    def groups(self, *names: str) -> list[tuple[tuple[str | int | bool | None, ...], Array]]:
        """Rows that agree in the named columns: (their values, their indices), largest group first."""
        import numpy as np

        if not self._length:
            return []
        keys: list[Array] = []
        for name in names:
            found = self.column(name)
            parts = (
                [found.values[half] for half in ("high", "low")] if COLUMN[name].dtype == ADDRESS else [found.values]
            )
            valid = self.valid(name)
            keys.append(valid)
            keys.extend(np.where(valid, part, 0) for part in parts)
        order = np.lexsort(keys)
        changes = np.zeros(self._length, np.bool_)
        changes[0] = True
        for key in keys:
            sorted_key = key[order]
            changes[1:] |= sorted_key[1:] != sorted_key[:-1]
        pieces = np.split(order, np.flatnonzero(changes)[1:])
        pieces.sort(key=lambda piece: (-len(piece), int(piece[0])))
        return [(tuple(self.value(name, int(piece[0])) for name in names), np.sort(piece)) for piece in pieces]

    def with_columns(self, filled: Mapping[str, Values | Array]) -> ConnectionTable:
        """The same rows with columns added or replaced."""
        return ConnectionTable(self._length, {**self._filled, **filled})

    def without(self, *names: str) -> ConnectionTable:
        """The same rows with columns left empty."""
        return ConnectionTable(self._length, {n: values for n, values in self._filled.items() if n not in names})

    @staticmethod
    def concatenate(tables: Sequence[ConnectionTable]) -> ConnectionTable:
        """One table of all the rows; a column that only some of them have is null in the others."""
        import numpy as np

        tables = [table for table in tables if len(table)]
        if len(tables) <= 1:
            return tables[0] if tables else ConnectionTable()
        filled: dict[str, Values | Array] = {}
        for name in dict.fromkeys(name for table in tables for name in table.names):
            valid = np.concatenate([table.valid(name) for table in tables])
            if COLUMN[name].dtype == TEXT:
                index: dict[str, int] = {}
                codes = []
                for table in tables:
                    found = table.column(name)
                    new = [index.setdefault(text, len(index)) for text in found.strings]
                    codes.append(np.array(new or [0], np.int32)[np.where(table.valid(name), found.values, 0)])
                filled[name] = Values(np.concatenate(codes), valid, tuple(index))
            else:
                filled[name] = Values(np.concatenate([table.values(name) for table in tables]), valid)
        return ConnectionTable(sum(len(table) for table in tables), filled)

    # -- leaving

    def __arrow_c_schema__(self) -> object:
        """The schema for Arrow consumers (Arrow PyCapsule interface)."""
        from .arrow import schema_capsule

        return schema_capsule(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows for Arrow consumers: Polars, pandas, DuckDB and PyArrow take the table as it is."""
        from .arrow import stream_capsule

        return stream_capsule(self, requested_schema)

    def write_parquet(self, path: str | Path) -> None:
        """Write the filled columns to a Parquet file. Raises CallError where pyarrow is not installed."""
        from .arrow import write_parquet

        write_parquet(self, path)

    def _null(self, name: str) -> Values:
        import numpy as np

        column = COLUMN[name]
        kind: Any = {TEXT: np.int32, ADDRESS: address_dtype()}.get(column.dtype, column.dtype)
        return Values(np.zeros(self._length, kind), np.zeros(self._length, np.bool_))


def text_values(texts: Sequence[str | None]) -> Values:
    """A text column from one string a row (None for null)."""
    import numpy as np

    index: dict[str, int] = {}
    codes = np.fromiter((-1 if t is None else index.setdefault(t, len(index)) for t in texts), np.int32, len(texts))
    return Values(np.maximum(codes, 0), codes >= 0, tuple(index))


def address_values(addresses: Sequence[tuple[int, int]]) -> Values:
    """An address column from the two halves of each row's address."""
    import numpy as np

    return Values(np.array(list(addresses), address_dtype()))
