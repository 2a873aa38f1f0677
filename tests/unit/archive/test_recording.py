"""A recording: what is written comes back, is bounded, and is not lost with one torn file."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastack.archive import writer
from lastack.archive.files import KINDS
from lastack.archive.reader import Recording
from lastack.archive.writer import Recorder
from lastack.errors import CallError, RecordingError
from lastack.model.filters import parse
from lastack.model.host import Holder, HostFacts
from lastack.model.record import ConnectionTable
from lastack.model.state import State

from .recorded import DAY, MINUTE, NOON, connections, facts, held, look, recorder

pytest.importorskip("pyarrow")


def cookies(table: ConnectionTable) -> list[int]:
    found: list[int] = table.values("cookie").tolist()
    return found


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def write(directory: Path, looks: dict[int, list[int]], **more: object) -> list[str]:
    """Record cookies at minutes from noon on; what the recorder told."""
    told: list[str] = []
    with recorder(directory, tell=told.append, **more) as into:
        for minute, seen in looks.items():
            into.add(look(seen), NOON + minute * MINUTE)
    return told


# -- what comes back


def test_a_look_comes_back_as_it_was(tmp_path: Path) -> None:
    here, there = connections([1, 2, 3]), connections([4], State.TIME_WAIT, "pid 5")
    wanted = [(here, facts(holders=held(here))), (there, facts("pid 5", holders=held(there)))]
    with recorder(tmp_path) as into:
        into.add(wanted, NOON, "state close-wait")
    found = Recording(tmp_path).at()
    assert (found.at, found.chosen, found.unseen) == (NOON, "state close-wait", ())
    for (table, known), (before, knew) in zip(found.look, wanted, strict=True):
        assert list(table.rows()) == list(before.rows())
        assert (known.netns, known.settings, known.holders) == (knew.netns, knew.settings, knew.holders)
        assert known.processes == {pid: knew.processes[pid] for pid in (1, 7)}


def test_a_host_without_connections_is_recorded_too(tmp_path: Path) -> None:
    write(tmp_path, {0: [], 1: []})
    assert [len(table) for table, _ in Recording(tmp_path).at().look] == [0]
    assert len(Recording(tmp_path).between(None, None).connections) == 0


def test_the_last_look_before_a_moment_is_found(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 10: [2], 70: [3], 80: [4]})
    recording = Recording(tmp_path)
    for minute, cookie in ((0, 1), (9, 1), (10, 2), (69, 2), (70, 3), (79, 3), (80, 4), (500, 4)):
        assert cookies(recording.at(NOON + minute * MINUTE).look[0][0]) == [cookie]
    assert recording.at(None).at == NOON + 80 * MINUTE


def test_before_its_begin_a_recording_says_when_that_was(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 70: [2]})
    with pytest.raises(RecordingError, match="begins at 2027-01-15 12:00:00"):
        Recording(tmp_path).at(NOON - 5 * DAY)
    with pytest.raises(RecordingError, match="begins at 2027-01-15 12:00:00"):
        Recording(tmp_path).at(NOON - 1)


def test_a_directory_without_a_recording_is_none(tmp_path: Path) -> None:
    (tmp_path / "connections.parquet").write_bytes(b"of somebody else")
    with pytest.raises(RecordingError, match="holds no recording"):
        Recording(tmp_path)
    with pytest.raises(RecordingError, match="cannot read"):
        Recording(tmp_path / "nowhere")


def test_every_connection_is_seen_once_as_it_was_last(tmp_path: Path) -> None:
    with recorder(tmp_path) as into:
        into.add(look([1, 2]), NOON)
        into.add(look([2, 3]), NOON + 30 * MINUTE)
        into.add(look([3, 4], State.LAST_ACK), NOON + 70 * MINUTE)
    found = Recording(tmp_path).between(None, None).connections
    minutes = [((found.values(name) - NOON) // MINUTE).tolist() for name in ("first_ns", "last_ns")]
    states = [found.value("local_state", row) for row in range(len(found))]
    seen = dict(zip(cookies(found), zip(states, *minutes, strict=True), strict=True))
    assert seen == {
        1: ("CLOSE_WAIT", 0, 0),
        2: ("CLOSE_WAIT", 0, 30),
        3: ("LAST_ACK", 30, 70),
        4: ("LAST_ACK", 70, 70),
    }
    assert cookies(found) == [1, 2, 3, 4]


def test_a_filter_is_asked_at_every_look(tmp_path: Path) -> None:
    with recorder(tmp_path) as into:
        into.add(look([1, 2]), NOON)
        into.add(look([1, 2], State.LAST_ACK), NOON + MINUTE)
    found = Recording(tmp_path).between(None, None, parse("state close-wait")).connections
    assert {row["local_state"] for row in found.rows()} == {"CLOSE_WAIT"}
    assert set(found.values("last_ns").tolist()) == {NOON}


def shared(by: int, netns: str = "own", **more: Any) -> tuple[ConnectionTable, HostFacts]:
    """Connection 1 held by process 7, which the table names, and by another."""
    table = connections([1], netns=netns).with_columns({"holders": np.array([2], np.uint16)})
    return table, facts(netns, holders={1_001: (Holder(7, 3), Holder(by, 5))}, **more)


@pytest.mark.parametrize(
    ("asked", "minutes"),
    [("process other", [1]), ("process = 99", [1]), ("not process other", [0, 70]), ("process leaky", [0, 1, 70])],
)
def test_a_filter_is_asked_about_every_process_that_held_a_socket_then(
    tmp_path: Path, asked: str, minutes: list[int]
) -> None:
    with recorder(tmp_path) as into:
        for minute, by in ((0, 1), (1, 99), (70, 1)):
            into.add([shared(by)], NOON + minute * MINUTE)
    recording = Recording(tmp_path)
    for minute in (0, 1, 70):
        at = NOON + minute * MINUTE
        assert len(recording.between(at, at, parse(asked)).connections) == (minute in minutes)
    found = recording.between(where=parse(asked)).connections
    assert [(found.values(name)[0] - NOON) // MINUTE for name in ("first_ns", "last_ns")] == [minutes[0], minutes[-1]]


def test_of_each_namespace_its_own_processes_and_settings_are_asked(tmp_path: Path) -> None:
    with recorder(tmp_path) as into:
        into.add([shared(1), shared(99, "blue", settings={"ip_local_port_range": "80 80"})], NOON)
    for asked in ("process other", "autobound"):
        assert [row["netns"] for row in Recording(tmp_path).between(where=parse(asked)).connections.rows()] == ["blue"]


def test_where_the_facts_of_a_look_are_torn_a_filter_goes_by_the_table_and_that_is_told(tmp_path: Path) -> None:
    with recorder(tmp_path) as into:
        into.add([shared(99)], NOON)
        into.add([shared(99)], NOON + MINUTE)
    for torn in tmp_path.glob("hosts-20270115T1200*"):
        torn.write_bytes(torn.read_bytes()[:-20])
    seen = Recording(tmp_path).between(where=parse("process leaky or process other"))
    assert seen.connections.values("first_ns").tolist() == [NOON]
    assert Recording(tmp_path).between(where=parse("process other")).connections.values("first_ns").tolist() == [
        NOON + MINUTE
    ]
    assert [line for line in seen.unseen if "hosts-20270115T1200" in line and "is torn" in line]


def test_a_span_of_time_leaves_out_what_is_not_in_it(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 10: [2], 70: [3], 80: [4]})
    recording = Recording(tmp_path)
    assert cookies(recording.between(NOON + 10 * MINUTE, NOON + 70 * MINUTE).connections) == [2, 3]
    assert cookies(recording.between(NOON + 11 * MINUTE, None).connections) == [3, 4]
    assert cookies(recording.between(None, NOON).connections) == [1]


def test_how_far_reading_has_come_is_told(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 70: [2], 140: [3]})
    told: list[tuple[int, int | None]] = []
    Recording(tmp_path).between(progress=lambda done, total: told.append((done, total)))
    total = sum(path.stat().st_size for path in tmp_path.glob("connections-*"))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) == 3
    assert told[-1] == (total, total)


# -- hours


def test_an_hour_that_is_over_is_one_file_of_each_kind(tmp_path: Path) -> None:
    write(tmp_path, {minute: [minute] for minute in range(0, 61, 10)})
    assert names(tmp_path) == [
        "connections-20270115T12.parquet",
        "connections-20270115T130000.000000.parquet",
        "hosts-20270115T12.parquet",
        "hosts-20270115T130000.000000.parquet",
    ]
    assert cookies(Recording(tmp_path).between(None, None).connections) == list(range(0, 61, 10))


def test_a_recording_that_ended_is_put_together_by_the_next(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 10: [2]})
    write(tmp_path, {20: [3]})
    assert len(names(tmp_path)) == 6
    write(tmp_path, {70: [4]})
    assert len(names(tmp_path)) == 4
    assert cookies(Recording(tmp_path).between(None, None).connections) == [1, 2, 3, 4]


def test_a_clock_set_back_adds_to_its_hour(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 70: [2], 10: [3], 75: [4], 140: [5]})
    assert sum("T12" in name for name in names(tmp_path)) == 2
    assert cookies(Recording(tmp_path).between(None, NOON + 59 * MINUTE).connections) == [1, 3]
    assert cookies(Recording(tmp_path).at(NOON + 30 * MINUTE).look[0][0]) == [3]


def test_looks_that_an_interrupted_attempt_left_behind_are_kept_once(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 10: [2]})
    parts = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write(tmp_path, {70: [3]})
    for name, octets in parts.items():
        (tmp_path / name).write_bytes(octets)  # the hour was made, and its looks not removed
    assert cookies(Recording(tmp_path).between(None, None).connections) == [1, 2, 3]
    write(tmp_path, {130: [4]})
    assert len(names(tmp_path)) == 6
    assert Recording(tmp_path).at(NOON + 5 * MINUTE).look[0][0].values("cookie").tolist() == [1]


def test_columns_that_only_some_looks_have_are_null_in_the_others(tmp_path: Path) -> None:
    with recorder(tmp_path) as into:
        into.add([(connections([1]).without("command"), facts())], NOON)
        into.add(look([2]), NOON + MINUTE)
        into.add(look([3]), NOON + 60 * MINUTE)
    found = Recording(tmp_path).between(None, None).connections
    assert [row["command"] for row in found.rows()] == [None, "leaky", "leaky"]


# -- bounds


def octets(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def test_the_oldest_goes_first_when_there_is_too_much(tmp_path: Path) -> None:
    write(tmp_path / "free", {minute: [minute] for minute in range(0, 300, 10)})
    bound = octets(tmp_path / "free") // 2
    other = tmp_path / "bound" / "hosts.txt"
    other.parent.mkdir()
    other.write_bytes(b"x" * 2 * bound)
    with recorder(other.parent, most_octets=bound) as into:
        for minute in range(0, 300, 10):
            into.add(look([minute]), NOON + minute * MINUTE)
            assert octets(other.parent) - 2 * bound <= bound
    kept = cookies(Recording(other.parent).between(None, None).connections)
    assert kept == list(range(kept[0], 300, 10))
    assert 0 < kept[0] < 290
    assert other.exists()


def test_the_bound_holds_while_an_hour_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Cookies without order, as nothing can make them small: an hour is about as large as its looks.
    looks = {minute: random.Random(minute).sample(range(1 << 40), 2_000) for minute in range(0, 130, 10)}
    write(tmp_path / "free", {0: looks[0]})
    one = octets(tmp_path / "free")
    most, replace = [0], Path.replace

    def replaced(path: Path, target: Path) -> Path:
        most[0] = max(most[0], octets(path.parent))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replaced)
    write(tmp_path / "bound", looks, most_octets=9 * one)
    assert 7 * one < most[0] <= 10 * one  # one look is just being written


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 61: [2], 122: [3], 183: [4]}, most_age=90 * MINUTE)
    assert cookies(Recording(tmp_path).between(None, None).connections) == [2, 3, 4]  # the hour of 2 ended 63 min ago


HOUR = 60


@pytest.mark.parametrize("jump", [366 * 24 * HOUR, -50 * 366 * 24 * HOUR])
def test_a_clock_that_is_set_costs_nothing_that_is_recorded(tmp_path: Path, jump: int) -> None:
    write(tmp_path, {0: [1], HOUR: [2]}, most_age=3 * HOUR * MINUTE)
    write(tmp_path, {jump: [3], jump + HOUR: [4]}, most_age=3 * HOUR * MINUTE)
    assert sorted(cookies(Recording(tmp_path).between(None, None).connections)) == [1, 2, 3, 4]


def test_after_a_clock_is_set_back_its_future_goes_first(tmp_path: Path) -> None:
    ahead = 366 * 24 * HOUR
    looks = {ahead + hour * HOUR: [hour] for hour in range(10)} | {hour * HOUR: [100 + hour] for hour in range(3)}
    write(tmp_path, looks, most_age=4 * HOUR * MINUTE)
    assert sorted(cookies(Recording(tmp_path).between(None, None).connections)) == [8, 9, 100, 101, 102]
    bound = octets(tmp_path)
    write(tmp_path, {3 * HOUR: [103]}, most_octets=bound)
    kept = sorted(cookies(Recording(tmp_path).between(None, None).connections))
    assert kept[-4:] == [100, 101, 102, 103]
    assert 8 not in kept


def test_however_a_clock_is_set_as_many_hours_are_kept_and_the_last_look(tmp_path: Path) -> None:
    dice, seen = random.Random(5), set()
    with recorder(tmp_path, most_age=5 * HOUR * MINUTE) as into:
        at = NOON
        for cookie in range(1, 40):
            at += dice.choice((1, 1, 1, 1, -7, 30, -500, 9_000)) * HOUR * MINUTE
            seen.add(at)
            into.add(look([cookie]), at)
            found = Recording(tmp_path).between(None, None).connections
            assert cookie in cookies(found)
            assert len(found) >= min(len(seen), 6)


def test_one_look_that_is_too_large_is_told_of(tmp_path: Path) -> None:
    told = write(tmp_path, {0: [1]}, most_octets=1_000)
    assert told == ["one look at this host is more than 1,000 octets: nothing is kept"]
    assert names(tmp_path) == []


def test_two_recordings_never_share_a_directory(tmp_path: Path) -> None:
    with recorder(tmp_path), pytest.raises(CallError, match="another recording writes into it"):
        recorder(tmp_path)
    recorder(tmp_path).close()


def test_a_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    recorder(tmp_path / "a" / "b").close()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0
    (tmp_path / "a").chmod(0o755)
    write(tmp_path / "a", {0: [1], 70: [2]})
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a").iterdir() if path.is_file()} == {0o600}
    (tmp_path / "file").touch()
    with pytest.raises(CallError, match="cannot record into"):
        recorder(tmp_path / "file")


def test_a_disk_that_fails_costs_a_look_and_not_the_recording(tmp_path: Path) -> None:
    told: list[str] = []
    home, away = tmp_path / "home", tmp_path / "away"
    with Recorder(home, most_octets=1 << 20, most_age=DAY, tell=told.append) as into:
        into.add(look([1]), NOON)
        home.rename(away)
        into.add(look([2]), NOON + MINUTE)
        away.rename(home)
        into.add(look([3]), NOON + 2 * MINUTE)
    assert told == [f"cannot record into {home}: No such file or directory"]
    assert into.failed == 1
    assert cookies(Recording(home).between(None, None).connections) == [1, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_look_that_could_not_be_written_whole_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    written = writer._write

    def full(path: Path, rows: Any) -> None:
        if path.name.startswith(kind):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(path, rows)

    monkeypatch.setattr(writer, "_write", full)
    told: list[str] = []
    with recorder(tmp_path, tell=told.append) as into:
        into.add(look([1]), NOON)
    assert told == [f"cannot record into {tmp_path}: No space left on device"]
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_may_not_be_written_to_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(CallError, match="not writable"):
        recorder(tmp_path)


# -- torn files


def test_a_torn_last_look_is_told_and_the_one_before_is_found(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 10: [2]})
    for torn in tmp_path.glob("connections-20270115T1210*"):
        torn.write_bytes(torn.read_bytes()[:-20])
    found = Recording(tmp_path).at()
    assert cookies(found.look[0][0]) == [1]
    assert any("is torn" in line for line in found.unseen)
    seen = Recording(tmp_path).between(None, None)
    assert cookies(seen.connections) == [1]
    assert any("is torn" in line for line in seen.unseen)


def test_connections_that_are_missing_are_never_taken_for_none(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 10: [2]})
    next(tmp_path.glob("connections-20270115T1210*")).unlink()
    found = Recording(tmp_path).at()
    assert cookies(found.look[0][0]) == [1]
    assert "of 1 connections 0 can be read" in " ".join(found.unseen)


def test_a_torn_look_is_put_aside_when_its_hour_is_put_together(tmp_path: Path) -> None:
    write(tmp_path, {0: [1], 10: [2], 20: [3]})
    for torn in tmp_path.glob("*-20270115T1210*"):
        torn.write_bytes(b"")
    told = write(tmp_path, {70: [4]})
    assert len(told) == 2 and all("is torn" in line for line in told)
    assert sum(name.endswith(".torn") for name in names(tmp_path)) == 2
    assert cookies(Recording(tmp_path).between(None, None).connections) == [1, 3, 4]
    assert write(tmp_path, {140: [5]}) == []  # told once


def test_what_a_crash_left_half_written_is_removed(tmp_path: Path) -> None:
    write(tmp_path, {0: [1]})
    left = tmp_path / "connections-20270115T12.parquet.new"
    left.write_bytes(b"PAR1")
    assert cookies(Recording(tmp_path).between(None, None).connections) == [1]
    write(tmp_path, {10: [2]})
    assert not left.exists()


def test_nothing_readable_is_an_error_that_says_why(tmp_path: Path) -> None:
    write(tmp_path, {0: [1]})
    for path in tmp_path.iterdir():
        path.write_bytes(b"PAR1")
    with pytest.raises(RecordingError, match=r"nothing in .* can be read: .* is torn"):
        Recording(tmp_path).at()
