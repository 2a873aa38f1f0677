"""`lastack check`, `connections`, `show` and `warm` on captures, as processes."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from lastack.drive.simulator import Simulator
from lastack.model.time import MILLISECOND, SECOND

Command = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three connections: one closes in order, one is refused, one sends a hundred segments."""
    sim = Simulator(seed=3, trace=True)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    sim.link(client, server, delay=5 * MILLISECOND)
    listener = server.listen(80)
    for size in (10, 0, 50_000):
        here = client.connect("10.0.0.2", 80 if size else 81)
        sim.run(sim.now + SECOND)
        there = listener.accept()
        if there is None:
            continue
        here.send(b"x" * size)
        sim.run(sim.now + SECOND)
        there.receive()
        here.close()
        sim.run(sim.now + SECOND)
        there.close()
        sim.run(sim.now + SECOND)
    sim.trace.packets = [packet for packet in sim.trace.packets if packet[1] == "server"]
    path = tmp_path_factory.mktemp("captures") / "server.pcapng"
    with path.open("wb") as file:
        sim.trace.write_pcapng(file)
    return path


@pytest.fixture
def lastack(tmp_path: Path) -> Command:
    def run(*arguments: str | Path, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "lastack", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, input=given, capture_output=True, timeout=60, check=False)

    return run


def test_check_tells_what_is_wrong_and_exits_with_1(lastack: Command, capture: Path) -> None:
    done = lastack("check", capture)
    assert done.returncode == 1
    assert b"10.0.0.2:81 refused 1 connection" in done.stdout
    assert b"3 connections: 2 ORDERLY, 1 REFUSED" in done.stdout


def test_check_in_json_names_its_source(lastack: Command, capture: Path) -> None:
    report = json.loads(lastack("check", "--format", "json", "--fail-on", "never", capture).stdout)
    assert report["source"]["kind"] == "capture"
    assert [finding["rule"] for finding in report["findings"]] == ["handshake-refused"]


def test_a_filter_restricts_what_is_judged(lastack: Command, capture: Path) -> None:
    done = lastack("check", "-f", "dport = :80", capture)
    assert done.returncode == 0
    assert b"2 connections" in done.stdout


def test_connections_lists_how_each_ended(lastack: Command, capture: Path) -> None:
    lines = lastack("connections", capture).stdout.decode().splitlines()
    assert lines[0].split()[:5] == ["ID", "CLIENT", "SERVER", "CLOSE", "BY"]
    assert [line.split()[3] for line in lines[1:]] == ["ORDERLY", "REFUSED", "ORDERLY"]
    assert max(map(len, lines)) <= 80


def test_connections_as_json_lines_has_every_column(lastack: Command, capture: Path) -> None:
    rows = [json.loads(line) for line in lastack("connections", "--format", "jsonl", capture).stdout.splitlines()]
    assert [row["close_kind"] for row in rows] == ["ORDERLY", "REFUSED", "ORDERLY"]
    assert rows[2]["octets_out"] == 50_000


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_connections_as_a_file(lastack: Command, capture: Path, tmp_path: Path, form: str) -> None:
    done = lastack("connections", "--format", form, "-o", f"out.{form}", capture)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"out.{form}").stat().st_size > 100


def test_a_compressed_capture_and_standard_input_are_captures(lastack: Command, capture: Path, tmp_path: Path) -> None:
    packed = tmp_path / "server.pcapng.gz"
    packed.write_bytes(gzip.compress(capture.read_bytes()))
    plain = lastack("connections", capture).stdout
    assert lastack("connections", packed).stdout == plain
    assert lastack("connections", "-", given=capture.read_bytes()).stdout == plain


def test_show_draws_the_ladder(lastack: Command, capture: Path) -> None:
    text = lastack("show", "1", capture).stdout.decode()
    for word in ("SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "SYN,ACK 0 ack 1"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80


def test_show_takes_the_ends_of_a_connection(lastack: Command, capture: Path) -> None:
    row = json.loads(lastack("connections", "--format", "jsonl", capture).stdout.splitlines()[0])
    ends = f"{row['remote_addr']}:{row['remote_port']}-{row['local_addr']}:{row['local_port']}"
    assert lastack("show", ends, capture).stdout == lastack("show", "1", capture).stdout


def test_show_folds_a_long_life_unless_asked_for_all(lastack: Command, capture: Path) -> None:
    folded, whole = (lastack("show", "3", *more, capture).stdout.decode() for more in ([], ["--all"]))
    assert "octets out" in folded
    assert "octets out" not in whole
    assert len(whole.splitlines()) > len(folded.splitlines())


@pytest.mark.parametrize("around", ["open", "close", "100ms"])
def test_show_around(lastack: Command, capture: Path, around: str) -> None:
    assert lastack("show", "3", "--around", around, capture).returncode == 0


def test_show_as_svg_and_html(lastack: Command, capture: Path) -> None:
    ET.fromstring(lastack("show", "1", "--format", "svg", capture).stdout)
    assert lastack("show", "1", "--format", "html", capture).stdout.startswith(b"<!doctype html>")


def test_show_as_json_has_segments_and_changes(lastack: Command, capture: Path) -> None:
    found = json.loads(lastack("show", "1", "--format", "json", capture).stdout)
    assert found["connection"]["close_kind"] == "ORDERLY"
    assert found["changes"][0]["after"] == "SYN_SENT"
    assert len(found["segments"]) == found["connection"]["segments_out"] + found["connection"]["segments_in"]


def test_show_cuts_one_connection_out(lastack: Command, capture: Path, tmp_path: Path) -> None:
    done = lastack("show", "1", capture, "-o", "one.pcapng")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in lastack("connections", "--format", "jsonl", "one.pcapng").stdout.splitlines()]
    whole = json.loads(lastack("connections", "--format", "jsonl", capture).stdout.splitlines()[0])
    assert len(rows) == 1
    for column in ("local_port", "segments_out", "segments_in", "octets_out", "close_kind", "first_ns", "last_ns"):
        assert rows[0][column] == whole[column]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "missing.pcap"], b"missing.pcap: No such file"),
        (["show", "99", "CAPTURE"], b"no connection of that name"),
        (["show", "1", "CAPTURE", "--around", "noon"], b"--around noon"),
        (["show", "1", "-"], b"cannot be read twice"),
        (["connections", "--memory", "lots", "CAPTURE"], b"no size"),
        (["show", "1", "--format", "svg"], b"captures"),
    ],
)
def test_errors_say_what_is_wrong_and_exit_with_2(
    lastack: Command, capture: Path, arguments: list[str], words: bytes
) -> None:
    filled = [str(capture) if word == "CAPTURE" else word for word in arguments]
    done = lastack(*filled, given=capture.read_bytes())
    assert done.returncode == 2
    assert words in done.stderr
    assert b"Traceback" not in done.stderr


def test_what_was_readable_of_a_broken_capture_is_told_with_where_it_broke(
    lastack: Command, capture: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.pcapng"
    cut.write_bytes(capture.read_bytes()[:-11])
    done = lastack("check", "--fail-on", "never", cut)
    assert done.returncode == 0
    assert b"Not seen" in done.stdout
    assert b"cut.pcapng" in done.stdout


def test_with_a_limit_of_memory_rows_are_written_as_connections_leave(lastack: Command, capture: Path) -> None:
    whole = [json.loads(line) for line in lastack("connections", "--format", "jsonl", capture).stdout.splitlines()]
    for row in whole:
        del row["id"]
    limited = ("connections", "--memory", "1M", "--format")
    assert [json.loads(line) for line in lastack(*limited, "jsonl", capture).stdout.splitlines()] == whole
    assert json.loads(lastack(*limited, "json", capture).stdout) == whole
    assert lastack(*limited, "csv", capture).stdout.decode().splitlines()[0].split(",") == list(whole[0])
    assert json.loads(lastack(*limited, "json", "-", given=capture.read_bytes()).stdout) == whole
    chosen = [row for row in whole if row["close_kind"] == "REFUSED"]
    assert json.loads(lastack(*limited, "json", "-f", "dport = :81", capture).stdout) == chosen


def test_what_cannot_be_read_empties_no_file(lastack: Command, tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("mine")
    assert lastack("connections", "--memory", "1M", "--format", "csv", "-o", kept, tmp_path / "none").returncode == 2
    assert kept.read_text() == "mine"
