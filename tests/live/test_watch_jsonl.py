"""`lastack watch --jsonl` as it is run: what it writes, how it ends, and readers that stall or go."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lastack.linux import namespaces

from .peer import until
from .rules.situations import Stage
from .test_transitions import EVERY, EXACT, cookie, ours, storm

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("private_network")]

Line = dict[str, Any]


class Watch:
    """A running watch and what it has written."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path) -> None:
        self.process = process
        self._file = file
        self.said = b""

    def lines(self) -> list[Line]:
        text = self._file.read_bytes()
        return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]

    def changes(self) -> list[Line]:
        return [line for line in self.lines() if line["event"] == "change"]

    def told(self) -> bool:
        return bool(self.changes())

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.said += self.process.communicate(timeout=30)[1]
        return self.process.returncode


LASTACK = ("-m", "lastack")
IMPATIENT = (
    "-c",
    "import functools; from lastack.watch import stream; from lastack.cli.main import main\n"
    "stream.Outlet = functools.partial(stream.Outlet, most=10_000); main()",
)
"""As the command, but with little room for what waits for the reader."""


@contextmanager
def running(
    *arguments: str, out: int | None = None, program: tuple[str, str] = LASTACK
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, *program, "watch", "--jsonl", *arguments]
    with subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            assert first.startswith(b"lastack: watching by "), first
            yield process
        finally:
            process.kill()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    opened: list[AbstractContextManager[subprocess.Popen[bytes]]] = []

    def begin(*arguments: str) -> Watch:
        lines = tmp_path / f"lines{len(opened)}"
        context = running("-o", str(lines), *arguments)
        opened.append(context)
        return Watch(context.__enter__(), lines)

    yield begin
    for context in opened:
        context.__exit__(None, None, None)


@pytest.mark.parametrize("which", EXACT)
def test_each_change_is_a_line_with_cookie_time_and_process(watch: Callable[..., Watch], which: str) -> None:
    watching = watch("--source", which)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        its_cookie, port = cookie(client), client.getsockname()[1]
        time.sleep(0.1)
        client.shutdown(socket.SHUT_WR)
        server.close()
        client.close()
    until(lambda: any(line["after"] == "TIME_WAIT" for line in watching.changes()), "the TIME_WAIT")
    assert watching.end() == 0
    theirs = [line for line in watching.changes() if line["local_port"] == port]
    after = {line["after"]: line for line in theirs}
    assert after["FIN_WAIT_1"]["before"] == "ESTABLISHED"
    assert 100e6 <= after["FIN_WAIT_1"]["stayed_ns"] < 30e9
    assert (after["FIN_WAIT_1"]["pid"], after["FIN_WAIT_2"]["pid"]) == (os.getpid(), None)
    assert after["FIN_WAIT_1"]["command"] == Path("/proc/self/comm").read_text().strip()
    assert after["TIME_WAIT"]["cookie"] == its_cookie
    assert after["FIN_WAIT_1"]["cookie"] == (its_cookie if which == "bpf" else None)
    assert [line["after"] for line in theirs if line["sampled"]] == ["TIME_WAIT"]
    assert after[None]["before"] == "FIN_WAIT_2"  # let go: what became of it is not known yet


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("which", EVERY)
def test_a_signal_detaches_drains_writes_everything_and_ends_well(
    watch: Callable[..., Watch], which: str, number: int
) -> None:
    watching = watch("--source", which)
    count = 500
    port = storm(count)
    assert watching.end(number) == 0
    lines = watching.lines()
    assert (lines[0]["event"], lines[0]["source"], lines[0]["exact"]) == ("begin", which, which != "sock_diag")
    assert lines[-1]["event"] == "end"
    changes = watching.changes()
    assert lines[-1]["changes"] == len(changes)
    assert (lines[-1]["dropped"], lines[-1]["lost"]) == (0, 0)
    made = Counter(
        (line["before"], line["after"]) for line in changes if port in (line["local_port"], line["remote_port"])
    )
    if which == "sock_diag":
        assert all(line["sampled"] for line in changes)
        return
    assert made["CLOSED", "SYN_SENT"] == made["LAST_ACK", "CLOSED"] == count
    assert made["FIN_WAIT_2", None] == made["FIN_WAIT_2", "TIME_WAIT"] == count
    assert ours(watching.process.pid) == []
    assert f"{len(changes):,} changes of state written, 0 lost, 0 dropped".encode() in watching.said


@pytest.mark.parametrize("which", EXACT)
def test_a_reader_that_stalls_never_stops_the_ring_and_the_drops_are_counted(which: str) -> None:
    reading, writing = os.pipe()
    with running("--source", which, out=writing, program=IMPATIENT) as process, os.fdopen(reading, "rb") as reader:
        os.close(writing)
        count = 3_000
        storm(count)
        time.sleep(0.2)
        process.terminate()
        lines = [json.loads(line) for line in reader]
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    end = lines[-1]
    told = Counter(line["event"] for line in lines)
    gaps = sum(line["changes"] for line in lines if line["event"] == "dropped")
    assert (end["event"], end["lost"]) == ("end", 0)  # the kernel's ring was read all the time
    assert gaps == end["dropped"] > 0
    assert told["change"] == end["changes"]
    assert told["change"] + gaps >= 10 * count
    assert f"{gaps:,} dropped because they were not read".encode() in said


def test_a_second_signal_gives_up_on_a_reader_that_never_reads() -> None:
    reading, writing = os.pipe()
    with running(out=writing) as process:
        os.close(writing)
        storm(1_000)
        process.terminate()
        time.sleep(0.5)
        assert process.poll() is None  # it waits for the reader
        process.terminate()
        process.communicate(timeout=10)
    os.close(reading)
    assert process.returncode == -signal.SIGINT  # 130 in a shell


@pytest.mark.parametrize("which", EXACT)
def test_a_reader_that_goes_ends_the_watch_and_nothing_is_left(which: str) -> None:
    reading, writing = os.pipe()
    with running("--source", which, out=writing) as process:
        os.close(writing)
        os.read(reading, 10)
        os.close(reading)
        storm(10)
        said = process.communicate(timeout=10)[1]
    assert (process.returncode, said) == (141, b"")
    assert ours(process.pid) == []


def test_it_ends_by_itself_after_the_time_asked_for(watch: Callable[..., Watch]) -> None:
    watching = watch("--for", "500ms")
    assert watching.process.wait(timeout=10) == 0
    assert [line["event"] for line in watching.lines()] == ["begin", "end"]


def test_the_shared_filters_choose(watch: Callable[..., Watch]) -> None:
    program = (
        "import socket,sys\n"
        "with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as listener:\n"
        "    c = socket.create_connection(listener.getsockname()); s, _ = listener.accept()\n"
        "    sys.stdin.readline(); c.close(); s.recv(1); s.close()\n"
    )
    with (
        socket.create_server(("127.0.0.1", 0)) as mine,
        subprocess.Popen([sys.executable, "-c", program, "7101"], stdin=subprocess.PIPE) as other,
    ):
        until(lambda: "1BBD" in Path("/proc/thread-self/net/tcp").read_text(), "the other's listener")
        asked = ("-f", "state close-wait or state last-ack", "--process", str(other.pid))
        watching = watch(*asked)
        client = socket.create_connection(mine.getsockname())
        server, _ = mine.accept()
        client.close()
        server.recv(1)
        server.close()
        other.communicate(b"\n", timeout=10)
        until(lambda: any(line["before"] == "LAST_ACK" for line in watching.changes()), "the end")
        assert watching.end() == 0
    told = [(line["local_port"], line["before"], line["after"]) for line in watching.changes()]
    assert told == [
        (7101, "ESTABLISHED", "CLOSE_WAIT"),
        (7101, "CLOSE_WAIT", "LAST_ACK"),
        (7101, "LAST_ACK", "CLOSED"),
    ]


@pytest.mark.parametrize("which", EVERY)
def test_when_its_namespace_is_gone_the_watch_ends_with_what_it_has_seen(
    watch: Callable[..., Watch], which: str
) -> None:
    program = (
        "import sys; from tests.live.test_transitions import storm; sys.stdin.readline(); storm(3); sys.stdin.read()"
    )
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[2]) as inside:
        own = Path("/proc/thread-self/ns/net").stat().st_ino
        until(lambda: Path(f"/proc/{inside.pid}/ns/net").stat().st_ino != own, "the namespace")
        watching = watch("--source", which, "--netns", str(inside.pid))
        assert inside.stdin is not None
        inside.stdin.write(b"\n")
        inside.stdin.flush()
        until(lambda: bool(watching.changes()), "changes")
    assert watching.process.wait(timeout=30) == 2
    last = watching.lines()[-1]
    assert last["event"] == "end"
    assert "network namespace" in last["error"]
    assert last["changes"] == len(watching.changes())


def test_listeners_of_one_endpoint_in_two_networks_are_told_apart(watch: Callable[..., Watch]) -> None:
    with ExitStack() as stack:
        played = []
        for name in ("first", "second"):
            stack.enter_context(namespaces.private())
            stage = Stage(stack, private=True)
            server, client = stage.process(f"{name}{os.getpid()}"), stage.process("visitor")
            played.append((namespaces.own().inode, client, server.listen(), f"{name}{os.getpid()}"))
        assert played[0][2] == played[1][2]
        watches = [watch("--netns", "all", "--process", name) for *_, name in played]
        for _, client, at, _ in played:
            client.connect(at, 1)
        for (inode, *_), watching in zip(played, watches, strict=True):
            until(watching.told, "a change")
            assert watching.end() == 0
            assert {line["netns"] for line in watching.changes()} == {inode}


def test_a_place_that_cannot_be_written_is_told() -> None:
    command = [sys.executable, "-m", "lastack", "watch", "--jsonl", "-o", "/nowhere/at/all"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert answer.returncode == 2
    assert answer.stderr == "lastack: cannot write /nowhere/at/all: No such file or directory\n"


def test_a_closed_standard_output_is_told() -> None:
    command = f"{sys.executable} -m lastack watch --jsonl >&-"
    answer = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert (answer.returncode, answer.stderr) == (2, "lastack: cannot write: standard output is closed\n")


def test_a_full_disk_ends_it_with_a_reason() -> None:
    with running("-o", "/dev/full") as process:
        storm(1)
        said = process.communicate(timeout=10)[1]
    assert process.returncode == 2
    assert b"No space left" in said
