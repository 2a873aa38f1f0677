"""TCP options (RFC 9293 3.2): as fields, from octets, to octets.

Written in Linux's order and padding, so that a SYN of ours has the very octets of a Linux one. Known options with an
impossible length are refused; unknown ones are kept as they are.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from lastack.errors import DecodeError
from lastack.native import i64, mypyc_attr

END: Final = 0
NOP: Final = 1
MSS: Final = 2
WINDOW_SCALE: Final = 3
SACK_PERMITTED: Final = 4
SACK: Final = 5
TIMESTAMPS: Final = 8
MD5: Final = 19
USER_TIMEOUT: Final = 28
AUTHENTICATION: Final = 29
FAST_OPEN: Final = 34

SPACE: Final = 40
"""Octets that the data offset leaves for options."""

_TIMESTAMPS: Final = Struct("!HII")
_ALIGNED_TIMESTAMPS: Final = bytes((NOP, NOP, TIMESTAMPS, 10))
_ALIGNED: Final = Struct("!III")
_ALIGNED_LENGTH: Final = 12
_EDGES: Final = Struct("!II")
_LENGTHS: Final = {MSS: 4, WINDOW_SCALE: 3, SACK_PERMITTED: 2, TIMESTAMPS: 10, MD5: 18, USER_TIMEOUT: 4}


@mypyc_attr(acyclic=True)
class Options:
    """The options of one segment. Absent is None (False, or no blocks).

    `mss` octets; `window_scale` a shift; `sack` blocks of (left edge, right edge); `ts_value` and `ts_echo` the
    timestamps option's two fields, `stamp` the first of them as a plain number, -1 for absent; `user_timeout` the 16
    bits of RFC 5482; `fast_open` the cookie (empty: asked for); `others` everything else as (kind, octets after the
    length).
    """

    __slots__ = (
        "fast_open",
        "mss",
        "others",
        "sack",
        "sack_permitted",
        "stamp",
        "ts_echo",
        "user_timeout",
        "window_scale",
    )

    def __init__(self) -> None:
        self.mss: int | None = None
        self.window_scale: int | None = None
        self.sack_permitted = False
        self.sack: tuple[tuple[int, int], ...] = ()
        self.stamp: i64 = -1
        self.ts_echo: i64 = 0
        self.user_timeout: int | None = None
        self.fast_open: bytes | None = None
        self.others: tuple[tuple[int, bytes], ...] = ()

    @property
    def ts_value(self) -> int | None:
        """The timestamp's value."""
        return None if self.stamp < 0 else self.stamp

    @ts_value.setter
    def ts_value(self, value: int | None) -> None:
        self.stamp = -1 if value is None else value


def _bare(options: Options) -> bool:
    """Whether there is nothing but perhaps timestamps, as in nearly every segment."""
    if options.mss is not None or options.window_scale is not None or options.sack_permitted or options.sack:
        return False
    return options.user_timeout is None and options.fast_open is None and not options.others


def options_length(options: Options) -> int:
    """How many octets `encode_options` makes of them."""
    if _bare(options):
        return 0 if options.stamp < 0 else _ALIGNED_LENGTH
    return len(encode_options(options))


def encode_options(options: Options) -> bytes:
    """The octets of the options, padded to 32-bit words. Raises ValueError beyond 40 octets."""
    if _bare(options):
        if options.stamp < 0:
            return b""
        value: int = options.stamp
        echo: int = options.ts_echo
        return _ALIGNED_TIMESTAMPS + value.to_bytes(4, "big") + echo.to_bytes(4, "big")
    raw = b"".join(_pieces(options))
    raw += bytes((NOP,)) * (-len(raw) % 4)
    if len(raw) > SPACE:
        raise ValueError(f"{len(raw)} octets of options where {SPACE} fit")
    return raw


def _pieces(options: Options) -> list[bytes]:
    """The options one by one, aligned as Linux aligns them (tcp_options_write)."""
    pieces: list[bytes] = []
    if options.mss is not None:
        pieces.append(bytes((MSS, 4)) + options.mss.to_bytes(2, "big"))
    if options.stamp >= 0:
        lead = bytes((SACK_PERMITTED, 2)) if options.sack_permitted else bytes((NOP, NOP))
        pieces.append(lead + _TIMESTAMPS.pack(TIMESTAMPS << 8 | 10, options.stamp, options.ts_echo))
    elif options.sack_permitted:
        pieces.append(bytes((NOP, NOP, SACK_PERMITTED, 2)))
    if options.window_scale is not None:
        pieces.append(bytes((NOP, WINDOW_SCALE, 3, options.window_scale)))
    if options.sack:
        edges = b"".join(_EDGES.pack(left, right) for left, right in options.sack)
        pieces.append(bytes((NOP, NOP, SACK, 2 + len(edges))) + edges)
    if options.user_timeout is not None:
        pieces.append(bytes((USER_TIMEOUT, 4)) + options.user_timeout.to_bytes(2, "big"))
    if options.fast_open is not None:
        pieces.append(bytes((FAST_OPEN, 2 + len(options.fast_open))) + options.fast_open)
    pieces.extend(bytes((kind, 2 + len(body))) + body for kind, body in options.others)
    return pieces


def decode_options(raw: bytes, start: int, end: int, into: Options) -> None:
    """Read raw[start:end] into the fields of `into`.

    Raises DecodeError where an option runs past the header or a known one has an impossible length.
    """
    if end - start == 12 and raw[start : start + 4] == _ALIGNED_TIMESTAMPS:
        _, into.stamp, into.ts_echo = _ALIGNED.unpack_from(raw, start)
        return
    at = start
    while at < end:
        kind = raw[at]
        if kind == END:
            return
        if kind == NOP:
            at += 1
            continue
        if at + 1 >= end:
            raise DecodeError("option without a length", at=at)
        length = raw[at + 1]
        if length < 2:
            raise DecodeError(f"option of kind {kind} with length {length}", at=at)
        if at + length > end:
            raise DecodeError("option runs past the header", at=at)
        expected = _LENGTHS.get(kind)
        if (expected is not None and length != expected) or (kind == SACK and (length < 10 or (length - 2) % 8)):
            raise DecodeError(f"option of kind {kind} with length {length}", at=at)
        _read(kind, raw[at + 2 : at + length], into)
        at += length


def _read(kind: int, body: bytes, into: Options) -> None:
    """Put one option, whose length was found possible, where it belongs."""
    if kind == MSS:
        into.mss = int.from_bytes(body, "big")
    elif kind == WINDOW_SCALE:
        into.window_scale = body[0]
    elif kind == SACK_PERMITTED:
        into.sack_permitted = True
    elif kind == SACK:
        into.sack = tuple((left, right) for left, right in _EDGES.iter_unpack(body))
    elif kind == TIMESTAMPS:
        into.stamp = int.from_bytes(body[:4], "big")
        into.ts_echo = int.from_bytes(body[4:], "big")
    elif kind == USER_TIMEOUT:
        into.user_timeout = int.from_bytes(body, "big")
    elif kind == FAST_OPEN:
        into.fast_open = body
    else:
        into.others = (*into.others, (kind, body))
