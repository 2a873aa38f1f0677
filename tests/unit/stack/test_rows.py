"""The table of waits against a dictionary: what is found, what ends next, and what it takes of memory."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.stack.rows import Rows
from lastack.stack.timewait import FIN_WAIT_2, Wait
from lastack.tcp.timers import NEVER

Steps = list[tuple[str, int, int]]
LENGTHS = [10, 20, 20, 20, 30, 2_000]


def steps(most: int) -> st.SearchStrategy[Steps]:
    """Add, remove, restart or end; which; and for how long it waits."""
    return st.lists(st.tuples(st.sampled_from("aaarze"), st.integers(0, 400), st.sampled_from(LENGTHS)), max_size=most)


def key_of(number: int, size: int = 12) -> bytes:
    """Octets that come again within each other, so that a key is also found where none begins."""
    return number.to_bytes(2, "big") * (size // 2)


class Model:
    """The table, and a dictionary that should say the same."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows = Rows(size)
        self.known: dict[bytes, int] = {}

    def step(self, step: str, number: int, until: int) -> None:
        """Do one step with both."""
        key, rows = key_of(number, self.size), self.rows
        wait = rows.find(key)
        assert (wait is None) == (key not in self.known)
        if wait is None:
            if step == "a":
                rows.add(Wait(key, number, until, number << 8 | FIN_WAIT_2, 1, 2, 3, 4, 5))
                self.known[key] = until
        elif step == "r":
            rows.remove(key)
            del self.known[key]
        elif step == "z":
            wait.until = until
            rows.store(wait)
            self.known[key] = until
        if step == "e" and self.known:
            self.end()

    def end(self) -> bytes:
        """One of those that end next does."""
        until = self.rows.soonest
        row = self.rows.take()
        key = self.rows.key(row)
        assert self.rows.load(row).until == until == self.known.pop(key)
        return key

    def check(self) -> None:
        """The two agree."""
        assert self.rows.count == len(self.known)
        assert self.rows.soonest == min(self.known.values(), default=NEVER)
        waits = self.rows.waits()
        assert {wait.key: wait.until for wait in waits} == self.known
        assert [wait.until for wait in waits] == sorted(self.known.values())
        for wait in waits:
            number = wait.number
            told = (wait.flags, wait.rcv_nxt, wait.snd_nxt, wait.ts_recent, wait.ts_at, wait.acked_at)
            assert told == (number << 8 | FIN_WAIT_2, 1, 2, 3, 4, 5)
            assert wait.key == key_of(number, self.size)


@settings(max_examples=40, deadline=None)
@given(steps(300), st.sampled_from([12, 36]))
def test_rows_are_a_dictionary_that_knows_what_ends_next(taken: Steps, size: int) -> None:
    model = Model(size)
    for now, (step, number, wait) in enumerate(taken):
        model.step(step, number, now + wait)
        model.check()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 40))
def test_thousands_of_rows_end_in_order_however_long_each_waits(seed: int, spread: int) -> None:
    random, model = Random(seed), Model(12)
    for now in range(3_000):
        model.step(random.choice("aaaarrz"), random.randrange(2_000), now // spread + random.choice(LENGTHS))
    model.check()
    ends = []
    while model.known:
        ends.append(model.rows.soonest)
        model.end()
    assert ends == sorted(ends)
    model.check()


@pytest.mark.parametrize("mixed", [False, True])
def test_what_ends_together_ends_in_an_order_that_hashes_do_not_decide(mixed: bool) -> None:
    model = Model(12)
    for number in range(300):
        model.step("a", number, 60 if number % 3 else 59)
    if not mixed:
        model = Model(12)
        for number in range(300):
            model.step("a", number, 60)
    ends = [model.end() for _ in range(300)]
    expected = [number for number in range(300) if number % 3 == 0] + [number for number in range(300) if number % 3]
    assert ends == [key_of(number) for number in (expected if mixed else range(300))]


@pytest.mark.parametrize("count", [10_000, 50_000, 100_000])
def test_a_row_takes_eighty_octets_at_most(count: int) -> None:
    rows = Rows(12)
    for number in range(count):
        rows.add(Wait(number.to_bytes(12, "big"), number, number, 0, 0, 0))
    assert rows.octets() / rows.count <= 80


def test_a_table_that_has_emptied_takes_next_to_nothing() -> None:
    rows = Rows(12)
    for number in range(10_000):
        rows.add(Wait(number.to_bytes(12, "big"), number, number, 0, 0, 0))
    full = rows.octets()
    while rows.count:
        rows.take()
    assert rows.octets() < full / 4
