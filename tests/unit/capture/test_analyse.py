"""The way from a file to its table, on one core and on two."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.captures import write

from lastack.capture import analyse as module
from lastack.capture.analyse import analyse, leaving
from lastack.capture.kernels.build import available
from lastack.capture.sources import open_captures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "made.pcap"
    with path.open("wb") as file:
        write(file, 2_000)
    return path


def test_a_made_capture_is_told_as_it_was_made(made: Path) -> None:
    found = analyse(open_captures([made], fast=False))
    kinds = {kind[0]: len(rows) for kind, rows in found.connections.groups("close_kind")}
    assert kinds == {"ORDERLY": 1800, "RESET_SENT": 200}
    assert int(found.connections.values("fin_retransmits_out").sum()) == 200
    assert int(found.connections.values("retransmits_out").sum()) == 400
    assert found.connections.values("id").tolist() == list(range(1, 2001))
    assert found.given_up == 0


@pytest.mark.skipif(not available(), reason="needs Numba")
def test_two_cores_say_what_one_says(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH_CUTTING", 0)
    told: list[tuple[int, int | None]] = []
    one = analyse(open_captures([made], fast=True), cores=1)
    two = analyse(open_captures([made], fast=True), cores=2, progress=lambda done, whole: told.append((done, whole)))
    assert list(two.connections.rows()) == list(one.connections.rows())
    assert two.summary.packets == one.summary.packets
    assert told
    assert all(whole is not None and 0 < done <= whole for done, whole in told)


def test_a_limit_of_memory_says_what_it_cost(made: Path) -> None:
    found = analyse(open_captures([made], fast=False), memory=256 * 48 * 8)
    assert found.given_up > 0
    assert len(found.connections) >= 2000


def test_connections_that_leave_early_are_told_as_those_that_stay(tmp_path: Path) -> None:
    path = tmp_path / "long.pcap"
    with path.open("wb") as file:
        write(file, 30_000)
    table = analyse(open_captures([path]), cores=1).connections.without("id")
    whole = {int(row["first_frame"] or 0): row for row in table.rows()}
    tables = list(leaving(open_captures([path]), memory=20_000 * 48 * 8))
    assert len(tables) > 1
    for row in (row for table in tables for row in table.rows()):
        same = whole.pop(int(row["first_frame"] or 0))
        # How long ago that was is known at the end only.
        assert {**row, "age_ns": None} == {**same, "age_ns": None}
    assert not whole
