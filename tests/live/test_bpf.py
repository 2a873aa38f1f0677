"""The BPF programs on the running kernel: accepted by its verifier, and telling what real sockets do."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastack.errors import KernelError
from lastack.linux import namespaces
from lastack.linux.bpf.btf import Btf
from lastack.linux.bpf.maps import PERCPU_ARRAY, Array, Map
from lastack.linux.bpf.ring import Ring
from lastack.linux.namespaces import Namespace
from lastack.live import iterators, processes
from lastack.live.transitions.bpf import BpfSource
from lastack.live.transitions.noted import NOTE
from lastack.live.transitions.program import COUNTS, UNTOLD, Outlets, Part, load
from lastack.live.transitions.record import TRANSITION
from lastack.live.transitions.tap import Tap
from lastack.model.address import address_text
from lastack.model.state import State

from .allowed import with_bpf

pytestmark = [pytest.mark.root, with_bpf]

SO_COOKIE = 57
CLIENT = [
    (State.CLOSED, State.SYN_SENT),
    (State.SYN_SENT, State.ESTABLISHED),
    (State.ESTABLISHED, State.FIN_WAIT_1),
    (State.FIN_WAIT_1, State.FIN_WAIT_2),
    (State.FIN_WAIT_2, State.CLOSED),
]
SERVER = [
    (State.SYN_RECEIVED, State.ESTABLISHED),
    (State.ESTABLISHED, State.CLOSE_WAIT),
    (State.CLOSE_WAIT, State.LAST_ACK),
    (State.LAST_ACK, State.CLOSED),
]


@pytest.fixture
def source(private_network: Namespace) -> Iterator[BpfSource]:
    with BpfSource(frozenset({private_network.inode})) as opened:
        yield opened


def cookie(of: socket.socket) -> int:
    return int.from_bytes(of.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder)


def told(source: BpfSource, until: int) -> np.ndarray[Any, Any]:
    """What is told until there are so many changes."""
    found, deadline = [source.read()], time.monotonic() + 5
    while sum(map(len, found)) < until:
        assert time.monotonic() < deadline, f"{sum(map(len, found))} changes of {until} were told"
        select.select([source], [], [], 0.1)
        found.append(source.read())
    return np.concatenate(found)


def moves(changes: np.ndarray[Any, Any]) -> list[tuple[State, State]]:
    return [(State(each["before"]), State(each["after"])) for each in changes]


def ends(change: Any) -> tuple[str, int, str, int]:
    local, remote = (address_text(int(change[f"{side}_addr"]["high"]), int(change[f"{side}_addr"]["low"])) for side in
                     ("local", "remote"))  # fmt: skip
    return local, int(change["local_port"]), remote, int(change["remote_port"])


def one_life(host: str, listen: str | None = None, family: int | None = None) -> dict[str, Any]:
    """A connection that the client closes first; what its ends are called."""
    kind = family or (socket.AF_INET6 if ":" in host else socket.AF_INET)
    with socket.create_server((listen or host, 0), family=kind, dualstack_ipv6=kind == socket.AF_INET6) as listener:
        with socket.create_connection((host, listener.getsockname()[1])) as client:
            accepted, _ = listener.accept()
            cookies = cookie(client), cookie(accepted)
            names = client.getsockname()[:2] + client.getpeername()[:2]
        accepted.recv(1)
        accepted.close()
        return {"cookies": cookies, "names": names}


@pytest.mark.parametrize(
    ("host", "listen", "family"),
    [("127.0.0.1", None, 4), ("::1", None, 6), ("127.0.0.1", "::", 4)],
    ids=["IPv4", "IPv6", "IPv4 on an IPv6 socket"],
)
def test_both_ends_of_a_connection_are_told_from_birth_to_end(
    source: BpfSource, host: str, listen: str | None, family: int
) -> None:
    begun = time.time_ns()
    life = one_life(host, listen, socket.AF_INET6 if listen else None)
    changes = told(source, 11)
    assert changes.dtype == TRANSITION
    client, server = (changes[changes["cookie"] == each] for each in life["cookies"])
    assert moves(client) == CLIENT
    assert moves(server) == SERVER
    assert {ends(each) for each in client[1:]} == {life["names"]}
    assert {ends(each) for each in server} == {life["names"][2:] + life["names"][:2]}
    assert set(changes["family"][1:-1].tolist()) == {family}
    assert (np.diff(changes["at"]) >= 0).all()
    assert begun - 10_000_000 < changes["at"][0] <= changes["at"][-1] < time.time_ns() + 10_000_000
    assert not changes["flags"].any()
    assert source.lost == 0


def test_a_change_by_a_call_names_the_process_and_any_other_nobody(source: BpfSource) -> None:
    one_life("127.0.0.1")
    changes = told(source, 11)
    called = np.isin(changes["after"], [State.LISTEN, State.SYN_SENT, State.FIN_WAIT_1, State.LAST_ACK])
    assert called.sum() == 4
    assert set(changes["pid"][called].tolist()) == {os.getpid()}
    assert set(changes["command"][called].tolist()) == {Path("/proc/self/comm").read_bytes().removesuffix(b"\n")}
    assert not changes["pid"][~called].any()
    assert not changes["cgroup"][~called].any()
    assert set(changes["command"][~called].tolist()) == {b""}


def test_a_thread_with_a_name_of_its_own_counts_as_its_process(source: BpfSource) -> None:
    here = namespaces.own()

    def somebody() -> None:
        Path("/proc/thread-self/comm").write_text("somebody")
        with namespaces.entered(here):
            one_life("127.0.0.1")

    thread = threading.Thread(target=somebody)
    thread.start()
    thread.join()
    changes = told(source, 11)
    by_call = changes[changes["pid"] != 0]
    assert set(by_call["pid"].tolist()) == {os.getpid()}
    assert b"somebody" not in by_call["command"].tolist()


def test_a_refused_connection_and_an_abort_are_told(source: BpfSource) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted.close()
        client.close()
    with socket.socket() as refused:
        assert refused.connect_ex(("127.0.0.1", port))
    seen = moves(told(source, 9))
    assert seen.count((State.ESTABLISHED, State.CLOSED)) == 2
    assert seen[-2:] == [(State.CLOSED, State.SYN_SENT), (State.SYN_SENT, State.CLOSED)]


def test_other_namespaces_are_not_told_of(source: BpfSource) -> None:
    with namespaces.private():
        one_life("127.0.0.1")
    one_life("127.0.0.1")
    assert len(set(told(source, 11)["namespace"].tolist())) == 1


def test_all_namespaces_are_told_of_where_none_is_named(private_network: Namespace) -> None:
    with BpfSource(None) as source:
        one_life("127.0.0.1")
        with namespaces.private() as other:
            one_life("127.0.0.1")
        changes = told(source, 22)
    assert {private_network.inode, other.inode} <= set(changes["namespace"].tolist())


def storm(count: int, threads: int = 4) -> None:
    """Connections in threads of their own, each closed by its client first."""
    place = namespaces.own()

    def serve(listener: socket.socket) -> None:
        while True:
            accepted, _ = listener.accept()
            with accepted:
                if accepted.recv(1):
                    return

    def connect(addr: tuple[str, int]) -> None:
        with namespaces.entered(place):
            for _ in range(count // threads):
                socket.create_connection(addr).close()

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        clients = [threading.Thread(target=connect, args=(listener.getsockname(),)) for _ in range(threads)]
        for each in (server, *clients):
            each.start()
        for each in clients:
            each.join()
        with socket.create_connection(listener.getsockname()) as last:
            last.send(b"x")
            server.join()


def test_in_a_storm_every_change_is_told_once(source: BpfSource) -> None:
    count = 4_000
    storm(count)
    lives: dict[int, list[tuple[State, State]]] = defaultdict(list)
    deadline = time.monotonic() + 10
    while not lives or any(life[-1][1] != State.CLOSED for life in lives.values()):
        assert time.monotonic() < deadline, "some connections have not ended"
        select.select([source], [], [], 0.1)
        changes = source.read()
        for which, move in zip(changes["cookie"].tolist(), moves(changes), strict=True):
            lives[which].append(move)
    assert source.lost == 0
    begun = Counter(life[0] for life in lives.values())
    assert begun == {CLIENT[0]: count + 1, SERVER[0]: count + 1, (State.CLOSED, State.LISTEN): 1}
    # A FIN may come with the ACK of the other, or cross it; what holds of each is that its changes are a chain.
    assert all(before[1] == after[0] for life in lives.values() for before, after in pairwise(life))


def test_what_the_program_is_skipped_for_its_relief_tells(private_network: Namespace) -> None:
    """As when the kernel skips it, the program that tells is not called, and those around it are."""
    with ExitStack() as kept:
        notes = kept.enter_context(Array.make("test_notes", NOTE.itemsize, 1 << 10))
        counts = kept.enter_context(Array.make("test_counts", COUNTS.size, 1))
        untold = kept.enter_context(Map.create(PERCPU_ARRAY, "test_untold", 4, UNTOLD, 1))
        ring = Ring("test_ring", TRANSITION, 1 << 16)
        kept.callback(ring.close)
        outlets = Outlets(notes.fileno(), 1 << 10, ring.fileno(), counts.fileno(), untold.fileno())
        programs = load(Btf.of_kernel(), frozenset({private_network.inode}), outlets)
        for program in programs.values():
            kept.enter_context(program)
        for part in (Part.MARK, Part.RELIEF):
            kept.enter_context(programs[part].attach())
        one_life("127.0.0.1")
        changes = ring.read()
        assert (len(changes), COUNTS.unpack(counts.memory(COUNTS.size)[:])[0]) == (11, 0)
    assert len(set(zip(changes["cookie"].tolist(), moves(changes), strict=True))) == 11


def test_a_ring_that_nobody_reads_stops_nobody_and_what_it_loses_is_counted(private_network: Namespace) -> None:
    here = frozenset({private_network.inode})
    with BpfSource(here) as wide, BpfSource(here, octets=1 << 12) as narrow:
        for _ in range(20):
            one_life("127.0.0.1")
        all_of_them = told(wide, 220)
        found = narrow.read()
        assert 0 < len(found) < len(all_of_them)
        assert len(found) + narrow.lost == len(all_of_them)
        assert np.array_equal(found["cookie"], all_of_them["cookie"][: len(found)])
        one_life("127.0.0.1")
        assert len(narrow.read()) == 11, "there is room again"


def test_what_was_told_is_read_after_a_stop_and_nothing_more_is_told(source: BpfSource) -> None:
    one_life("127.0.0.1")
    source.stop()
    one_life("127.0.0.1")
    assert len(told(source, 11)) == 11
    assert not len(source.read())
    source.close()
    source.close()
    assert (source.lost, source.fileno()) == (0, -1)


def test_the_descriptor_is_readable_only_while_there_is_something(source: BpfSource) -> None:
    assert select.select([source], [], [], 0)[0] == []
    one_life("127.0.0.1")
    assert select.select([source], [], [], 5)[0] == [source]
    told(source, 11)
    assert select.select([source], [], [], 0)[0] == []


@pytest.mark.parametrize("count", [0, 1, 300], ids=["none", "one", "many"])
def test_the_verifier_accepts_the_programs_for_any_number_of_namespaces(count: int) -> None:
    with Tap(frozenset(range(0xF000_0000, 0xF000_0000 + count))) as tap:
        assert tap.lost == 0


NOBODY = """
import os
from lastack.errors import KernelError
import lastack.live.transitions.bpf
from lastack.live.transitions.source import open_source
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
try:
    open_source(None, "bpf")
except KernelError as error:
    print(error)
"""


def test_without_permission_it_says_what_it_takes() -> None:
    said = subprocess.run([sys.executable, "-c", NOBODY], capture_output=True, text=True, check=True).stdout
    assert "CAP_BPF and CAP_PERFMON" in said


IN_A_CONTAINER = """
from lastack.errors import KernelError
from lastack.live.transitions.tap import Tap
try:
    Tap(None)
except KernelError as error:
    print(error)
"""


@pytest.mark.tool("unshare")
def test_where_processes_have_other_numbers_it_says_so() -> None:
    command = ["unshare", "--pid", "--fork", sys.executable, "-c", IN_A_CONTAINER]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "run in the host's pid namespace" in said


def test_the_iterator_finds_the_holders_that_proc_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("::1", 0), family=10) as six:
        copy = os.dup(listener.fileno())
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[copy]) as child:
            inodes = [os.fstat(each.fileno()).st_ino for each in (listener, six)]
            by_proc = processes.owners(inodes)
            monkeypatch.setattr(processes, "_MANY", 1)
            by_bpf = processes.owners(inodes, pids=[1])
            child.communicate(b"\n")
        os.close(copy)
    assert by_bpf.holders == by_proc.holders
    assert len(by_bpf.holders[inodes[0]]) == 3
    assert by_bpf.processes[os.getpid()].descriptors is not None
    assert by_bpf.processes.keys() == by_proc.processes.keys() | {1}


def test_the_iterator_tells_of_tcp_alone() -> None:
    kinds = (
        (socket.AF_INET, socket.SOCK_DGRAM),
        (socket.AF_UNIX, socket.SOCK_STREAM),
        (socket.AF_INET6, socket.SOCK_STREAM),
    )
    with ExitStack() as kept:
        udp, unix, tcp = (kept.enter_context(socket.socket(*kind)) for kind in kinds)
        found = set(iterators.tcp_descriptors()["inode"].tolist())
        assert os.fstat(tcp.fileno()).st_ino in found
        assert not {os.fstat(udp.fileno()).st_ino, os.fstat(unix.fileno()).st_ino} & found


def test_where_bpf_is_refused_the_owners_come_from_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise KernelError("no")

    monkeypatch.setattr(processes, "_MANY", 1)
    monkeypatch.setattr(iterators, "tcp_descriptors", refused)
    with socket.socket() as held:
        inode = os.fstat(held.fileno()).st_ino
        assert [holder.pid for holder in processes.owners([inode]).holders[inode]] == [os.getpid()]
