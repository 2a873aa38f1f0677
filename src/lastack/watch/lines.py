"""Changes of state as JSON lines, written by columns: a line a change at the rates of a busy kernel.

Every line is a row of a structured array of octets, constant text and values in turn. Values are as long as they are:
what NumPy pads with zero octets is taken out of the whole at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lastack.live.transitions.life import UNKNOWN
from lastack.live.transitions.record import NUMBERED, SAMPLED
from lastack.model.address import address_text
from lastack.model.state import State

if TYPE_CHECKING:
    from lastack.model.record import Array

_CHUNK: Final = 10_000
_NULL: Final = b"null"


def lines(changes: Array, stayed: Array) -> bytes:
    """One line a change: TRANSITION rows, and how long each had been in `before` (ns, -1 unknown) as a Step has them.

    The keys and their meanings are in docs/watch.md.
    """
    if not len(changes):
        return b""
    whole = changes["at"] // 1_000_000_000
    peerless = changes["remote_port"] == 0
    parts = (
        (b'{"event":"change","at_ns":', _few(whole, lambda value: b"%d" % value)),
        (b"", _nine_digits(changes["at"] - whole * 1_000_000_000)),
        (b',"cookie":', _cookies(changes["cookie"])),
        (b',"netns":', _few(changes["namespace"], lambda value: b"%d" % value if value else _NULL)),
        (b',"family":', _few(changes["family"], lambda value: b"%d" % value)),
        (b',"local_addr":', _addresses(changes["local_addr"])),
        (b',"local_port":', _ports().take(changes["local_port"])),
        (b',"remote_addr":', np.where(peerless, _NULL, _addresses(changes["remote_addr"]))),
        (b',"remote_port":', _ports().take(changes["remote_port"])),
        (b',"before":', _states().take(changes["before"])),
        (b',"after":', _states().take(changes["after"])),
        (b',"stayed_ns":', np.where(stayed < 0, _NULL, _decimals(np.maximum(stayed, 0)))),
        (b',"pid":', _callers(changes)),
        (b',"sampled":', np.where(changes["flags"] & SAMPLED, b"true", b"false")),
        (b"}\n", None),
    )
    return _woven(parts, len(changes))


def _woven(parts: tuple[tuple[bytes, Array | None], ...], count: int) -> bytes:
    """The constant texts and the columns in turn, row by row."""
    kinds: list[tuple[str, Any]] = []
    for number, (text, column) in enumerate(parts):
        kinds.append((f"text {number}", f"S{max(len(text), 1)}"))
        if column is not None:
            kinds.append((f"value {number}", column.dtype))
    woven = np.empty(count, kinds)
    for number, (text, column) in enumerate(parts):
        woven[f"text {number}"] = text
        if column is not None:
            woven[f"value {number}"] = column
    return woven.tobytes().translate(None, b"\0")


def _few(values: Array, text: Callable[[int], bytes]) -> Array:
    """Values of which few are different, each put into text once."""
    different, which = np.unique(values, return_inverse=True)
    return np.array([text(value) for value in different.tolist()], np.bytes_).take(which)


def _addresses(addresses: Array) -> Array:
    halves = addresses["high"] * np.uint64(0x9E37_79B9_7F4A_7C15) ^ addresses["low"]
    _, first, which = np.unique(halves, return_index=True, return_inverse=True)
    few = addresses[first]
    texts = [
        b'"%s"' % address_text(high, low).encode()
        for high, low in zip(few["high"].tolist(), few["low"].tolist(), strict=True)
    ]
    return np.array(texts, np.bytes_).take(which)


def _callers(changes: Array) -> Array:
    """The process and its name, where one made the change: `123,"command":"nginx"`."""
    texts = np.full(len(changes), 0)
    called = np.flatnonzero(changes["pid"])
    pairs = list(zip(changes["pid"][called].tolist(), changes["command"][called].tolist(), strict=True))
    index: dict[tuple[int, bytes], int] = {}
    texts[called] = [index.setdefault(pair, len(index) + 1) for pair in pairs]
    told = [b'null,"command":null']
    told += [b'%d,"command":%s' % (pid, json.dumps(name.decode(errors="replace")).encode()) for pid, name in index]
    return np.array(told, np.bytes_).take(texts)


def _cookies(cookies: Array) -> Array:
    known = (cookies < NUMBERED) & (cookies != 0)
    return np.where(known, _decimals(np.where(known, cookies, 0).astype(np.int64)), _NULL)


def _decimals(values: Array) -> Array:
    """Numbers of 0 and more in decimal digits, four at a time, zero octets in front."""
    chunks, rest = [], values
    while True:
        higher = rest // _CHUNK
        # The highest digits of all have no zeros in front.
        chunks.append(_digits().take(rest - higher * _CHUNK + _CHUNK * (higher == 0)))
        if not higher.any():
            break
        rest = higher
    chunks[0][values == 0] = b"0"
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
    """The numbers of up to four digits: first with all their zeros, then without (and nothing for 0)."""
    full = [b"%04d" % number for number in range(_CHUNK)]
    bare = [text.lstrip(b"0").rjust(4, b"\0") for text in full]
    return np.frombuffer(b"".join(full + bare), "S4")


@cache
def _ports() -> Array:
    return np.array([_NULL, *(b"%d" % port for port in range(1, 1 << 16))])


@cache
def _states() -> Array:
    names = {int(state): b'"%s"' % state.name.encode() for state in State}
    return np.array([_NULL if number == UNKNOWN else names.get(number, _NULL) for number in range(256)])
