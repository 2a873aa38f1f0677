"""What programs and people read of experiments, in English and in Chinese."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from rich.cells import cell_len

from lastack.model.history import History, LadderSegment, StateChange
from lastack.model.lab import About, Fact, Outcome, Row, Run, Scene, Verdict, Words
from lastack.model.state import State
from lastack.report.lab.html import render_page
from lastack.report.lab.machine import write_rows
from lastack.report.lab.text import render_row, render_table
from lastack.report.lab.words import apart, word
from lastack.report.lab.zh.experiments import SCENES_AND_FACTS
from lastack.report.lab.zh.knobs import KNOBS
from lastack.report.lab.zh.pages import PAGES
from lastack.report.lab.zh.said import PHRASES, chinese

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


@pytest.mark.parametrize(
    ("english", "said"),
    [
        ("segments of the close", "关闭过程的报文段"),
        ("TIME_WAIT with tcp_fin_timeout = 60", "tcp_fin_timeout = 60 时的 TIME_WAIT"),
        ("the last ACK is lost: the peer's error", "最后一个 ACK 丢失：对端的错误"),
        ("a flood, tcp_syncookies 1, the client's ACK is lost", "SYN 洪水，tcp_syncookies 1，客户端的 ACK 丢失"),
        ("FINs of the server: engine 1, kernel 2", "服务器发出的 FIN 数：引擎 1，内核 2"),
        ("tcp_fin_timeout=180 as given, where this scene has 61", "tcp_fin_timeout=180（给定），本场景原为 61"),
        ("1,234 octets", "1,234 字节"),
        ("client FIN,ACK, server ACK", "client FIN,ACK, server ACK"),
        ("EADDRINUSE", "EADDRINUSE"),
        ("0.263 s", "0.263 s"),
    ],
)
def test_phrases_and_numbers_are_put_into_chinese(english: str, said: str) -> None:
    assert chinese(english) == said
    assert word(english, "en") == english


@pytest.mark.parametrize("english", ["what nobody has translated", "what nobody has translated: a RST is sent"])
def test_what_is_not_known_stays_english_as_a_whole(english: str) -> None:
    assert chinese(english) is None
    assert word(english, "zh") == english


def test_every_phrase_is_there_once_and_keeps_its_numbers() -> None:
    assert len(PHRASES) == len(PAGES) + len(SCENES_AND_FACTS) + len(KNOBS)
    assert [english for english, said in PHRASES.items() if english.count("#") != said.count("#")] == []


def test_a_page_in_chinese_says_its_scenes_and_facts_in_chinese() -> None:
    one = row("one", 3)
    assert one.sim is not None
    outcome = Outcome(Verdict.HOLDS, (Fact("FINs of the server", 2), Fact("a RST is sent", False)))
    scene = one.sim.scenes[0]._replace(title="nobody accepts", left_out=2)
    told = one._replace(sim=one.sim._replace(outcome=outcome, scenes=(scene,)))
    terminal = io.StringIO()
    render_row(told, terminal, 80, False, "zh")
    page = render_page(told, "zh")
    for said in ("没有人 accept()", "服务器发出的 FIN 数", "发出了 RST"):
        assert said in terminal.getvalue()
        assert said in page
    assert "发出了 RST：否" in terminal.getvalue()
    assert "另有 2 个连接没有画出" in terminal.getvalue()


def test_in_what_two_ladders_differ_is_told_as_the_ladders_have_it() -> None:
    ours = History("a", "b", ("client", "server"), (LadderSegment(0, "client", 24, 1, 1, 7, 64_240),), ())
    bare = LadderSegment(9, "server", 16, 1, 8, 0, 64_240)
    theirs = ours._replace(segments=(*(one._replace(flags=16) for one in ours.segments), bare))
    assert apart(ours, theirs) == ["+server ACK 1 ack 8"]


def rendered(told: Row, language: str = "en") -> str:
    terminal = io.StringIO()
    render_row(told, terminal, 80, False, language)
    return terminal.getvalue()


def test_what_only_the_longer_run_saw_is_told_alone() -> None:
    one = row("one", 3)
    assert one.sim is not None
    fact = Fact("FINs of the server", 7)
    full = one.sim._replace(outcome=Outcome(Verdict.HOLDS, (fact,)))
    assert "FINs of the server: at full length 7\n" in rendered(one._replace(full=full))
    short = one.sim._replace(outcome=Outcome(Verdict.HOLDS, (fact._replace(value=2),)))
    assert "服务器发出的 FIN 数：2，按完整时长 7\n" in rendered(one._replace(sim=short, full=full), "zh")


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Sampled, so at the time shown or before: all states"), ("zh", "由查看得到，实际不晚于所示时刻：全部状态")],
)
def test_what_was_sampled_is_said_once_for_all_ladders(language: str, said: str) -> None:
    one = row("one", 3)
    assert one.sim is not None
    history = one.sim.scenes[0].histories[0]._replace(sampled="all states")
    scene = one.sim.scenes[0]._replace(histories=(history, history))
    told = rendered(one._replace(sim=one.sim._replace(scenes=(scene, scene))), language)
    assert told.count(said) == 1


def test_a_table_has_the_sides_that_were_asked_for_in_columns_that_stand_below_their_heads() -> None:
    terminal = io.StringIO()
    render_table([row("three-segment-close", 3)], terminal, 80, False, "zh")
    head, line = terminal.getvalue().splitlines()[:2]
    assert "内核" not in head
    assert cell_len(head[: head.index("引擎")]) == cell_len(line[: line.index("成立")])
