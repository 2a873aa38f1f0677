"""Pages of the trace ring, made here octet by octet as the kernel makes them, read back."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.errors import DecodeError
from lastack.linux import ringpages

PAYLOAD = 72
SIZE = 4_096
START = 10**15


class Event(NamedTuple):
    """An event of the ring: its octets, and how long after the one before it came; discarded ones are padding."""

    payload: bytes
    later: int
    discarded: bool = False


def header(kind: int, delta: int) -> bytes:
    return struct.pack("=I", kind | delta << 5)


def encoded(event: Event) -> bytes:
    """As __rb_reserve_next() and rb_event_discard() leave it: a time extension where 27 bits do not do."""
    early = b""
    later = event.later
    if later >= 1 << 27:
        early, later = header(30, later & (1 << 27) - 1) + struct.pack("=I", later >> 27), 0
    if event.discarded:
        return early + header(29, later or 1) + struct.pack("=I", len(event.payload)) + event.payload[4:]
    if len(event.payload) <= 112:
        return early + header(len(event.payload) // 4, later) + event.payload
    return early + header(0, later) + struct.pack("=I", len(event.payload) + 4) + event.payload


def page(octets: bytes, flags: int = 0, behind: bytes = b"") -> np.ndarray[Any, Any]:
    whole = struct.pack("=QQ", START, len(octets) | flags) + octets + behind
    return np.frombuffer(whole.ljust(SIZE, b"\0"), np.uint32)


def read(words: np.ndarray[Any, Any], sizes: Sequence[int]) -> list[bytes]:
    places = ringpages.decode(words, PAYLOAD).at.tolist()
    return [words.tobytes()[4 * at : 4 * at + size] for at, size in zip(places, sizes, strict=True)]


usual = st.binary(min_size=PAYLOAD, max_size=PAYLOAD)
others = st.sampled_from([4, 8, 68, 76, 112, 116, 400]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
later = st.one_of(st.integers(0, 5_000), st.integers(0, 1 << 40))
events = st.builds(Event, st.one_of(usual, usual, usual, others), later, st.sampled_from([False, False, False, True]))


@given(st.lists(events, max_size=40).filter(lambda made: sum(map(len, map(encoded, made))) <= SIZE - 16))
def test_every_event_is_found_with_its_time_whatever_lies_between(made: list[Event]) -> None:
    words = page(b"".join(map(encoded, made)))
    told = [event for event in made if not event.discarded]
    assert read(words, [len(event.payload) for event in told]) == [event.payload for event in told]
    now, times = START, []
    for event in made:
        now += event.later or event.discarded
        if event.discarded and event.later >= 1 << 27:
            now += 1
        if not event.discarded:
            times.append(now)
    assert ringpages.decode(words, PAYLOAD).times.tolist() == times


def test_an_absolute_time_stamp_keeps_the_highest_bits_of_the_page_s() -> None:
    base = 5 << 59
    stamp = 123_456_789_012_345
    octets = header(31, stamp & (1 << 27) - 1) + struct.pack("=I", stamp >> 27) + encoded(Event(bytes(PAYLOAD), 7))
    words = np.frombuffer((struct.pack("=QQ", base, len(octets)) + octets).ljust(SIZE, b"\0"), np.uint32)
    with np.errstate(over="raise"):
        assert (ringpages.decode(words, PAYLOAD).times.astype(np.uint64) == np.uint64(base + stamp + 7)).all()


def test_padding_without_a_time_ends_the_page() -> None:
    octets = encoded(Event(bytes(PAYLOAD), 1)) + header(29, 0) + b"\xff" * 40
    assert len(ringpages.decode(page(octets), PAYLOAD).at) == 1


def test_an_empty_page_has_no_events() -> None:
    found = ringpages.decode(page(b""), PAYLOAD)
    assert (len(found.at), len(found.times), found.missed) == (0, 0, 0)


def test_missed_events_are_counted_where_the_page_had_room_to_say_how_many() -> None:
    octets = encoded(Event(bytes(PAYLOAD), 1))
    assert ringpages.decode(page(octets, 1 << 31 | 1 << 30, struct.pack("=Q", 12_345)), PAYLOAD).missed == 12_345
    assert ringpages.decode(page(octets, 1 << 31), PAYLOAD).missed is None


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (encoded(Event(bytes(PAYLOAD), 1))[:-4], "past the end"),
        (header(20, 1) + bytes(8), "past the end"),
        (header(0, 1) + struct.pack("=I", 4_000) + bytes(8), "past the end"),
        (header(0, 1) + struct.pack("=I", 0) + bytes(8), "past the end"),
    ],
)
def test_an_event_that_does_not_fit_is_told_with_its_place(octets: bytes, says: str) -> None:
    with pytest.raises(DecodeError, match=says) as raised:
        ringpages.decode(page(octets), PAYLOAD)
    assert raised.value.at == 16


def test_a_page_that_claims_more_than_it_has_is_an_error() -> None:
    words = np.frombuffer(struct.pack("=QQ", START, SIZE).ljust(SIZE, b"\0"), np.uint32)
    with pytest.raises(DecodeError, match="4096 octets of it are in use"):
        ringpages.decode(words, PAYLOAD)


@given(st.binary(min_size=16, max_size=600))
def test_nonsense_is_an_error_or_events_within_the_page(octets: bytes) -> None:
    words = np.frombuffer(octets[: len(octets) // 4 * 4], np.uint32)
    try:
        found = ringpages.decode(words, PAYLOAD)
    except DecodeError:
        return
    assert all(4 <= at < len(words) for at in found.at.tolist())
