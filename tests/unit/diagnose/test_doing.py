"""Advice in the words of what runs a program, and where its threads are."""

from __future__ import annotations

import pytest

from lastack.diagnose.doing import places
from lastack.diagnose.runtime_words import runtime_advice
from lastack.model.host import Frame, Runtime, Stack
from lastack.model.record import ConnectionTable, text_values

CAME_IN = ConnectionTable(1, {"listener": text_values(["0.0.0.0:80"])})
WENT_OUT = ConnectionTable(1, {"listener": text_values([None])})


@pytest.mark.parametrize("runtime", Runtime)
def test_every_runtime_has_advice_of_its_own_for_each_cause_in_a_program(runtime: Runtime) -> None:
    said = {
        advice.do
        for cause in ("close-wait-not-closed", "close-wait-eof-unread", "close-wait-data-unread")
        for rows in (CAME_IN, WENT_OUT)
        for advice in runtime_advice(cause, [runtime], rows)
    }
    assert len(said) == 3
    assert all(text.startswith(f"In {runtime.value.removesuffix('-FPM')}") for text in said)


def test_an_idle_connection_that_went_out_is_a_pools_and_one_that_came_in_is_not() -> None:
    out, in_ = (runtime_advice("close-wait-eof-unread", [Runtime.JAVA], rows)[0].do for rows in (WENT_OUT, CAME_IN))
    assert "HikariCP" in out
    assert "Thread.print" in in_


@pytest.mark.parametrize("cause", ["close-wait-busy", "close-wait-owner-stopped", "close-wait-inherited"])
def test_causes_that_are_not_the_programs_fault_have_no_words_of_a_runtime(cause: str) -> None:
    assert runtime_advice(cause, Runtime, CAME_IN) == ()


def test_without_a_known_runtime_nothing_is_added() -> None:
    assert runtime_advice("close-wait-not-closed", [], CAME_IN) == ()


def test_threads_at_the_same_place_are_counted() -> None:
    def at(line: int) -> Stack:
        return Stack("t", line, (Frame("wait", "/usr/lib/python3/threading.py", 1, True), Frame("f", "/a/b.py", line)))

    assert places([at(1), at(2), at(2), Stack("t", 0, ())]) == ["f (b.py:2) (2 threads)", "f (b.py:1)"]
    assert places([]) == []
