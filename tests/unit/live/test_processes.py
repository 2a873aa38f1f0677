"""Owners on a made-up /proc: what is garbled, gone or forbidden, and in what numbers."""

from __future__ import annotations

import errno
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from lastack.errors import KernelError
from lastack.live.processes import owners
from lastack.model.host import Holder
from lastack.model.time import SECOND

TICK_NS = SECOND // os.sysconf("SC_CLK_TCK")


def stat(
    pid: int, command: bytes, ppid: int, started: int, *, state: str = "S", flags: int = 0, threads: int = 1
) -> bytes:
    fields = [state, ppid, 0, 0, 0, 0, flags, *[0] * 10, threads, 0, started, *[0] * 30]
    return b"%d (%b) %b\n" % (pid, command, " ".join(map(str, fields)).encode())


def make(
    proc: Path,
    pid: int,
    *links: str,
    command: bytes = b"server",
    ppid: int = 1,
    started: int = 100,
    files: dict[str, bytes] | None = None,
) -> Path:
    """A process with descriptors 0, 1, ... on `links`."""
    home = proc / str(pid)
    (home / "fd").mkdir(parents=True)
    (home / "task").mkdir()
    for number, link in enumerate(links):
        (home / "fd" / str(number)).symlink_to(link)
    (home / "exe").symlink_to("/usr/bin/server")
    told = {
        "stat": stat(pid, command, ppid, started),
        "status": b"Name:\tserver\nUid:\t0\t33\t33\t33\nGid:\t0\t0\t0\t0\n",
        "limits": b"Limit            Soft Limit  Hard Limit  Units\nMax open files   1024        4096        files\n",
        "cgroup": b"0::/system.slice/web.service\n",
        "cmdline": b"/usr/bin/server\0--port\x0080\0",
        **(files or {}),
    }
    for name, text in told.items():
        (home / name).write_bytes(text)
    return home


def test_who_holds_a_wanted_socket_is_told_with_everything_known(tmp_path: Path) -> None:
    make(tmp_path, 77, "/dev/null", "socket:[5]", "pipe:[6]", "socket:[6]", "socket:[5]")
    found = owners([5], tmp_path)
    assert found.holders.keys() == {5}
    assert sorted(holder.fd for holder in found.holders[5]) == [1, 4]
    process = found.processes[77]
    assert (process.command, process.ppid, process.uid, process.state) == ("server", 1, 33, "S")
    assert (process.executable, process.arguments) == ("/usr/bin/server", ("/usr/bin/server", "--port", "80"))
    assert (process.unit, process.container) == ("web.service", None)
    assert (process.descriptors, process.descriptor_limit, process.frozen) == (5, 1024, False)
    booted = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert abs(process.started_ns - (booted + 100 * TICK_NS)) < SECOND


def test_every_socket_is_wanted_where_no_inodes_are_named(tmp_path: Path) -> None:
    make(tmp_path, 77, "socket:[5]", "socket:[6]")
    assert set(owners(None, tmp_path).holders) == {5, 6}


def test_nothing_is_looked_at_where_nothing_is_wanted(tmp_path: Path) -> None:
    found = owners([], tmp_path / "missing")
    assert (dict(found.holders), found.processes, found.unreadable) == ({}, {}, 0)


def test_ancestors_are_told_and_strangers_are_not(tmp_path: Path) -> None:
    make(tmp_path, 1, ppid=0, started=0)
    make(tmp_path, 50, "pipe:[1]", ppid=1, started=10)
    make(tmp_path, 60, "socket:[9]", ppid=1)
    make(tmp_path, 77, "socket:[5]", ppid=50, started=20)
    found = owners([5], tmp_path)
    assert set(found.processes) == {1, 50, 77}
    assert found.processes[50].descriptors == 1


def test_a_number_given_to_a_younger_process_is_no_parent(tmp_path: Path) -> None:
    make(tmp_path, 50, ppid=1, started=900)
    make(tmp_path, 60, "socket:[5]", ppid=1, started=900)
    make(tmp_path, 77, "socket:[5]", ppid=50, started=20)
    make(tmp_path, 78, "socket:[5]", ppid=60, started=20)
    found = owners([5], tmp_path)
    assert 50 not in found.processes
    assert (found.processes[77].ppid, found.processes[78].ppid) == (0, 0)


def test_processes_that_are_their_own_ancestors_do_not_go_on_for_ever(tmp_path: Path) -> None:
    make(tmp_path, 77, "socket:[5]", ppid=78)
    make(tmp_path, 78, ppid=77)
    assert set(owners([5], tmp_path).processes) == {77, 78}


@pytest.mark.parametrize("command", [b"a) S 1 (b", b"\x1b[31mred", b"two\nlines", b"\xff\xfe", b"", "naïve".encode()])
def test_a_command_is_kept_octet_for_octet(tmp_path: Path, command: bytes) -> None:
    make(tmp_path, 77, "socket:[5]", command=command)
    process = owners([5], tmp_path).processes[77]
    assert os.fsencode(process.command) == command
    assert process.ppid == 1


@pytest.mark.parametrize("garbage", [b"", b"77", b"77 (x) S", b"77 (x) S one" + b" 1" * 30, b")(", b"\0" * 5000])
def test_a_garbled_stat_costs_the_details_only(tmp_path: Path, garbage: bytes) -> None:
    make(tmp_path, 77, "socket:[5]", files={"stat": garbage})
    found = owners([5], tmp_path)
    assert found.holders == {5: (Holder(77, 0),)}
    assert found.processes == {}


@pytest.mark.parametrize("garbage", [b"", b"\xff" * 3000, b"Uid:\nMax open files\n", b"0::\n:::", b"\0\0"])
def test_other_garbled_files_cost_what_they_would_have_told(tmp_path: Path, garbage: bytes) -> None:
    files = dict.fromkeys(("status", "limits", "cgroup", "cmdline"), garbage)
    make(tmp_path, 77, "socket:[5]", files=files)
    process = owners([5], tmp_path).processes[77]
    assert (process.descriptor_limit, process.unit, process.container) == (None, None, None)


def test_an_unlimited_number_of_descriptors_is_no_limit(tmp_path: Path) -> None:
    make(tmp_path, 77, "socket:[5]", files={"limits": b"Max open files   unlimited   unlimited   files\n"})
    assert owners([5], tmp_path).processes[77].descriptor_limit is None


def test_of_a_command_line_of_megabytes_only_the_start_is_kept(tmp_path: Path) -> None:
    make(tmp_path, 77, "socket:[5]", files={"cmdline": b"x\0" * 2_000_000})
    assert len(owners([5], tmp_path).processes[77].arguments) == 1 << 15


def test_the_command_line_of_a_process_in_uninterruptible_sleep_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path, 77, "socket:[5]", files={"stat": stat(77, b"stuck", 1, 100, state="D")})
    assert owners([5], tmp_path).processes[77].arguments == ()


@pytest.mark.parametrize("link", ["socket:[x]", "socket:[", "socket:[]", "socket", "/tmp/socket:[5]"])
def test_a_link_that_names_no_socket_is_none(tmp_path: Path, link: str) -> None:
    make(tmp_path, 77, link)
    assert owners(None, tmp_path).holders == {}


def test_a_hundred_thousand_processes_that_vanish_cost_neither_memory_nor_an_error(tmp_path: Path) -> None:
    for pid in range(1000, 101_000):
        (tmp_path / str(pid)).symlink_to("gone")
    make(tmp_path, 77, "socket:[5]")
    tracemalloc.start()
    try:
        found = owners([5], tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.holders == {5: (Holder(77, 0),)}
    assert found.unreadable == 0
    assert peak < 1_000_000


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, name: str, *homes: Path) -> None:
    """Opening `name` (below these directories only, if any are given) ends in the error of this number."""
    refused = {home.stat().st_ino for home in homes}
    really = os.open

    def opened(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        here = not refused or (dir_fd is not None and os.fstat(dir_fd).st_ino in refused)
        if path.endswith(name) and here:
            raise OSError(number, os.strerror(number), path)
        return really(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opened)


def test_processes_that_may_not_be_looked_into_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = make(tmp_path, 77, "socket:[5]")
    others = [make(tmp_path, pid, "socket:[5]", ppid=77) for pid in (80, 81, 82)]
    refuse(monkeypatch, errno.EACCES, "fd", *others)
    found = owners([5], tmp_path)
    assert found.unreadable == len(others)
    assert found.holders == {5: (Holder(int(mine.name), 0),)}


def test_kernel_threads_and_zombies_are_not_counted_among_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel_thread = make(tmp_path, 2, files={"stat": stat(2, b"kthreadd", 0, 0, flags=0x0020_8040)})
    zombie = make(tmp_path, 3, files={"stat": stat(3, b"zombie", 1, 0, state="Z")})
    half_dead = make(tmp_path, 4, files={"stat": stat(4, b"half", 1, 0, state="Z", threads=2)})
    refuse(monkeypatch, errno.EACCES, "fd", kernel_thread, zombie, half_dead)
    assert owners([5], tmp_path).unreadable == 1


def test_an_ancestor_whose_descriptors_may_not_be_counted_is_told_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = make(tmp_path, 50, ppid=0, started=10)
    make(tmp_path, 77, "socket:[5]", ppid=50)
    refuse(monkeypatch, errno.EACCES, "fd", parent)
    found = owners([5], tmp_path)
    assert found.processes[50].descriptors is None
    assert found.unreadable == 1


@pytest.mark.parametrize("ending", ["/77", "fd", "stat"])
def test_a_process_that_goes_at_any_moment_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    make(tmp_path, 77, "socket:[5]")
    refuse(monkeypatch, errno.ESRCH, ending)
    found = owners([5], tmp_path)
    assert (dict(found.holders), found.processes, found.unreadable) == ({}, {}, 0)


@pytest.mark.parametrize("name", ["status", "limits", "cgroup", "cmdline"])
def test_a_kernel_without_one_of_the_files_still_tells_the_rest(tmp_path: Path, name: str) -> None:
    (make(tmp_path, 77, "socket:[5]") / name).unlink()
    assert owners([5], tmp_path).processes[77].command == "server"


def test_having_no_descriptor_left_is_an_error_and_not_an_empty_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, 77, "socket:[5]")
    refuse(monkeypatch, errno.EMFILE, "fd")
    with pytest.raises(KernelError, match="Too many open files"):
        owners([5], tmp_path)


def test_no_proc_at_all_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="missing"):
        owners([5], tmp_path / "missing")
