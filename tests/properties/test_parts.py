"""The parts that hold octets, ranges and rows, each against the simplest thing that does the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastack.model.time import MILLISECOND, SECOND
from lastack.stack import Dice
from lastack.stack.cookies import Cookies
from lastack.stack.isn import Secrets
from lastack.tcp.congestion import make_controller
from lastack.tcp.congestion.cubic import cube_root
from lastack.tcp.flight import Flight, Sent
from lastack.tcp.ranges import Ranges
from lastack.tcp.reassembly import Reassembly
from lastack.tcp.rtt import Rtt
from lastack.tcp.send_buffer import SendBuffer
from lastack.wire import Segment

spans = st.tuples(st.integers(0, 60), st.integers(0, 12))


@given(st.lists(spans), st.integers(0, 80))
def test_ranges_are_a_set_of_numbers(added: list[tuple[int, int]], below: int) -> None:
    ranges, numbers = Ranges(), set[int]()
    for start, length in added:
        left, right = ranges.add(start, start + length)
        numbers |= set(range(start, start + length))
        assert set(range(left, right)) <= numbers
    ranges.discard_below(below)
    numbers = {number for number in numbers if number >= below}
    assert {number for left, right in ranges.items for number in range(left, right)} == numbers
    assert ranges.items == sorted(ranges.items)
    assert all(a[1] < b[0] for a, b in zip(ranges.items, ranges.items[1:], strict=False))


@given(st.lists(spans, max_size=30), st.randoms())
def test_pieces_in_any_order_come_out_in_order(pieces: list[tuple[int, int]], random: object) -> None:
    text = bytes(range(100))
    held, had = Reassembly(), bytearray()
    for start, length in pieces:
        if start + length > len(had) and length:
            if start <= len(had):
                had += text[len(had) : start + length]
                for piece in held.take(len(had)):
                    had += piece
            else:
                held.put(start, text[start : start + length])
        assert held.octets == sum(len(piece) for _, piece in held.pieces)
        assert sorted(held.recent) == held.ranges.items
        assert bytes(had) == text[: len(had)]
    assert all(left > len(had) for left, _ in held.ranges.items)


@given(st.lists(st.binary(max_size=40), max_size=20), st.data())
def test_the_send_buffer_finds_every_octet(chunks: list[bytes], data: st.DataObject) -> None:
    buffer, text = SendBuffer(1000), b""
    for chunk in chunks:
        buffer.append(chunk)
        text += chunk
        buffer.discard_below(1000 + data.draw(st.integers(0, len(text))))
        for _ in range(2):
            start = data.draw(st.integers(buffer.start, buffer.end))
            octets = data.draw(st.integers(0, buffer.end - start))
            assert buffer.read(start, octets) == text[start - 1000 : start - 1000 + octets]
    assert len(buffer) == buffer.end - buffer.start


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=60))
def test_a_flight_is_a_list_that_gets_shorter_in_front(steps: list[tuple[bool, int]]) -> None:
    flight, out, nxt = Flight(), list[Sent](), 0
    for sends, number in steps:
        if sends:
            for _ in range(number):
                out.append(Sent(nxt, nxt + 10, 0, nxt))
                flight.add(out[-1])
                nxt += 10
        else:
            gone = min(number, len(out))
            del out[:gone]
            flight.drop(gone)
        assert flight.out() == out
        assert flight.count == len(out)
        if out:
            assert flight.first() is out[0]
            middle = out[len(out) // 2]
            assert flight.records[flight.index_of(middle.seq)] is middle
            assert flight.index_of(nxt) == len(flight.records)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=60))
def test_the_time_out_stays_above_the_round_trip_and_within_its_bounds(samples: list[int]) -> None:
    rtt = Rtt(SECOND, 200 * MILLISECOND, 120 * SECOND)
    for number, sample in enumerate(samples):
        rtt.sample(sample * MILLISECOND, number * 10, number * 10 + 10, number * SECOND)
        assert 200 * MILLISECOND < rtt.rto <= 120 * SECOND
        assert rtt.rto >= rtt.smoothed + 200 * MILLISECOND
        assert min(samples) - 1 <= rtt.smoothed / MILLISECOND <= max(samples) + 1


@given(st.integers(0, 1 << 70))
def test_the_cube_root_is_the_integer_one(value: int) -> None:
    root = cube_root(value)
    assert root**3 <= value < (root + 1) ** 3


@given(st.sampled_from(["cubic", "newreno"]), st.lists(st.sampled_from(["ack", "loss", "rto"]), max_size=200))
def test_a_window_never_falls_below_one_segment(name: str, steps: list[str]) -> None:
    control = make_controller(name, 10)
    for number, step in enumerate(steps):
        now = number * 10 * MILLISECOND
        before = control.window
        if step == "ack":
            control.acknowledged(2, 10 * MILLISECOND, now)
            assert before <= control.window <= before + 2
        else:
            control.threshold = control.threshold_after_loss(now)
            assert 2 <= control.threshold <= max(before, 2)
            control.window = 1 if step == "rto" else control.threshold
            if step == "rto":
                control.timed_out()
        assert control.window >= 1


def test_cubic_reaches_its_old_window_slowly_and_then_passes_it() -> None:
    control = make_controller("cubic", 10)
    control.window, control.threshold = 100, 100
    control.threshold = control.threshold_after_loss(0)
    control.window = control.threshold
    assert control.window == 70
    at: dict[int, int] = {}
    for trip in range(200):
        for _ in range(control.window):
            control.acknowledged(1, 100 * MILLISECOND, trip * 100 * MILLISECOND)
        at[trip] = control.window
    # K = cbrt(W_max (1 - beta) / C) = cbrt(100 * 0.3 / 0.4) = 4.2 s (RFC 9438 4.2).
    assert 96 <= at[42] <= 102
    assert at[15] < 97
    assert at[90] > 110


@given(st.binary(min_size=12, max_size=12), st.integers(0, 0xFFFF_FFFF), st.integers(0, 10**15), st.integers(0, 4))
def test_a_cookie_is_recognised_for_two_minutes(key: bytes, seq: int, now: int, minutes: int) -> None:
    cookies = Cookies(Secrets(Dice(1)))
    syn = Segment(1, 2, seq, 0, 2, 0)
    syn.mss = 1450
    cookie = cookies.make(key, syn, now)
    ack = Segment(1, 2, (seq + 1) & 0xFFFF_FFFF, (cookie + 1) & 0xFFFF_FFFF, 16, 0)
    late = now + minutes * 60 * SECOND
    assert cookies.check(key, ack, late) == (1440 if minutes < 2 else None)
    ack.ack = (ack.ack + 7) & 0xFFFF_FFFF
    assert cookies.check(key, ack, now) is None


def test_dice_are_the_same_everywhere() -> None:
    dice = Dice(1234567)
    # Values of the reference implementation (splitmix64.c, Vigna 2015).
    assert [dice.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    throws = [Dice(9).split().below(6) for _ in range(3)]
    assert len(set(throws)) == 1
    assert not any(Dice(seed).chance(0.0) for seed in range(50))
    assert sum(Dice(seed).chance(0.5) for seed in range(1000)) in range(430, 570)
