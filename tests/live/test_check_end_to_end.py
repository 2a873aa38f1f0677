"""The command itself, a process of its own, on real sockets: what it prints, what it ends with, and what it hides."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lastack.linux import namespaces
from lastack.linux.namespaces import Namespace
from lastack.model.state import State
from lastack.report.schema import connection_schema, report_schema

from .rules.situations import LOOPBACK, Puppet, Stage

pytestmark = pytest.mark.root

NOBODY = 65_534
EVIL = "\x1b[31mred\x07\u202e"
"""A name of a process that would colour a terminal, ring its bell and turn its reading direction."""
AT_ONCE = ("--min-age", "0s", "--pause", "0s")


@pytest.fixture
def stage(private_network: Namespace) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, private=True)


def lastack(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    given = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([sys.executable, "-m", "lastack", *arguments], check=False, **given)


def leak(stage: Stage, count: int, name: str = "leaky") -> tuple[Puppet, Puppet]:
    """A server of that name that leaks so many CLOSE_WAIT, and its client."""
    server, client = stage.process(name), stage.process("visitor")
    client.connect(server.listen(), count)
    server.do("accept", count)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, count)
    return server, client


def assert_clean(answer: subprocess.CompletedProcess[str], status: int) -> None:
    """It ended with the status, and said nothing of its own inside."""
    assert answer.returncode == status, answer.stderr
    assert "Traceback" not in answer.stderr
    assert "Error" not in answer.stderr


# -- what it says, and ends with


def test_a_quiet_network_is_well_and_the_headroom_is_told(stage: Stage) -> None:
    answer = lastack("check")
    assert_clean(answer, 0)
    assert answer.stderr == ""
    assert "Nothing wrong" in answer.stdout
    assert "ip_local_port_range" in answer.stdout or "ports" in answer.stdout


def test_a_leak_ends_with_1_and_names_process_listener_and_cure(stage: Stage) -> None:
    server, _ = leak(stage, 20)
    answer = lastack("check", *AT_ONCE)
    assert_clean(answer, 1)
    said = " ".join(answer.stdout.split())
    assert "20 connections are in CLOSE_WAIT" in said
    assert f"leaky (pid {server.pid}" in said
    assert f"{LOOPBACK}:{server.ports[0]}" in said
    assert "\x1b" not in answer.stdout  # not a terminal: no colour
    assert max(map(len, answer.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("count", "fail_on", "status"),
    [
        (1, "error", 0),
        (1, "warning", 1),
        (1, "info", 1),
        (1, "never", 0),
        (20, "error", 1),
        (20, "never", 0),
    ],
)
def test_the_status_follows_from_what_fails(stage: Stage, count: int, fail_on: str, status: int) -> None:
    leak(stage, count)
    assert_clean(lastack("check", *AT_ONCE, "--fail-on", fail_on), status)


def test_the_json_of_check_is_as_its_schema_says(stage: Stage) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    server, _ = leak(stage, 25)
    answer = lastack("check", *AT_ONCE, "--format", "json")
    assert_clean(answer, 1)
    report = json.loads(answer.stdout)
    jsonschema.validate(report, report_schema())
    assert set(report) == {"schema", "source", "findings", "counts", "headroom"}
    finding = next(each for each in report["findings"] if each["rule"] == "close-wait-eof-unread")
    assert finding["severity"] == "error"
    assert finding["connections"]["count"] == len(finding["connections"]["sample"]) == 25
    assert {row["pid"] for row in finding["connections"]["sample"]} == {server.pid}
    assert {row["local_state"] for row in finding["connections"]["sample"]} == {"CLOSE_WAIT"}
    assert report["counts"]["states"]["CLOSE_WAIT"] == 25
    assert report["counts"]["findings"]["error"] == 1


def test_young_ones_are_spoken_of_by_min_age(stage: Stage) -> None:
    leak(stage, 20)
    assert "CLOSE_WAIT because" not in lastack("check").stdout
    assert_clean(lastack("check"), 0)


@pytest.mark.parametrize(
    ("options", "speaks"),
    [
        (("--process", "leaky"), True),
        (("--process", "visitor"), False),
        (("-f", "state close-wait"), True),
        (("-f", "state established"), False),
        (("--filter", "sport = :{port}"), True),
        (("--filter", "dport = :{port}"), False),
        (("--unit", "nowhere.service"), False),
        (("--container", "nowhere"), False),
    ],
)
def test_only_what_the_options_name_is_judged(stage: Stage, options: tuple[str, str], speaks: bool) -> None:
    server, _ = leak(stage, 20)
    asked = [option.format(port=server.ports[0]) for option in options]
    answer = lastack("check", *AT_ONCE, *asked)
    assert_clean(answer, int(speaks))


def test_a_report_in_a_file_is_whole_and_nothing_else_is_printed(stage: Stage, tmp_path: Path) -> None:
    server, _ = leak(stage, 20)
    page = tmp_path / "report.html"
    answer = lastack("check", *AT_ONCE, "--format", "html", "-o", str(page))
    assert_clean(answer, 1)
    assert answer.stdout == ""
    assert answer.stderr == f"lastack: written to {page}\n"
    assert f"leaky (pid {server.pid}" in page.read_text()
    assert lastack("check", *AT_ONCE, "--format", "html", "-o", str(page), "--quiet").stderr == ""


# -- connections and show


def rows(*arguments: str) -> list[dict[str, Any]]:
    answer = lastack("connections", "--format", "json", *arguments)
    assert_clean(answer, 0)
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


def test_connections_are_rows_as_the_schema_says(stage: Stage) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    server, client = leak(stage, 3)
    found = rows()
    for row in found:
        jsonschema.validate(row, connection_schema())
    assert sorted((row["local_state"], row["pid"]) for row in found) == sorted(
        [("CLOSE_WAIT", server.pid)] * 3 + [("FIN_WAIT_2", client.pid)] * 3
    )
    assert {row["local_state"] for row in rows("--all")} == {"CLOSE_WAIT", "FIN_WAIT_2", "LISTEN"}


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("-f", "state close-wait"), 3),
        (("--process", "visitor"), 3),
        (("--process", "nobody"), 0),
        (("--min-age", "1h"), 0),
        (("--min-age", "0s"), 6),
        (("-f", "state close-wait or state fin-wait-2"), 6),
    ],
)
def test_connections_are_filtered(stage: Stage, options: tuple[str, ...], count: int) -> None:
    leak(stage, 3)
    assert len(rows(*options)) == count


def test_a_socket_of_several_processes_is_found_by_each_and_shown_with_all(stage: Stage) -> None:
    server, _, _ = stage.connected(1)
    server.do("call_myself", "first")
    child = server.do("spawn")
    found = [
        rows("-f", f"process {who} and state established") for who in ("first", "sleep", str(server.pid), str(child))
    ]
    assert len(found[0]) == 1
    assert [row["cookie"] for each in found for row in each] == [found[0][0]["cookie"]] * 4
    assert f"sleep/{child} +1" in lastack("connections").stdout
    assert f"first, pid {server.pid}" in lastack("show", str(found[0][0]["cookie"])).stdout
    shown = json.loads(lastack("show", str(found[0][0]["cookie"]), "--format", "json").stdout)
    assert shown["process"]["also"] == [{"pid": server.pid, "command": "first"}]


def test_every_format_lists_the_same_connections(stage: Stage) -> None:
    leak(stage, 3)
    found = rows()
    lines = lastack("connections", "--format", "jsonl").stdout.splitlines()
    table = list(csv.DictReader(io.StringIO(lastack("connections", "--format", "csv").stdout)))
    tuples = {(row["local_port"], row["remote_port"]) for row in found}
    assert {(row["local_port"], row["remote_port"]) for row in map(json.loads, lines)} == tuples
    assert {(int(row["local_port"]), int(row["remote_port"])) for row in table} == tuples
    assert lastack("connections").stdout.count("CLOSE_WAIT") == 3


def test_one_socket_is_shown_by_its_id_and_by_its_ends(stage: Stage) -> None:
    server, _ = leak(stage, 1)
    (row,) = rows("-f", "state close-wait")
    ends = f"{row['local_addr']}:{row['local_port']}-{row['remote_addr']}:{row['remote_port']}"
    for which in (str(row["cookie"]), hex(row["cookie"]), ends):
        answer = lastack("show", which)
        assert_clean(answer, 0)
        assert "CLOSE_WAIT" in answer.stdout
        assert f"{server.pid}" in answer.stdout
    shown = json.loads(lastack("show", ends, "--format", "json").stdout)
    assert shown["connection"]["cookie"] == row["cookie"]
    assert shown["tcp_info"]["segs_in"] >= 2


# -- misuse


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("check", "--netns", "atlantis"), "no network namespace is called 'atlantis'"),
        (("check", "--netns", "2147483647"), "no process 2147483647"),
        (("check", "--nonsense"), "--nonsense"),
        (("check", "--min-age", "soon"), "soon"),
        (("check", "--fail-on", "monday"), "monday"),
        (("check", "--format", "html", "-o", "/nonexistent/x.html"), "cannot write /nonexistent/x.html"),
        (("connections", "--format", "parquet"), "-o FILE"),
        (("connections", "--format", "xml"), "xml"),
        (("show", "1"), "no socket is called 1"),
        (("watch", "--prometheus", "127.0.0.1:0", "-o", "lines.jsonl"), "--output is for --jsonl"),
        (("watch", "--jsonl", "--keep-age", "2d"), "--keep-age is for --record"),
        (("show", "99999999999999999999"), "no socket is called"),
        (("show", "127.0.0.1:1-127.0.0.1:99999"), "127.0.0.1:99999"),
        (("explode",), "explode"),
    ],
)
def test_misuse_ends_with_2_and_says_what_is_wrong(stage: Stage, arguments: tuple[str, ...], says: str) -> None:
    answer = lastack(*arguments)
    assert answer.returncode == 2, answer
    assert says in answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["check", "connections"])
@pytest.mark.parametrize(
    ("text", "at"), [("state close-wiat", 6), ("sport = :80 annd dport = :1", 12), ("sport = :1 )", 11)]
)
def test_a_filter_that_makes_no_sense_is_pointed_at(command: str, text: str, at: int) -> None:
    answer = lastack(command, "-f", text)
    assert answer.returncode == 2
    lines = answer.stderr.splitlines()
    caret = next(line for line in lines if line.strip() == "^")
    written = lines[lines.index(caret) - 1]
    assert written.strip() == text
    assert caret.index("^") - written.index(text) == at
    assert "Traceback" not in answer.stderr


# -- readers that leave


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", *AT_ONCE),
        ("check", *AT_ONCE, "--format", "json"),
        ("check", *AT_ONCE, "--format", "html"),
        ("connections",),
        ("connections", "--format", "json"),
        ("connections", "--format", "csv"),
        ("check", "--help"),
    ],
)
def test_a_reader_that_is_gone_before_the_first_word_is_no_error(stage: Stage, arguments: tuple[str, ...]) -> None:
    leak(stage, 20)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        answer = lastack(*arguments, capture_output=False, stdout=out, stderr=subprocess.PIPE)
    assert answer.stderr == ""
    assert answer.returncode == 141


def test_a_reader_of_one_line_is_no_error(stage: Stage) -> None:
    leak(stage, 100)
    command = f"{sys.executable} -m lastack connections --wide --format csv | head -1"
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert answer.stderr == ""
    assert answer.stdout.count("\n") == 1


# -- hostile names


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", *AT_ONCE),
        ("check", *AT_ONCE, "--verbose"),
        ("check", *AT_ONCE, "--format", "json"),
        ("check", *AT_ONCE, "--format", "html"),
        ("connections",),
        ("connections", "--wide"),
        ("connections", "--format", "json"),
        ("connections", "--format", "jsonl"),
        ("connections", "--format", "csv"),
    ],
)
def test_a_name_never_reaches_the_reader_as_commands_to_a_terminal(stage: Stage, arguments: tuple[str, ...]) -> None:
    leak(stage, 20, EVIL)
    answer = lastack(*arguments)
    assert "Traceback" not in answer.stderr
    assert "red" in answer.stdout  # it is told all the same
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", answer.stdout.replace("\r\n", "\n"))


def test_an_evil_name_can_be_asked_for_and_is_harmless_in_what_goes_wrong(stage: Stage) -> None:
    leak(stage, 20, EVIL)
    assert_clean(lastack("check", *AT_ONCE, "--process", EVIL), 1)
    for arguments in (("show", EVIL), ("check", "--netns", EVIL), ("check", "-f", f"state {EVIL}")):
        answer = lastack(*arguments)
        assert answer.returncode == 2
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", answer.stderr)


def test_an_evil_name_is_harmless_where_one_socket_is_shown(stage: Stage) -> None:
    leak(stage, 1, EVIL)
    (row,) = rows("-f", "state close-wait")
    answer = lastack("show", str(row["cookie"]))
    assert "red" in answer.stdout
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", answer.stdout)


# -- without root, and in other networks


AS_NOBODY = f"""
import contextlib, ctypes, io, os
from lastack.cli.main import main
from lastack.report import escape
nowhere = io.StringIO()
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
    main()  # loads all that it needs: nobody may not be able to read this Python's files
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, as after an exec: its own /proc is open to it
main()
"""


def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`lastack` as user nobody."""
    command = [sys.executable, "-c", AS_NOBODY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_without_root_it_tells_what_it_sees_and_what_it_could_not(stage: Stage) -> None:
    leak(stage, 20)
    answer = as_nobody("check", *AT_ONCE)
    assert_clean(answer, 1)
    said = " ".join(answer.stdout.split())
    assert "20 connections are in CLOSE_WAIT" in said
    assert "a process that cannot be seen from here" in said
    assert "user id 0 (20)" in said
    assert "run as root" in said
    report = json.loads(as_nobody("check", *AT_ONCE, "--format", "json").stdout)
    assert any("run as root" in line for line in report["source"]["unseen"])


def test_without_root_one_sees_ones_own(stage: Stage) -> None:
    server, client = stage.process("mine"), stage.process("visitor")
    server.do("become", NOBODY)
    client.connect(server.listen(), 2)
    server.do("accept", 2)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 2)
    answer = as_nobody("check", *AT_ONCE)
    assert_clean(answer, 0)
    assert f"mine (pid {server.pid}" in " ".join(answer.stdout.split())


def test_without_root_the_others_networks_are_refused_clearly(stage: Stage) -> None:
    other = stage.process("other")
    with namespaces.entered(namespaces.choose(str(os.getppid()))[0]):
        answer = as_nobody("check", "--netns", str(other.pid))
    assert answer.returncode == 2
    assert "root" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_another_network_is_looked_into_by_one_of_its_processes(stage: Stage) -> None:
    server, _ = leak(stage, 20)
    with namespaces.entered(namespaces.choose(str(os.getppid()))[0]):
        answer = lastack("check", *AT_ONCE, "--netns", str(server.pid))
        own = lastack("check", *AT_ONCE, "--process", "leaky")
    assert_clean(answer, 1)
    assert f"leaky (pid {server.pid}" in " ".join(answer.stdout.split())
    assert_clean(own, 0)


def test_all_networks_are_looked_into_at_once_and_told_apart(stage: Stage) -> None:
    server, _ = leak(stage, 20)
    first = namespaces.choose(str(os.getppid()))[0]
    inside = namespaces.own().inode
    with namespaces.entered(first):
        answer = lastack("check", *AT_ONCE, "--netns", "all", "--process", "leaky", "--format", "json")
    assert_clean(answer, 1)
    report = json.loads(answer.stdout)
    assert len(report["source"]["netns"]) >= 2
    finding = next(each for each in report["findings"] if each["rule"] == "close-wait-eof-unread")
    label = finding["connections"]["netns"]
    assert label in report["source"]["netns"]
    assert namespaces.choose(label.removeprefix("pid "))[0].inode == inside
    assert {row["pid"] for row in finding["connections"]["sample"]} == {server.pid}
    assert {row["netns"] for row in finding["connections"]["sample"]} == {label}
