"""The pages of the kernel's trace ring buffer, decoded in bulk.

A page begins with the time of its first event, in ns, and how many octets of it are in use; behind each other come
events with a header of 32 bits: five bits of length or type, 27 of the time since the event before. Sources:
include/linux/ring_buffer.h, kernel/trace/ring_buffer.c (also told by tracefs in events/header_page and header_event).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lastack.errors import DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

DATA: Final = 16
"""Octets of a page before its first event, where a long has 64 bits."""

_HEADER: Final = struct.Struct("=QQ")
_COMMIT: Final = (1 << 27) - 1
_MISSED, _MISSED_STORED = 1 << 31, 1 << 30
_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31
_LENGTH_BITS: Final = 5
_LENGTH_MASK: Final = 31
_DELTA_BITS: Final = 27
_STAMP_LOW: Final = (1 << 59) - 1


class Page(NamedTuple):
    """The data events of one page.

    `at`: where the payload of each begins, in 32-bit words from the page's start. `times`: of each, in ns by the
    clock of the ring. `missed`: how many events were overwritten before this page because nobody had read them; None:
    some, and the page had no room to say how many.
    """

    at: Array
    times: Array
    missed: int | None


def decode(words: Array, payload: int) -> Page:
    """The events of a page, given as native 32-bit words; `payload` is the size in octets that most of them have.

    Stretches of events of that size are decoded at once, everything else one by one. Raises DecodeError where an event
    does not fit into the page.
    """
    time, commit = _HEADER.unpack(words[: DATA // 4].tobytes())
    end = DATA + (commit & _COMMIT)
    if end > 4 * len(words):
        raise DecodeError(f"a page of the trace ring says that {end - DATA} octets of it are in use", at=8)
    usual = payload // 4
    stride, last = usual + 1, end // 4
    places, times = [], []
    at = DATA // 4
    while at < last:
        if words[at] & _LENGTH_MASK == usual:
            headers = words[at:last:stride]
            other = np.flatnonzero(headers & _LENGTH_MASK != usual)
            count = int(other[0]) if len(other) else (last - at) // stride
            if not count:
                raise DecodeError("an event runs past the end of its page", at=4 * at)
            stretch = time + np.cumsum(headers[:count] >> _LENGTH_BITS, dtype=np.int64)
            places.append(np.arange(at + 1, at + 1 + count * stride, stride))
            times.append(stretch)
            time = int(stretch[-1])
            at += count * stride
            continue
        place, time, at = _single(words, at, last, time)
        if place:
            places.append(np.array([place]))
            times.append(np.array([time]))
    if not places:
        return Page(np.empty(0, np.int64), np.empty(0, np.int64), _missed(words, commit, end))
    return Page(np.concatenate(places), np.concatenate(times), _missed(words, commit, end))


def _single(words: Array, at: int, last: int, time: int) -> tuple[int, int, int]:
    """One event: where its payload begins (0: it has none), the time after it, and where the next one begins."""
    header = int(words[at])
    kind, delta = header & _LENGTH_MASK, header >> _LENGTH_BITS
    if kind == _PADDING and not delta:
        return 0, time, last  # nothing more in this page
    following = int(words[at + 1]) if at + 1 < last else 0
    if kind == _TIME_EXTEND:
        return 0, time + delta + (following << _DELTA_BITS), at + 2
    if kind == _TIME_STAMP:
        # 59 bits of an absolute time; the rest is as it was.
        return 0, time & ~_STAMP_LOW | following << _DELTA_BITS | delta, at + 2
    if kind in (0, _PADDING):
        # The length is a word of its own, which it counts; a discarded event looks the same.
        size, begins = 1 + (following + 3) // 4, at + 2
    else:
        size, begins = 1 + kind, at + 1
    if at + size > last or size < 2:
        raise DecodeError("an event runs past the end of its page", at=4 * at)
    return (0 if kind == _PADDING else begins), time + delta, at + size


def _missed(words: Array, commit: int, end: int) -> int | None:
    if not commit & _MISSED:
        return 0
    if not commit & _MISSED_STORED:
        return None
    return int(struct.unpack("=Q", words.view("u1")[end : end + 8].tobytes())[0])
