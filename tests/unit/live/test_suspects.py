"""The second look on a made-up /proc: bounds, other machines, and what may not be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lastack.live import suspects
from lastack.live.suspects import look
from lastack.live.syscalls import BY_MACHINE, CALLS

STACK = "0x7ffd00000000 0x7f0000000000"
FUTEX = f"202 0x7f00 0x80 0x0 0x0 0x0 0x0 {STACK}"
LEVEL, EDGE_BOTH, WRITE, SPENT = "19", "80002019", "1c", "40000000"


@pytest.fixture(autouse=True)
def x86_64(monkeypatch: pytest.MonkeyPatch) -> None:
    run_on(monkeypatch, "x86_64")


def run_on(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))


def receiving(fd: int, stack: str = STACK) -> str:
    return f"45 {fd:#x} 0x7f00 0x1 0x0 0x0 0x0 {stack}"


def watching(fd: int, events: str, inode: int | None) -> str:
    where = "" if inode is None else f"  pos:0 ino:{inode:x} sdev:9"
    return f"tfd: {fd:8} events: {events:>8} data: {fd:16x}{where}\n"


def make(
    proc: Path,
    pid: int,
    links: dict[int, str],
    threads: tuple[tuple[str, str | None], ...] = (("S", FUTEX),),
    epoll: str = "",
) -> None:
    """A process with threads given as (state, what `syscall` says)."""
    home = proc / str(pid)
    (home / "fd").mkdir(parents=True)
    (home / "fdinfo").mkdir()
    for fd, link in links.items():
        (home / "fd" / str(fd)).symlink_to(link)
        (home / "fdinfo" / str(fd)).write_text(f"pos:\t0\nflags:\t02\n{epoll}")
    for number, (state, call) in enumerate(threads):
        task = home / "task" / str(pid + number)
        task.mkdir(parents=True)
        (task / "stat").write_text(f"{pid} (x) {state} " + "0 " * 40)
        (task / "wchan").write_text("do_something")
        if call is not None:
            (task / "syscall").write_text(f"{call}\n")


def ticks(step: int) -> Callable[[], int]:
    """A clock that moves on by `step` each time somebody looks."""
    now = [0]

    def clock() -> int:
        now[0] += step
        return now[0]

    return clock


def still() -> int:
    return 0


def test_a_thread_in_a_call_on_the_descriptor_is_blocked_on_it(tmp_path: Path) -> None:
    make(tmp_path, 7, {3: "socket:[5]", 4: "socket:[6]"}, (("S", FUTEX), ("S", receiving(4)), ("R", "running")))
    other, mine = look([(5, 7, 3), (6, 7, 4)], 1, still, tmp_path)
    assert (other.blocked, mine.blocked) == ("", "recvfrom")
    assert (mine.threads, mine.threads_running) == (3, 1)
    assert dict(mine.waiting) == {"futex": 1, "recvfrom": 1}


def test_either_end_of_a_splice_is_waited_on(tmp_path: Path) -> None:
    make(tmp_path, 7, {3: "socket:[5]", 4: "socket:[6]"}, (("S", f"275 0x3 0x0 0x4 0x0 0x10000 0x0 {STACK}"),))
    assert [wait.blocked for wait in look([(5, 7, 3), (6, 7, 4)], 1, still, tmp_path)] == ["splice", "splice"]


def test_on_aarch64_the_same_numbers_mean_other_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_on(monkeypatch, "aarch64")
    make(tmp_path, 7, {3: "socket:[5]"}, (("S", f"207 0x3 0x7f00 0x1 0x0 0x0 0x0 {STACK}"),))
    (wait,) = look([(5, 7, 3)], 1, still, tmp_path)
    assert wait.blocked == "recvfrom"


@pytest.mark.parametrize(("machine", "stack"), [("riscv64", STACK), ("x86_64", "0xffd00000 0xf7f00000")])
def test_where_the_numbers_are_not_known_only_the_kernel_function_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, stack: str
) -> None:
    run_on(monkeypatch, machine)
    make(tmp_path, 7, {3: "socket:[5]"}, (("S", receiving(3, stack)),))
    (wait,) = look([(5, 7, 3)], 1, still, tmp_path)
    assert wait.blocked is None
    assert wait.waiting == (("do_something", 1),)


def test_where_most_threads_sleep_is_told_first(tmp_path: Path) -> None:
    make(tmp_path, 7, {3: "socket:[5]"}, (("S", receiving(3)), ("S", FUTEX), ("S", FUTEX)))
    (wait,) = look([(5, 7, 3)], 1, still, tmp_path)
    assert wait.waiting == (("futex", 2), ("recvfrom", 1))


def test_a_thread_that_may_not_be_asked_leaves_open_whether_one_is_blocked(tmp_path: Path) -> None:
    make(tmp_path, 7, {3: "socket:[5]", 4: "socket:[6]"}, (("S", None), ("S", receiving(4))))
    unknown, known = look([(5, 7, 3), (6, 7, 4)], 1, still, tmp_path)
    assert (unknown.blocked, known.blocked) == (None, "recvfrom")


@pytest.mark.parametrize(
    ("events", "polled"), [(LEVEL, True), (EDGE_BOTH, True), ("2000", True), (WRITE, False), (SPENT, False)]
)
def test_only_a_set_that_watches_for_reading_polls(tmp_path: Path, events: str, polled: bool) -> None:
    make(tmp_path, 7, {3: "socket:[5]", 9: "anon_inode:[eventpoll]"}, epoll=watching(3, events, 5))
    (wait,) = look([(5, 7, 3)], 1, still, tmp_path)
    assert wait.polled is polled


def test_a_set_goes_by_the_socket_and_not_by_the_number_it_once_had(tmp_path: Path) -> None:
    links = {3: "socket:[5]", 4: "socket:[6]", 9: "anon_inode:[eventpoll]"}
    make(tmp_path, 7, links, epoll=watching(3, LEVEL, 6))
    assert [wait.polled for wait in look([(5, 7, 3), (6, 7, 4)], 1, still, tmp_path)] == [False, True]


def test_an_old_kernel_tells_the_number_alone(tmp_path: Path) -> None:
    links = {3: "socket:[5]", 4: "socket:[6]", 9: "anon_inode:[eventpoll]"}
    make(tmp_path, 7, links, epoll=watching(3, LEVEL, None))
    assert [wait.polled for wait in look([(5, 7, 3), (6, 7, 4)], 1, still, tmp_path)] == [True, False]


def test_an_io_uring_may_watch_without_telling(tmp_path: Path) -> None:
    links = {3: "socket:[5]", 4: "socket:[6]", 8: "anon_inode:[io_uring]", 9: "anon_inode:[eventpoll]"}
    make(tmp_path, 7, links, epoll=watching(3, LEVEL, 5))
    assert [wait.polled for wait in look([(5, 7, 3), (6, 7, 4)], 1, still, tmp_path)] == [True, None]


def test_the_sets_of_a_process_with_very_many_descriptors_are_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "MOST_DESCRIPTORS", 1)
    make(tmp_path, 7, {3: "socket:[5]", 9: "anon_inode:[eventpoll]"}, epoll=watching(3, LEVEL, 5))
    (wait,) = look([(5, 7, 3)], 1, still, tmp_path)
    assert wait.polled is None


def test_of_very_many_threads_the_first_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "MOST_THREADS", 2)
    make(tmp_path, 7, {3: "socket:[5]"}, (("S", FUTEX),) * 5)
    (wait,) = look([(5, 7, 3)], 1, still, tmp_path)
    assert (wait.threads, wait.waiting, wait.blocked) == (5, (("futex", 2),), None)


def test_of_very_many_suspects_the_first_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "MOST_SUSPECTS", 1)
    make(tmp_path, 7, {3: "socket:[5]", 4: "socket:[6]"})
    assert [wait.inode for wait in look([(5, 7, 3), (6, 7, 4)], 1, still, tmp_path)] == [5]


def test_nothing_is_looked_at_after_the_deadline(tmp_path: Path) -> None:
    make(tmp_path, 7, {3: "socket:[5]"})
    assert look([(5, 7, 3)], 100, lambda: 100, tmp_path) == ()


def test_the_deadline_ends_a_look_at_many_processes_between_two_of_them(tmp_path: Path) -> None:
    for pid in range(100, 200):
        make(tmp_path, pid, {3: f"socket:[{pid}]"})
    waits = look([(pid, pid, 3) for pid in range(100, 200)], 30, ticks(1), tmp_path)
    assert 0 < len(waits) < 30


def test_the_deadline_within_a_process_leaves_the_rest_open(tmp_path: Path) -> None:
    make(tmp_path, 7, {3: "socket:[5]", 9: "anon_inode:[eventpoll]"}, (("S", FUTEX),) * 50)
    (wait,) = look([(5, 7, 3)], 10, ticks(1), tmp_path)
    assert (wait.threads, wait.blocked, wait.polled) == (50, None, None)
    assert wait.waiting[0][1] < 10


def test_a_descriptor_that_is_another_socket_by_now_has_no_wait(tmp_path: Path) -> None:
    make(tmp_path, 7, {3: "socket:[6]"})
    assert look([(5, 7, 3), (5, 7, 4), (5, 8, 3)], 1, still, tmp_path) == ()


@pytest.mark.parametrize("garbage", ["", "garbage", "-1 0x0 0x0", "x " * 9, "running", "tfd: x", "0 " * 8 + "0"])
def test_garbage_raises_nothing(tmp_path: Path, garbage: str) -> None:
    make(tmp_path, 7, {3: "socket:[5]", 9: "anon_inode:[eventpoll]"}, (("S", garbage),), epoll=garbage)
    (wait,) = look([(5, 7, 3)], 1, still, tmp_path)
    assert (wait.polled, wait.threads) == (False, 1)


def test_no_two_calls_share_a_number() -> None:
    assert len(BY_MACHINE["x86_64"]) == sum(call.x86_64 is not None for call in CALLS)
    assert len(BY_MACHINE["aarch64"]) == sum(call.aarch64 is not None for call in CALLS)
