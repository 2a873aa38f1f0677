"""Changes of state as JSON lines, written by columns: a line a change at the rates of a busy kernel.

Every line is a row of a structured array of octets, constant text and values in turn. Values of a column are all as
wide as the widest, with blanks, which JSON allows between its tokens: to take them out again would cost a third of
the whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.live.transitions.record import NUMBERED, SAMPLED
from lastack.live.transitions.sorting import distinct
from lastack.model.address import address_text
from lastack.model.state import State

if TYPE_CHECKING:
    from lastack.model.record import Array

_SECOND: Final = 1_000_000_000
_CHUNK: Final = 10_000
_NULL: Final = b"null"


class Lines:
    """Makes lines, always in the same place: fresh memory would cost more than what is written there."""

    def __init__(self) -> None:
        self._room = np.empty(0, np.uint8)

    def of(self, changes: Array, stayed: Array) -> memoryview:
        """One line a change: TRANSITION rows, and how long each had been in `before` (ns, -1 unknown), as in a Step.

        The keys and their meanings are in docs/watch.md. The text is good until the next call.
        """
        if not len(changes):
            return memoryview(b"")
        parts = _parts(changes, stayed)
        empty = b"".join(text + bytes(column.itemsize) for text, column in parts)
        size = len(changes) * len(empty)
        if size > len(self._room):
            self._room = np.empty(2 * size, np.uint8)
        text = self._room[:size]
        text.view(f"V{len(empty)}")[:] = np.void(empty)
        kinds = []
        for number, (constant, column) in enumerate(parts):
            kinds += [(f"text {number}", f"V{len(constant)}"), (f"value {number}", column.dtype)]
        rows = text.view(kinds)
        for number, (_, column) in enumerate(parts):
            rows[f"value {number}"] = column
        return text.data


def _parts(changes: Array, stayed: Array) -> tuple[tuple[bytes, Array], ...]:
    """The columns of the lines, each with the text before it."""
    # The seconds of a Unix time have ten digits, since 2001 and until 2286.
    seconds = changes["at"] // _SECOND
    remote = _addresses(changes["remote_addr"])
    remote[changes["remote_port"] == 0] = _NULL.ljust(remote.itemsize)
    return (
        (b'{"event":"change","at_ns":', _few(seconds, lambda value: b"%d" % value)),
        (b"", _nine_digits(changes["at"] - seconds * _SECOND)),
        (b',"cookie":', _decimals(changes["cookie"], (changes["cookie"] < NUMBERED) & (changes["cookie"] != 0))),
        (b',"netns":', _few(changes["namespace"], lambda value: b"%d" % value if value else _NULL)),
        (b',"family":', _few(changes["family"], lambda value: b"%d" % value)),
        (b',"local_addr":', _addresses(changes["local_addr"])),
        (b',"local_port":', _ports().take(changes["local_port"])),
        (b',"remote_addr":', remote),
        (b',"remote_port":', _ports().take(changes["remote_port"])),
        (b',"before":', _moves().take(_move_of(changes))),
        (b',"stayed_ns":', _decimals(stayed, stayed >= 0)),
        (b',"pid":', _callers(changes)),
        (b"}", np.full(len(changes), b"\n")),
    )


def _table(texts: Iterable[bytes]) -> Array:
    """Texts of equal width, blanks behind those that are shorter."""
    texts = list(texts)
    width = max(map(len, texts))
    return np.array([text.ljust(width) for text in texts])


def _few(values: Array, text: Callable[[int], bytes]) -> Array:
    """Values of which few are different, each put into text once."""
    if (values == values[0]).all():
        return np.broadcast_to(_table([text(int(values[0]))]), len(values))
    first, which = distinct(values)
    return _table(map(text, values[first].tolist())).take(which)


def _addresses(addresses: Array) -> Array:
    first, which = distinct(addresses["high"], addresses["low"])
    few = addresses[first]
    halves = zip(few["high"].tolist(), few["low"].tolist(), strict=True)
    return _table(b'"%s"' % address_text(*each).encode() for each in halves).take(which)


def _callers(changes: Array) -> Array:
    """The process and its name, where one made the change: `123,"command":"nginx"`."""
    which = np.zeros(len(changes), np.intp)
    called = np.flatnonzero(changes["pid"])
    names = np.ascontiguousarray(changes["command"][called])
    first, inverse = distinct(*names.view(np.uint64).reshape(-1, 2).T, changes["pid"][called])
    which[called] = inverse + 1
    pairs = zip(changes["pid"][called[first]].tolist(), names[first].tolist(), strict=True)
    told = (b'%d,"command":%s' % (pid, json.dumps(name.decode(errors="replace")).encode()) for pid, name in pairs)
    return _table((b'null,"command":null', *told)).take(which)


def _decimals(values: Array, known: Array) -> Array:
    """Numbers of 0 and more in decimal digits, blanks in front; null where one is not known."""
    chunks, rest = [], np.where(known, values, 0).astype(np.int64)
    while True:
        higher = rest // _CHUNK
        # The highest digits of all have no zeros in front.
        chunks.append(_digits().take(rest - higher * _CHUNK + _CHUNK * (higher == 0)))
        if not higher.any():
            break
        rest = higher
    chunks[0][values == 0] = b"   0"
    chunks[0][~known] = _NULL
    text = np.stack(chunks[::-1], axis=1)
    return text.view(f"S{4 * len(chunks)}").reshape(-1)


def _nine_digits(values: Array) -> Array:
    """Nanoseconds of a second with all their zeros."""
    upper = values // _CHUNK
    top = upper // _CHUNK
    text = np.stack(
        (_digits().take(top), _digits().take(upper - top * _CHUNK), _digits().take(values - upper * _CHUNK))
    )
    octets = np.ascontiguousarray(text.T).view(np.uint8).reshape(-1, 12)
    return np.ascontiguousarray(octets[:, 3:]).view("S9").reshape(-1)


@cache
def _digits() -> Array:
    """The numbers of up to four digits: first with all their zeros, then with blanks (and nothing else for 0)."""
    full = [b"%04d" % number for number in range(_CHUNK)]
    return _table(full + [text.lstrip(b"0").rjust(4) for text in full])


@cache
def _ports() -> Array:
    return _table([_NULL, *(b"%d" % port for port in range(1, 1 << 16))])


def _move_of(changes: Array) -> Array:
    """Which of `_moves` each change is."""
    before, after = (np.minimum(changes[name], 15).astype(np.intp) for name in ("before", "after"))
    move: Array = before << 5 | after << 1 | (changes["flags"] & SAMPLED)
    return move


@cache
def _moves() -> Array:
    """Both states, and whether it is sampled, of all the changes that there can be."""
    names = {int(state): b'"%s"' % state.name.encode() for state in State}
    states = [bytes(text) for text in _table(names.get(number, _NULL) for number in range(16))]
    truths = (b"false", b"true ")
    return _table(
        b'%s,"after":%s,"sampled":%s' % (before, after, truth)
        for before in states
        for after in states
        for truth in truths
    )
