"""Where lines go: readers that are quick, that stall, and that have gone."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from lastack.errors import CallError
from lastack.live.transitions.life import LIFE, Step
from lastack.live.transitions.record import TRANSITION
from lastack.watch.outlet import Outlet


def step(first: int, count: int) -> Step:
    """So many changes, numbered by their cookies."""
    changes = np.zeros(count, TRANSITION)
    changes["at"] = time.time_ns()
    changes["cookie"] = np.arange(first, first + count)
    return Step(changes, np.full(count, -1), np.zeros(0, LIFE))


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(writing)


def everything(reading: int) -> tuple[list[dict[str, Any]], threading.Thread]:
    """What a thread reads until the end, as it comes."""
    found: list[dict[str, Any]] = []

    def read() -> None:
        with open(reading, "rb") as file:
            found.extend(map(json.loads, file))

    thread = threading.Thread(target=read)
    thread.start()
    return found, thread


def test_all_changes_are_written_in_order_with_the_sums_at_the_end() -> None:
    reading, writing = os.pipe()
    found, thread = everything(reading)
    outlet = Outlet(writing)
    outlet.tell("begin", source="bpf")
    for first in range(1, 5_001, 500):
        outlet.put(step(first, 500))
    outlet.put(step(0, 0))
    outlet.finish("end", lost=3)
    os.close(writing)
    thread.join(10)
    assert [line["event"] for line in (found[0], found[-1])] == ["begin", "end"]
    assert [line["cookie"] for line in found[1:-1]] == list(range(1, 5_001))
    assert {key: found[-1][key] for key in ("changes", "dropped", "lost")} == {
        "changes": 5_000,
        "dropped": 0,
        "lost": 3,
    }


def test_a_reader_that_stalls_costs_lines_that_are_counted_and_holds_nobody_up(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing, most=3_000)
    put = 0
    while not outlet.dropped:  # the pipe is full, the first step half written, others wait
        outlet.put(step(put + 1, 1_000))
        put += 1_000
    outlet.put(step(put + 1, 1_000))
    put += 1_000
    lost = outlet.dropped
    assert lost == 2_000
    found, thread = everything(os.dup(reading))
    until(lambda: outlet.written == put - lost)
    outlet.put(step(put + 1, 1_000))
    outlet.finish("end")
    os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # the writing end is closed, so that the reader ends
    thread.join(10)
    events = [line["event"] for line in found]
    (gap,) = [place for place, event in enumerate(events) if event == "dropped"]
    assert found[gap]["changes"] == 2_000
    assert found[gap + 1]["cookie"] == put + 1
    assert events.count("change") + 2_000 == put + 1_000
    assert (found[-1]["changes"], found[-1]["dropped"]) == (put - 1_000, 2_000)


def test_the_end_waits_for_a_slow_reader(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing)
    outlet.put(step(1, 5_000))
    ending = threading.Thread(target=outlet.finish, args=("end",))
    ending.start()
    ending.join(0.2)
    assert ending.is_alive()
    text = b""
    while b'"end"' not in text:
        text += os.read(reading, 1 << 16)
    ending.join(10)
    assert not ending.is_alive()
    assert text.count(b"\n") == 5_001


def test_a_descriptor_that_somebody_made_non_blocking_is_waited_for(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    outlet = Outlet(writing)
    outlet.put(step(1, 5_000))
    found, thread = everything(reading)
    outlet.finish("end")
    os.dup2(os.open(os.devnull, os.O_WRONLY), writing)
    thread.join(10)
    assert [line.get("cookie") for line in found] == [*range(1, 5_001), None]


def test_a_reader_that_has_gone_ends_it(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing)
    os.close(reading)
    outlet.put(step(1, 10))
    until(lambda: outlet.broken is not None)
    with pytest.raises(BrokenPipeError):
        outlet.check()
    outlet.put(step(11, 10))
    outlet.finish("end")
    assert outlet.written == 0


def test_a_full_disk_is_told() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    outlet = Outlet(full)
    outlet.put(step(1, 10))
    until(lambda: outlet.broken is not None)
    with pytest.raises(CallError, match="No space left"):
        outlet.check()
    outlet.finish("end")
    os.close(full)
