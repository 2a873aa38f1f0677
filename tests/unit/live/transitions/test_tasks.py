"""Who threads are, from a /proc and a list of saved names that are made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from lastack.live.transitions import tasks
from lastack.live.transitions.tasks import Task, Tasks
from lastack.model.time import SECOND


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    make(tmp_path / "proc", 100, 100, "nginx")
    (tmp_path / "saved").write_bytes(b"55 curl\n56 a b\x1b\n<...>\n")
    return tmp_path / "proc"


def make(proc: Path, thread: int, process: int, name: str) -> None:
    for number, what in ((process, name), (thread, f"thread of {name}" if thread != process else name)):
        home = proc / str(number)
        (home / "ns").mkdir(parents=True, exist_ok=True)
        (home / "comm").write_text(f"{what}\n")
        (home / "status").write_text(f"Name:\tx\nTgid:\t{process}\nPid:\t{number}\n")
        (home / "ns" / "net").touch()


def inode(proc: Path, pid: int) -> int:
    return (proc / str(pid) / "ns" / "net").stat().st_ino


def test_a_thread_is_told_as_its_process(proc: Path) -> None:
    make(proc, 101, 100, "nginx")
    found = Tasks(proc.parent / "saved", proc).find([100, 101], 0)
    assert found[100] == Task(100, b"nginx", inode(proc, 100))
    assert found[101] == Task(100, b"nginx", inode(proc, 101))


def test_of_a_thread_that_has_ended_the_kernel_may_remember_the_name(proc: Path) -> None:
    found = Tasks(proc.parent / "saved", proc).find([55, 56, 57], 0)
    assert found == {55: Task(55, b"curl", 0), 56: Task(56, b"a b\x1b", 0), 57: Task(57, b"", 0)}


def test_nothing_is_believed_for_longer_than_a_second(proc: Path) -> None:
    known = Tasks(proc.parent / "saved", proc)
    assert known.find([100], 0)[100].command == b"nginx"
    (proc / "100" / "comm").write_text("other\n")
    assert known.find([100], SECOND // 2)[100].command == b"nginx"
    assert known.find([100], 2 * SECOND)[100].command == b"other"


def test_in_a_storm_of_threads_only_so_many_are_looked_up(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_MOST", 3)
    for pid in range(200, 210):
        make(proc, pid, pid, f"short {pid}")
    found = Tasks(proc.parent / "saved", proc).find(list(range(200, 210)), 0)
    assert [pid for pid, task in found.items() if task.command] == [200, 201, 202]
    assert all(task.pid == pid for pid, task in found.items())
