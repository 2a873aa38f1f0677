"""What every source tells of real sockets, in namespaces of their own."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from lastack.errors import KernelError
from lastack.linux import namespaces, sysctl, tracefs
from lastack.linux.namespaces import Namespace
from lastack.live.transitions.histories import LET_GO, SEEN, histories
from lastack.live.transitions.life import Step, joined
from lastack.live.transitions.record import NUMBERED, SAMPLED
from lastack.live.transitions.source import open_source
from lastack.live.transitions.tracefs import TracefsSource
from lastack.live.transitions.watcher import Watcher
from lastack.model.address import Endpoint, FourTuple
from lastack.model.close import Closer
from lastack.model.history import StateChange
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

from .peer import ACK, FIN, Stage, until

pytestmark = pytest.mark.root

EXACT: Final = ("bpf", "tracefs")
EVERY: Final = ("bpf", "tracefs", "sock_diag")
OFTEN: Final = 20 * MILLISECOND
INSTANCES: Final = Path("/sys/kernel/tracing/instances")
S = State


class Scene:
    """A watcher in a namespace of its own, and what it has told so far."""

    def __init__(self, watcher: Watcher, stage: Stage) -> None:
        self.watcher = watcher
        self.stage = stage
        self.steps: list[Step] = []

    def step(self) -> Step:
        self.steps.append(self.watcher.step())
        return self.steps[-1]

    def changes(self, port: int | None = None) -> Any:
        """What was told until now; with a `port` at either end.

        Of processes that have ended tracefs does not know the namespace: what others do meanwhile may be among it.
        """
        self.step()
        told = joined(self.steps).changes
        if port is None:
            return told
        return told[(told["local_port"] == port) | (told["remote_port"] == port)]

    def seen(self, state: State, count: int = 1, port: int | None = None) -> None:
        """Wait until so many changes to this state have been told."""
        until(lambda: int((self.changes(port)["after"] == state).sum()) >= count, f"a change to {state.name}")

    def lanes(self) -> dict[FourTuple, list[StateChange]]:
        self.steps.append(self.watcher.finish())
        return histories(self.steps)


@pytest.fixture
def scenes(private_network: Namespace) -> Iterator[Callable[[str], Scene]]:
    with ExitStack() as kept:
        stage = Stage(kept)

        def make(which: str) -> Scene:
            watcher = Watcher(frozenset({private_network.inode}), which, every=OFTEN)
            return Scene(kept.enter_context(watcher), stage)

        yield make


def ends(ours: socket.socket) -> FourTuple:
    return FourTuple(Endpoint(*ours.getsockname()[:2]), Endpoint(*ours.getpeername()[:2]))


def cookie(ours: socket.socket) -> int:
    return int(struct.unpack("=Q", ours.getsockopt(socket.SOL_SOCKET, 57, 8))[0])


def states(lane: list[StateChange]) -> list[State]:
    """The states that a lane goes through, the first one included."""
    return [lane[0].before, *(change.after for change in lane)]


@pytest.mark.parametrize("which", EXACT)
@pytest.mark.parametrize("addr", ["127.0.0.1", "::1"])
def test_both_lives_of_a_connection_are_told_from_birth_to_end(
    scenes: Callable[[str], Scene], which: str, addr: str
) -> None:
    scene = scenes(which)
    client, server = scene.stage.pair(addr)
    here, there = ends(client), ends(server)
    client.close()
    assert server.recv(1) == b""
    server.close()
    scene.seen(S.TIME_WAIT, port=here.local.port)
    lanes = scene.lanes()
    assert {here, there} <= set(lanes)
    way = [S.CLOSED, S.SYN_SENT, S.ESTABLISHED, S.FIN_WAIT_1, S.FIN_WAIT_2, S.TIME_WAIT]
    assert states(lanes[here]) == way
    passive = states(lanes[there])
    assert passive[-5:] == [S.SYN_RECEIVED, S.ESTABLISHED, S.CLOSE_WAIT, S.LAST_ACK, S.CLOSED]
    made = {change.after: change.cause for change in (*lanes[here], *lanes[there])}
    assert made[S.SYN_SENT].startswith("connect by ") and f"({os.getpid()})" in made[S.SYN_SENT]
    assert made[S.FIN_WAIT_1].startswith("close or shutdown by ") and f"({os.getpid()})" in made[S.LAST_ACK]
    assert made[S.TIME_WAIT] == SEEN
    times = [change.at for change in lanes[here]]
    assert times == sorted(times)
    assert abs(times[-1] - time.time_ns()) < 10 * SECOND


@pytest.mark.parametrize("which", EXACT)
def test_a_time_wait_has_the_cookie_and_the_time_of_the_socket_that_it_was(
    scenes: Callable[[str], Scene], which: str
) -> None:
    scene = scenes(which)
    client, server = scene.stage.pair()
    its_cookie, port = cookie(client), client.getsockname()[1]
    client.shutdown(socket.SHUT_WR)
    server.close()
    client.close()
    scene.seen(S.TIME_WAIT, port=port)
    changes = scene.changes(port)
    (found,) = changes[changes["after"] == S.TIME_WAIT]
    (let_go,) = changes[(changes["before"] == S.FIN_WAIT_2) & (changes["after"] == 0)]
    assert (found["cookie"], found["flags"], found["at"]) == (its_cookie, SAMPLED, let_go["at"])
    life = next(life for life in scene.watcher.lives.current() if life["cookie"] == its_cookie)
    assert (life["state"], life["opened_by"], life["first_closer"]) == (S.TIME_WAIT, Closer.LOCAL, Closer.LOCAL)
    assert (life["pid"], life["spent"][S.FIN_WAIT_2] > 0) == (os.getpid(), True)


@pytest.mark.parametrize("which", EXACT)
def test_the_orphan_s_fin_wait_2_goes_on_until_a_dump_shows_its_end(scenes: Callable[[str], Scene], which: str) -> None:
    scene = scenes(which)
    client, server = scene.stage.pair()
    here = ends(client)
    client.close()
    port = here.local.port
    until(lambda: 0 in scene.changes(port)["after"], "the socket to be let go")
    until(lambda: S.FIN_WAIT_2 in [life["state"] for life in _after(scene, port)], "the mini-socket")
    server.close()
    scene.seen(S.TIME_WAIT, port=port)
    lane = scene.lanes()[here]
    assert [(change.after, change.cause) for change in lane[-1:]] == [(S.TIME_WAIT, SEEN)]
    assert states(lane)[-3:] == [S.FIN_WAIT_1, S.FIN_WAIT_2, S.TIME_WAIT]


def _after(scene: Scene, port: int) -> Any:
    scene.step()
    lives = scene.watcher.lives.current()
    return lives[lives["local_port"] == port]


@pytest.mark.parametrize("which", EXACT)
def test_an_end_without_a_mini_socket_is_told_as_one(scenes: Callable[[str], Scene], which: str) -> None:
    scene = scenes(which)
    sysctl.write("net.ipv4.tcp_max_tw_buckets", 0)
    client, server = scene.stage.pair()
    here = ends(client)
    client.shutdown(socket.SHUT_WR)
    server.close()
    client.close()
    until(lambda: SAMPLED in scene.changes(here.local.port)["flags"], "a dump without it")
    lane = scene.lanes()[here]
    assert states(lane)[-2:] == [S.FIN_WAIT_2, S.CLOSED]
    assert (lane[-1].cause, LET_GO in [change.cause for change in lane]) == (SEEN, False)


@pytest.mark.parametrize("which", EVERY)
def test_sockets_that_were_there_before_are_gone_on_with(scenes: Callable[[str], Scene], which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        its_cookie = cookie(server)
        scene = scenes(which)
        assert sorted(scene.watcher.lives.current()["state"].tolist()) == [S.ESTABLISHED, S.ESTABLISHED, S.LISTEN]
        assert len(scene.changes()) == 0
        client.close()
        scene.seen(S.CLOSE_WAIT)
        changes = scene.changes()
        (row,) = changes[changes["after"] == S.CLOSE_WAIT]
        assert (row["before"], row["cookie"]) == (S.ESTABLISHED, its_cookie)
        server.close()
    scene.seen(S.CLOSED)
    assert scene.watcher.source.name == which


@pytest.mark.parametrize("which", EVERY)
def test_what_other_namespaces_do_is_not_told(scenes: Callable[[str], Scene], which: str) -> None:
    scene = scenes(which)

    made, told = threading.Event(), threading.Event()

    def elsewhere() -> None:
        with namespaces.private(), ExitStack() as kept:
            listener = kept.enter_context(socket.create_server(("0.0.0.0", 7_777)))
            for _ in range(20):
                client = kept.enter_context(socket.create_connection(("127.0.0.5", 7_777)))
                server = kept.enter_context(listener.accept()[0])
                client.close()
                server.close()
            made.set()
            told.wait(10)  # of a thread that has ended tracefs does not know where it was

    thread = threading.Thread(target=elsewhere)
    thread.start()
    made.wait(10)
    scene.step()
    told.set()
    thread.join()
    client, server = scene.stage.pair()
    client.shutdown(socket.SHUT_WR)
    scene.seen(S.CLOSE_WAIT)
    changes = scene.changes()
    assert 7_777 not in (*changes["local_port"].tolist(), *changes["remote_port"].tolist())
    ours = changes[changes["local_port"] == server.getsockname()[1]]
    assert set(ours["namespace"].tolist()) == {namespaces.own().inode}


@pytest.mark.parametrize("which", EXACT)
def test_a_segment_s_or_a_timer_s_doing_is_nobody_s(scenes: Callable[[str], Scene], which: str) -> None:
    scene = scenes(which)
    ours, line = scene.stage.accept_from_peer(4)
    line.send(FIN | ACK)
    scene.seen(S.CLOSE_WAIT)
    ours.close()
    line.expect(FIN)
    line.send(ACK)
    scene.seen(S.CLOSED)
    changes = scene.changes()
    callers = {int(row["after"]): int(row["pid"]) for row in changes if row["remote_port"]}
    assert callers[S.CLOSE_WAIT] == callers[S.ESTABLISHED] == callers[S.CLOSED] == 0
    assert callers[S.LAST_ACK] == os.getpid()


def test_dumps_alone_tell_the_outcome_of_what_happened_between_them(scenes: Callable[[str], Scene]) -> None:
    scene = scenes("sock_diag")
    assert not scene.watcher.source.exact
    client, server = scene.stage.pair()
    here, there = ends(client), ends(server)
    scene.seen(S.ESTABLISHED, 2)
    client.close()
    scene.seen(S.CLOSE_WAIT)
    server.close()
    scene.seen(S.TIME_WAIT)
    scene.seen(S.CLOSED)
    lanes = scene.lanes()
    assert states(lanes[here])[-2:] == [S.FIN_WAIT_2, S.TIME_WAIT]
    assert states(lanes[there])[-2:] == [S.CLOSE_WAIT, S.CLOSED]
    assert all(change.cause.startswith(SEEN) for lane in lanes.values() for change in lane)


def storm(count: int) -> int:
    """So many connections, closed at once; the port that they were made to."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        for _ in range(count):
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
            client.close()
            server.close()
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("which", EXACT)
def test_of_thousands_of_connections_nothing_is_missing_or_told_twice(
    scenes: Callable[[str], Scene], which: str
) -> None:
    sysctl.write("net.ipv4.tcp_tw_reuse", 0)
    scene = scenes(which)
    count = 3_000
    port = storm(count)
    scene.seen(S.TIME_WAIT, count, port)
    changes = scene.changes(port)
    told = changes[changes["remote_port"] != 0]
    pairs = {
        (State(before).name, State(after).name if after else None): int(number)
        for (before, after), number in zip(
            *np.unique(np.stack((told["before"], told["after"]), 1), axis=0, return_counts=True), strict=True
        )
        if before != S.LISTEN
    }
    assert scene.watcher.lost == 0
    assert pairs == dict.fromkeys(
        [
            ("CLOSED", "SYN_SENT"),
            ("SYN_SENT", "ESTABLISHED"),
            ("SYN_RECEIVED", "ESTABLISHED"),
            ("ESTABLISHED", "FIN_WAIT_1"),
            ("ESTABLISHED", "CLOSE_WAIT"),
            ("CLOSE_WAIT", "LAST_ACK"),
            ("FIN_WAIT_1", "FIN_WAIT_2"),
            ("FIN_WAIT_2", None),
            ("FIN_WAIT_2", "TIME_WAIT"),
            ("LAST_ACK", "CLOSED"),
        ],
        count,
    )
    whole = joined(scene.steps)
    stayed = whole.stayed[(whole.changes["before"] == S.ESTABLISHED) & np.isin(whole.changes["at"], changes["at"])]
    assert len(stayed) >= 2 * count and stayed.min() >= 0


def test_the_ring_s_overruns_are_counted_to_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with namespaces.private(), tracefs.Instance("sock/inet_sock_set_state", 1) as instance:
        storm(4_000)
        instance.stop()
        told = len(instance.read().events)
        by_its_statistics = instance.lost
        monkeypatch.setattr(instance, "_statistics", dict)
        assert instance.lost == by_its_statistics  # what the pages say, which come with their gaps
    assert told < 40_002 <= told + by_its_statistics  # ten each, the listener's own two, and whatever others did
    assert instance.lost == by_its_statistics


def test_nothing_is_told_after_the_stop_and_everything_before_it(private_network: Namespace) -> None:
    for which in EXACT:
        with open_source(frozenset({private_network.inode}), which) as source:
            port = storm(10)
            source.stop()
            later = storm(10)
            rows = source.read()
            assert ((rows["after"] == S.SYN_SENT) & (rows["remote_port"] == port)).sum() == 10
            assert later not in rows["remote_port"]
            assert len(source.read()) == 0


@pytest.mark.parametrize("which", EVERY)
def test_the_descriptor_is_readable_when_there_is_something_to_read(private_network: Namespace, which: str) -> None:
    import select

    with open_source(frozenset({private_network.inode}), which) as source:
        while len(source.read()):
            pass
        storm(1)
        told = 0
        deadline = time.monotonic() + 5
        while told < (10 if which != "sock_diag" else 1):
            assert select.select([source], [], [], max(0, deadline - time.monotonic()))[0]
            told += len(source.read())
    source.close()


def test_tracefs_tells_numbers_of_its_own_and_no_address_of_the_kernel(private_network: Namespace) -> None:
    with TracefsSource(frozenset({private_network.inode})) as source:
        port = storm(3)
        source.stop()
        rows = source.read()
        rows = rows[(rows["local_port"] == port) | (rows["remote_port"] == port)]
    assert (rows["cookie"] >= NUMBERED).all()
    assert len(np.unique(rows["cookie"])) == 7  # the listener and both ends of three


SHORT_LIVED = r"""
import os, socket, sys
for number in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        with open("/proc/self/comm", "w") as name:
            name.write("\x1b[31m\"short")
        socket.create_connection(("127.0.0.1", int(sys.argv[2])))
        os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("which", EXACT)
def test_a_storm_of_processes_that_connect_and_end_is_told_with_their_pids(
    scenes: Callable[[str], Scene], which: str
) -> None:
    scene = scenes(which)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-c", SHORT_LIVED, "200", str(port)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    pids = list(map(int, answer.stdout.split()))

    def called() -> Any:
        changes = scene.changes()
        return changes[np.isin(changes["after"], (S.SYN_SENT, S.FIN_WAIT_1)) & (changes["remote_port"] == port)]

    until(lambda: len(called()) >= 2 * len(pids), "all connections and their ends")
    callers = called()
    assert sorted(callers["pid"].tolist()) == sorted(2 * pids)
    names = set(callers["command"].tolist())
    assert names <= {b'\x1b[31m"short', b""}
    assert b'\x1b[31m"short' in names


# -- what is left behind, and what is done where something is not allowed

WATCHING = """
import sys, time
from lastack.live.transitions.tracefs import TracefsSource
with TracefsSource(None):
    print("ready", flush=True)
    time.sleep(60)
"""


def ours(pid: int) -> list[str]:
    return [path.name for path in INSTANCES.glob(f"{tracefs.PREFIX}{pid}-*")]


def test_an_instance_goes_with_its_source(private_network: Namespace) -> None:
    with TracefsSource(frozenset({private_network.inode})):
        assert len(ours(os.getpid())) == 1
    assert ours(os.getpid()) == []


def test_the_instance_of_a_process_that_was_killed_is_swept_by_the_next() -> None:
    with subprocess.Popen([sys.executable, "-c", WATCHING], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None and killed.stdout.readline()
        assert len(ours(killed.pid)) == 1
        tracefs.sweep(tracefs.root())
        assert len(ours(killed.pid)) == 1  # it is alive
        killed.send_signal(signal.SIGKILL)
    with TracefsSource(None):
        assert ours(killed.pid) == []
        assert len(ours(os.getpid())) == 1


def test_an_event_that_this_kernel_does_not_have_is_told() -> None:
    with pytest.raises(KernelError, match="no such event"):
        tracefs.Instance("sock/no_such_event", 1)
    with pytest.raises(KernelError, match="does not tell cookie"):
        tracefs.Instance("sock/inet_sock_set_state", 1, frozenset({"cookie"}))
    assert ours(os.getpid()) == []


CHOOSING = """
from lastack.live.transitions.source import open_source
from lastack.linux import namespaces
with open_source(frozenset({namespaces.own().inode})) as source:
    print(source.name, *source.reasons, sep="\\n")
"""


@pytest.mark.tool("setpriv")
@pytest.mark.tool("unshare")
@pytest.mark.parametrize(
    ("within", "name", "reasons"),
    [
        ((), "bpf", ()),
        (("setpriv", "--bounding-set", "-bpf,-sys_admin,-perfmon"), "tracefs", ("not by bpf: ",)),
        (("setpriv", "--reuid", "65534", "--clear-groups"), "sock_diag", ("not by bpf: ", "not by tracefs: ")),
        # In a container numbers of processes are others: what strangers do could not be told from what one's own do.
        (("unshare", "--pid", "--fork", "--mount-proc"), "sock_diag", ("not by bpf: ", "not by tracefs: ")),
    ],
)
def test_the_best_source_that_is_allowed_is_taken_and_says_why_no_better_one(
    within: tuple[str, ...], name: str, reasons: tuple[str, ...]
) -> None:
    command = [*within, sys.executable, "-c", CHOOSING]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert answer.returncode == 0, answer.stderr
    found, *said = answer.stdout.splitlines()
    assert found == name
    assert len(said) == len(reasons)
    assert all(line.startswith(reason) for line, reason in zip(said, reasons, strict=True))
