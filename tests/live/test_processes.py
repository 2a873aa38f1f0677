"""Owners of real sockets: of processes that were started for it, and that stop, fork, die, hide or lie."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from lastack.live import cgroups
from lastack.live.processes import Owners, owners
from lastack.model.host import Process
from lastack.model.time import SECOND

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

HOLD = """
import json, os, socket, sys
s = socket.socket()
def inode(s): return os.fstat(s.fileno()).st_ino
def ready(**more):
    print(json.dumps({"inode": inode(s), "fd": s.fileno(), **more}), flush=True)
"""
"""What every child starts with: a socket, and a way to say that all is set up."""

WAIT = "sys.stdin.read()\n"


@contextmanager
def child(code: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A process that runs `code` and has said what it holds. It and all its group are ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", HOLD + code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "the child did not come up"
        yield process, json.loads(line)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdin.close()
        process.stdout.close()
        process.wait()


def until(found: Callable[[], Owners], holds: Callable[[Owners], bool]) -> Owners:
    """Look until it is as expected, for ten seconds at most; the last look."""
    deadline = time.monotonic() + 10
    while not holds(last := found()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return last


def looking_at(inode: int, pid: int) -> Callable[[], Owners]:
    def look() -> Owners:
        found = owners([inode])
        assert pid in found.processes
        return found

    return look


def test_the_holder_of_a_socket_is_told_with_everything_known_of_it() -> None:
    before = time.time_ns()
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))\n"
    count = "ready(descriptors=len(os.listdir('/proc/self/fd')) - 1)\n"
    with child(limit + count + WAIT, "some", "argument") as (process, told):
        look = looking_at(told["inode"], process.pid)
        found = until(look, lambda found: found.processes[process.pid].state == "S")
        (holder,) = found.holders[told["inode"]]
        assert (holder.pid, holder.fd) == (process.pid, told["fd"])
        who = found.processes[process.pid]
        assert who.command == Path(f"/proc/{process.pid}/comm").read_text().strip()
        assert who.executable == os.path.realpath(sys.executable)
        assert (who.arguments[0], who.arguments[-2:]) == (sys.executable, ("some", "argument"))
        assert (who.ppid, who.uid, who.state, who.stopped) == (os.getpid(), os.geteuid(), "S", False)
        assert (who.descriptors, who.descriptor_limit) == (told["descriptors"], 99)
        # The kernel counts start times in ticks of its clock, 10 ms or less.
        assert before - SECOND // 50 <= who.started_ns <= time.time_ns()


def test_all_ancestors_of_a_holder_are_told() -> None:
    with child("ready()\n" + WAIT) as (process, told):
        found = owners([told["inode"]])
        chain = [process.pid]
        while (ppid := found.processes[chain[-1]].ppid) != 0 and ppid in found.processes:
            chain.append(ppid)
        assert chain[1] == os.getpid()
        assert chain[-1] == 1 or found.processes[chain[-1]].ppid in (0, 1)
        assert set(found.processes) == set(chain)


def test_a_process_holds_a_socket_by_every_descriptor_that_it_has_of_it() -> None:
    with child("t = s.dup()\nready(other=t.fileno())\n" + WAIT) as (process, told):
        found = owners([told["inode"]]).holders[told["inode"]]
        assert {(holder.pid, holder.fd) for holder in found} == {
            (process.pid, told["fd"]),
            (process.pid, told["other"]),
        }


def test_a_child_that_inherited_the_descriptor_is_found_beside_its_parent() -> None:
    code = """
import subprocess
s.set_inheritable(True)
sleeper = subprocess.Popen(["sleep", "600"], close_fds=False)
ready(sleeper=sleeper.pid)
"""
    with child(code + WAIT) as (process, told):

        def look() -> Owners:
            return owners([told["inode"]])

        found = until(look, lambda found: found.processes[told["sleeper"]].command == "sleep")
        assert [(h.pid, h.fd) for h in found.holders[told["inode"]]] == [
            (process.pid, told["fd"]),
            (told["sleeper"], told["fd"]),
        ]
        sleeper = found.processes[told["sleeper"]]
        assert sleeper.ppid == process.pid
        assert sleeper.executable != found.processes[process.pid].executable


def test_a_child_that_alone_still_holds_the_socket_leads_to_the_parent_that_closed_it() -> None:
    code = """
import subprocess
s.set_inheritable(True)
sleeper = subprocess.Popen(["sleep", "600"], close_fds=False)
held = {"inode": inode(s), "sleeper": sleeper.pid}
s.close()
print(json.dumps(held), flush=True)
"""
    with child(code + WAIT) as (process, told):
        found = owners([told["inode"]])
        assert [holder.pid for holder in found.holders[told["inode"]]] == [told["sleeper"]]
        assert found.processes[told["sleeper"]].ppid == process.pid
        assert process.pid in found.processes


def test_a_stopped_owner_is_seen_to_be_stopped_and_to_go_on() -> None:
    with child("ready()\n" + WAIT) as (process, told):
        look = looking_at(told["inode"], process.pid)
        process.send_signal(signal.SIGSTOP)
        found = until(look, lambda found: found.processes[process.pid].stopped).processes[process.pid]
        assert (found.state, found.frozen, found.stopped) == ("T", False, True)
        process.send_signal(signal.SIGCONT)
        assert not until(look, lambda found: not found.processes[process.pid].stopped).processes[process.pid].stopped


@contextmanager
def control_group(point: str) -> Iterator[Path]:
    """A new group with another inside; both gone afterwards."""
    outer = Path(point) / f"lastack-test-{os.getpid()}"
    inner = outer / "inner"
    try:
        inner.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"cannot make control groups: {error}")
    try:
        yield outer
    finally:
        deadline = time.monotonic() + 10
        for group in (inner, outer):
            # A group is busy until its last process has been reaped.
            while group.exists() and time.monotonic() < deadline:
                with suppress(OSError):
                    group.rmdir()


@pytest.mark.root
@pytest.mark.parametrize(
    ("hierarchy", "file", "freeze", "thaw"),
    [("unified", "cgroup.freeze", "1", "0"), ("freezer", "freezer.state", "FROZEN", "THAWED")],
)
def test_an_owner_that_is_frozen_with_an_outer_group_is_seen_to_be(
    hierarchy: str, file: str, freeze: str, thaw: str
) -> None:
    mount = getattr(cgroups.mounts(Path("/proc")), hierarchy)
    if mount is None:
        pytest.skip(f"no {hierarchy} hierarchy of control groups is mounted")
    with control_group(mount.point) as group, child("ready()\n" + WAIT) as (process, told):
        look = looking_at(told["inode"], process.pid)
        (group / "inner" / "cgroup.procs").write_text(str(process.pid))
        try:
            (group / file).write_text(freeze)
            found = until(look, lambda found: found.processes[process.pid].frozen).processes[process.pid]
            assert (found.frozen, found.stopped) == (True, True)
        finally:
            (group / file).write_text(thaw)
        assert not until(look, lambda found: not found.processes[process.pid].frozen).processes[process.pid].frozen


@pytest.mark.parametrize("name", [b"\x1b[31mred", b"a) R 1 (b", b"two\nlines", b"\xff\xfe\x80", b"\x07\r\x9b2J"])
def test_a_name_with_octets_for_the_terminal_is_kept_as_it_is(name: bytes) -> None:
    rename = f"open('/proc/self/comm', 'wb').write({name!r})\nready()\n"
    with child(rename + WAIT) as (process, told):
        who = owners([told["inode"]]).processes[process.pid]
        assert os.fsencode(who.command) == name
        assert who.ppid == os.getpid()


@pytest.mark.root  # what is left of the first thread belongs to root
def test_the_threads_of_a_process_whose_first_thread_has_ended_still_hold_its_sockets() -> None:
    code = """
import ctypes, platform, threading
threading.Thread(target=sys.stdin.read).start()
ready()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)  # exit() of this thread alone
"""
    with child(code) as (process, told):
        found = until(
            lambda: owners([told["inode"]]),
            lambda found: found.processes.get(process.pid, Process(0, 0, "", 0)).state == "Z",
        )
        assert [(h.pid, h.fd) for h in found.holders[told["inode"]]] == [(process.pid, told["fd"])]
        assert found.processes[process.pid].state == "Z"


def test_a_zombie_holds_nothing_and_troubles_nobody() -> None:
    with child("ready()\n") as (process, told):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owners([told["inode"]]).holders == {}


STORM = """
ready()
import threading, time
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True:
    pids = []
    for _ in range(20):
        pid = os.fork()
        if not pid:
            t = [socket.socket() for _ in range(20)]
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
"""


def test_the_scan_holds_while_processes_come_and_go() -> None:
    with child("ready()\n" + WAIT) as (steady, told), child(STORM), child(STORM):
        for _ in range(100):
            everything, mine = owners(None), owners([told["inode"]])
            assert steady.pid in {holder.pid for holder in everything.holders[told["inode"]]}
            assert [(h.pid, h.fd) for h in mine.holders[told["inode"]]] == [(steady.pid, told["fd"])]
            assert steady.pid in mine.processes
            holders = {h.pid for held in everything.holders.values() for h in held}
            assert holders <= set(everything.processes)


def test_descriptors_that_are_opened_and_closed_during_the_scan_trouble_nobody() -> None:
    with socket.socket() as mine:
        inode, done = os.fstat(mine.fileno()).st_ino, threading.Event()

        def churn() -> None:
            while not done.is_set():
                for opened in [socket.socket() for _ in range(50)]:
                    opened.close()

        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(100):
                assert (os.getpid(), mine.fileno()) in [(h.pid, h.fd) for h in owners(None).holders[inode]]
        finally:
            done.set()
            thread.join()


def as_nobody(look: Callable[[], Any]) -> Any:
    """What `look` returns in a process without any privilege."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            answer = look()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(theirs, json.dumps(answer).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answered:
        said = answered.read()
    os.waitpid(pid, 0)
    return json.loads(said)


@pytest.mark.root
def test_without_root_the_processes_of_others_are_counted_and_ones_own_sockets_found() -> None:
    with child("ready()\n" + WAIT) as (_, told):

        def look() -> dict[str, Any]:
            with socket.socket() as mine:
                found = owners([os.fstat(mine.fileno()).st_ino, told["inode"]])
                return {
                    "held": [[h.pid == os.getpid() for h in held] for held in found.holders.values()],
                    "unreadable": found.unreadable,
                    "parent": found.processes[os.getppid()].descriptors,
                }

        running = sum(1 for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        look()  # loads what it needs: nobody may not be able to read this Python's files
        said = as_nobody(look)
        assert isinstance(said, dict), said
        assert said["held"] == [[True]]
        # Not from a list, which may not be read: since Linux 6.2 the size of the directory tells, and anybody.
        assert (said["parent"] is not None) is (Path("/proc/self/fd").stat().st_size > 0)
        # This process and its child at the least, and no kernel threads; other processes come and go meanwhile.
        assert 2 <= said["unreadable"] < running - kernel_threads() / 2


def kernel_threads() -> int:
    """How many there are: the children of kthreadd, where this /proc shows it."""
    found = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            found += "\nPPid:\t2\n" in status.read_text(errors="replace")
    return found
