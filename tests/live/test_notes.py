"""Who closed the sockets that nobody holds any more, named from a running watch."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastack.api import check, connections
from lastack.linux import namespaces
from lastack.linux.namespaces import Namespace
from lastack.live import cgroups, notes, sockdiag
from lastack.live.transitions.tap import Tap
from lastack.model.host import Process
from lastack.model.record import ConnectionTable
from lastack.model.state import State, bits
from lastack.model.time import MILLISECOND, SECOND

from .allowed import with_bpf
from .peer import ACK, FIN, Peer

pytestmark = [pytest.mark.root, with_bpf]

CLOCK: int = 5 * MILLISECOND
"""What two readings of two clocks may lie apart."""

CLIENT = """
import socket, sys
from pathlib import Path
Path("/proc/self/comm").write_bytes(bytes.fromhex(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
sys.stdin.read()
"""


@pytest.fixture
def tap(private_network: Namespace) -> Iterator[Tap]:
    with Tap(frozenset({private_network.inode})) as opened:
        yield opened


@pytest.fixture
def listener(private_network: Namespace) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def close_all(listener: socket.socket, count: int) -> None:
    """Accept what has come in and close it after its client has."""
    for _ in range(count):
        accepted, _ = listener.accept()
        with accepted:
            assert not accepted.recv(1)


def client(listener: socket.socket, name: bytes, count: int = 1, **options: Any) -> subprocess.Popen[bytes]:
    words = [str(listener.getsockname()[1]), name.hex(), str(count)]
    return subprocess.Popen([sys.executable, "-c", CLIENT, *words], stdin=subprocess.PIPE, **options)


def in_time_wait(count: int = 1) -> ConnectionTable:
    deadline = time.monotonic() + 5
    while True:
        table = connections(where="state time-wait")
        if len(table) >= count:
            return table
        assert time.monotonic() < deadline, f"{len(table)} of {count} in TIME_WAIT"
        time.sleep(0.01)


def test_every_time_wait_made_during_a_watch_names_its_process(tap: Tap, listener: socket.socket) -> None:
    with client(listener, b"first", 40) as one, client(listener, b"second", 60) as other:
        close_all(listener, 100)
        table = in_time_wait(100)
        owners = {key: len(rows) for key, rows in table.groups("pid", "command")}
        one.communicate(b"")
        other.communicate(b"")
    assert owners == {(one.pid, "first"): 40, (other.pid, "second"): 60}
    assert not table.valid("fd").any()
    assert not table.valid("holders").any()


def test_a_server_that_closes_first_is_named(tap: Tap, listener: socket.socket) -> None:
    here = socket.create_connection(listener.getsockname())
    accepted, _ = listener.accept()
    with here:
        pid = os.fork()
        if not pid:
            Path("/proc/self/comm").write_text("the server")
            here.close()
            accepted.shutdown(socket.SHUT_RDWR)
            os._exit(0)
        accepted.close()
        os.waitpid(pid, 0)
        assert not here.recv(1)
    [row] = in_time_wait().rows()
    assert (row["pid"], row["command"], row["local_port"]) == (pid, "the server", listener.getsockname()[1])


def test_a_process_that_has_ended_is_still_named(tap: Tap, listener: socket.socket) -> None:
    with client(listener, b"short-lived") as process:
        close_all(listener, 1)
        process.communicate(b"")
    [row] = in_time_wait().rows()
    assert (row["pid"], row["command"], row["program"]) == (process.pid, "short-lived", None)


def test_a_name_of_control_codes_stays_what_it_is(tap: Tap, listener: socket.socket) -> None:
    name = b"\x1b[31m\n\xff\x00"[:6]
    with client(listener, name) as process:
        close_all(listener, 1)
        process.communicate(b"")
    [row] = in_time_wait().rows()
    assert os.fsencode(str(row["command"])) == name


def test_the_unit_of_a_process_that_has_ended_is_known_by_its_control_group(tap: Tap, listener: socket.socket) -> None:
    unified = cgroups.mounts(Path("/proc")).unified
    if unified is None:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    group = Path(unified.point) / f"lastack-test-closer-{os.getpid()}.service"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    try:

        def join() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        with client(listener, b"in a unit", preexec_fn=join) as process:
            close_all(listener, 1)
            process.communicate(b"")
        [row] = in_time_wait().rows()
    finally:
        group.rmdir()
    assert row["unit"] == group.name


def test_what_was_closed_before_the_watch_is_nobodys(private_network: Namespace, listener: socket.socket) -> None:
    with client(listener, b"before") as process:
        close_all(listener, 1)
        process.communicate(b"")
    with Tap(frozenset({private_network.inode})):
        [row] = in_time_wait().rows()
    assert row["pid"] is None


def test_what_a_watch_knew_goes_with_it(private_network: Namespace, listener: socket.socket) -> None:
    with Tap(frozenset({private_network.inode})):
        with client(listener, b"known") as process:
            close_all(listener, 1)
            process.communicate(b"")
        assert in_time_wait().valid("pid").all()
    deadline = time.monotonic() + 5
    while in_time_wait().valid("pid").any():
        assert time.monotonic() < deadline, "the watch has left something behind"
        time.sleep(0.01)


WATCH = """
import sys
from lastack.live.transitions.tap import Tap
with Tap(frozenset({int(sys.argv[1])})):
    print("watching", flush=True)
    sys.stdin.read()
"""


def test_a_watch_of_another_process_is_found_and_leaves_nothing_when_it_is_killed(
    private_network: Namespace, listener: socket.socket
) -> None:
    command = [sys.executable, "-c", WATCH, str(private_network.inode)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline() == b"watching\n"
        with client(listener, b"known") as process:
            close_all(listener, 1)
            process.communicate(b"")
        [row] = in_time_wait().rows()
        watch.kill()
    assert (row["pid"], row["command"]) == (process.pid, "known")
    deadline = time.monotonic() + 5
    while in_time_wait().valid("pid").any():
        assert time.monotonic() < deadline, "the watch has left something behind"
        time.sleep(0.01)


FEW = """
import socket, sys
from lastack.api import connections
from lastack.live.transitions.tap import Tap
with Tap(None), socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
    accepted.close()
    print([row["pid"] for row in connections(where=f"dport = :{listener.getsockname()[1]}").rows()])
"""


@pytest.mark.tool("setpriv")
def test_two_capabilities_are_enough_for_a_watch_and_for_its_own_looks(private_network: Namespace) -> None:
    limits = ["--inh-caps", "-all", "--bounding-set", "-all,+cap_38,+cap_39"]  # CAP_PERFMON, CAP_BPF
    command = ["setpriv", *limits, sys.executable, "-c", FEW]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate()
    assert said == f"[{process.pid}]\n"


def test_of_two_watches_either_may_know(private_network: Namespace, listener: socket.socket) -> None:
    here = frozenset({private_network.inode})
    with Tap(here), client(listener, b"first") as process:
        close_all(listener, 1)
        process.communicate(b"")
        with Tap(here):
            [row] = in_time_wait().rows()
    assert row["command"] == "first"


@pytest.mark.parametrize("state", [State.FIN_WAIT_1, State.LAST_ACK])
def test_of_a_close_that_nobody_acknowledges_the_maker_and_the_age_are_known(tap: Tap, state: State) -> None:
    """The kernel keeps no time of entry of these states, and no process of an orphan."""
    with Peer() as peer, socket.create_server(("10.9.0.1", 80)) as listener:
        line = peer.line(4, 5_000, 80)
        line.connect()
        accepted, _ = listener.accept()
        if state is State.LAST_ACK:
            line.send(FIN | ACK)
            assert not accepted.recv(1)
        begun = time.time_ns()
        accepted.close()
        [row] = connections(where=f"state {state.name}").rows()
        took = time.time_ns() - begun
        alone = sockdiag.read(time.time_ns(), bits(state))
    assert not alone.valid("age_ns").any(), "the kernel tells by itself"
    assert (row["pid"], row["inode"]) == (os.getpid(), 0)
    assert row["age_ns"] == row["age_most_ns"]
    assert isinstance(row["age_ns"], int)
    assert 0 <= row["age_ns"] <= took


def test_the_age_and_the_opening_of_what_is_held_are_known_too(tap: Tap) -> None:
    """Of CLOSE_WAIT the kernel keeps no time of entry, and without its listener nothing tells who opened it."""
    begun = time.time_ns()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    with accepted:
        opened = time.time_ns()
        client.close()
        assert not accepted.recv(1)
        [row] = connections(where="state close-wait").rows()
        looked = time.time_ns()
        [waiting] = connections(where="state fin-wait-2").rows()
    assert row["age_ns"] == row["age_most_ns"]
    assert isinstance(row["age_ns"], int)
    assert isinstance(row["first_ns"], int)
    assert 0 <= row["age_ns"] <= looked - opened + CLOCK
    assert begun - CLOCK <= row["first_ns"] <= opened + CLOCK
    assert (row["opened_by"], waiting["opened_by"]) == ("REMOTE", "LOCAL")


def test_a_second_life_of_a_socket_is_dated_anew(tap: Tap, listener: socket.socket) -> None:
    """connect() to AF_UNSPEC ends a connection, and the socket, with its cookie, can make another."""
    with socket.socket() as again, ExitStack() as kept:
        for life in range(2):
            begun = time.time_ns()
            again.connect(listener.getsockname())
            kept.enter_context(listener.accept()[0])
            [row] = connections(where=f"dport = :{listener.getsockname()[1]} state established").rows()
            assert isinstance(row["first_ns"], int)
            assert begun - CLOCK <= row["first_ns"] <= time.time_ns(), life
            disconnect(again)


def disconnect(connected: socket.socket) -> None:
    unspecified = ctypes.create_string_buffer(16)
    if ctypes.CDLL(None, use_errno=True).connect(connected.fileno(), unspecified, 16):
        raise OSError(ctypes.get_errno(), "connect")


def test_a_number_that_another_process_has_now_is_not_taken_for_it(tap: Tap, listener: socket.socket) -> None:
    with client(listener, b"the first") as process:
        close_all(listener, 1)
        process.communicate(b"")
    table = sockdiag.read(time.time_ns())
    found = notes.of(table)
    later = Process(process.pid, 1, "the second", 0, started_ns=time.time_ns() + SECOND, unit="other.service")
    named = notes.with_closers(table, found, {process.pid: later})
    [row] = named.select(found.rows[found.closed]).rows()
    assert (row["command"], row["unit"]) == ("the first", None)


def test_a_live_socket_keeps_its_holder(tap: Tap, listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as opened:
        opened.shutdown(socket.SHUT_WR)
        [row] = connections(where="state fin-wait-1 or state fin-wait-2").rows()
    assert (row["pid"], row["fd"] is not None) == (os.getpid(), True)


def test_a_look_can_watch_first_and_leaves_nothing_behind(private_network: Namespace, listener: socket.socket) -> None:
    done = threading.Event()

    def visit() -> None:
        with namespaces.entered(private_network):
            while not done.is_set():
                with socket.create_connection(listener.getsockname()):
                    accepted, _ = listener.accept()
                accepted.close()
                done.wait(0.01)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        table = connections(where="state time-wait", watch_ns=SECOND // 5)
        report = check(watch_ns=SECOND // 5, pause_ns=0)
    finally:
        done.set()
        visitor.join()
    for seen in (table, report.connections.select(report.connections.in_state(State.TIME_WAIT))):
        assert np.count_nonzero(seen.valid("pid")) >= 5
        assert set(seen.values("pid")[seen.valid("pid")].tolist()) == {os.getpid()}


def test_show_says_who_closed(tap: Tap, listener: socket.socket) -> None:
    with client(listener, b"hasty") as process:
        close_all(listener, 1)
        process.communicate(b"")
    [row] = in_time_wait().rows()
    said = subprocess.run(
        [sys.executable, "-m", "lastack", "show", str(row["cookie"])], capture_output=True, text=True, check=True
    ).stdout
    assert f"hasty, pid {process.pid}" in said
    assert "closed by" in said
    assert "by connect()" in said


def test_only_a_host_can_be_watched_first() -> None:
    command = [sys.executable, "-m", "lastack", "check", "--for", "1s", "some.pcap"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (
        2,
        "lastack: --for watches this host: it is not for captures or a recording\n",
    )


def test_without_a_watch_nothing_is_known(private_network: Namespace) -> None:
    assert not len(notes.of(ConnectionTable()).rows)
    assert not notes.of(sockdiag.read(time.time_ns())).pids
