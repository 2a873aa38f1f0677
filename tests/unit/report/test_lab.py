"""What programs read of experiments."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from lastack.model.history import History, LadderSegment, StateChange
from lastack.model.lab import About, Outcome, Row, Run, Scene, Verdict, Words
from lastack.model.state import State
from lastack.report.lab.machine import write_rows

WORDS = Words("words", "话")


def row(name: str, rungs: int) -> Row:
    segments = tuple(LadderSegment(at, "client", 16, 1, 1, 0, 64_240) for at in range(rungs))
    changes = tuple(StateChange(at, "client", 1, State.CLOSED, State.SYN_SENT, "") for at in range(rungs // 2))
    history = History("10.0.0.1:40000", "10.0.0.2:80", ("client", "server"), segments, changes)
    scene = Scene("a scene", {}, (history,), {}, ())
    run = Run(name, "sim", "lastack's engine", {}, Outcome(Verdict.HOLDS, ()), (scene,), 0.1)
    return Row(About(name, WORDS, WORDS, WORDS, Verdict.HOLDS), "sim", {}, run, None)


def written(rows: Sequence[Row], form: str) -> str:
    file = io.StringIO()
    write_rows(rows, form, file)
    return file.getvalue()


def connection(rungs: int) -> dict[str, Any]:
    (one,) = json.loads(written([row("one", rungs)], "json"))
    found: dict[str, Any] = one["sim"]["scenes"][0]["connections"][0]
    return found


def test_an_array_has_a_line_for_each_experiment_as_jsonl_has() -> None:
    rows = [row("one", 3), row("two", 5)]
    array, lines = written(rows, "json"), written(rows, "jsonl")
    assert json.loads(array) == [json.loads(line) for line in lines.splitlines()]
    assert len(array.splitlines()) == len(lines.splitlines()) == 2
    assert json.loads(written([], "json")) == []


def test_a_connection_is_told_whole() -> None:
    found = connection(200)
    assert [segment["at"] for segment in found["segments"]] == [*range(200)]
    assert [change["at"] for change in found["changes"]] == [*range(100)]
    assert found["left_out"] == {"segments": 0, "changes": 0}


def test_of_a_very_long_one_the_beginning_and_the_end_are_told_and_how_much_is_left_out() -> None:
    found = connection(1000)
    assert [segment["at"] for segment in found["segments"]] == [*range(50), *range(850, 1000)]
    assert [change["at"] for change in found["changes"]] == [*range(50), *range(350, 500)]
    assert found["left_out"] == {"segments": 800, "changes": 300}
