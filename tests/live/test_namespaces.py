"""Network namespaces and sysctls on the running kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastack.errors import KernelError
from lastack.linux import namespaces, sysctl

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")


def inode() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The id of a process in a network namespace of its own."""
    program = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(["unshare", "--net", *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        yield process.pid
        process.kill()


def test_the_own_namespace_is_the_callers() -> None:
    own = namespaces.own()
    assert (own.label, own.inode) == ("own", inode())
    assert namespaces.choose("own") == (own,)
    assert namespaces.choose(str(os.getpid())) == (own,)


@pytest.mark.root
def test_a_private_namespace_is_empty_has_loopback_and_is_left_again() -> None:
    before = inode()
    with namespaces.private() as private:
        assert inode() == private.inode != before
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
            pass
    assert inode() == before


@pytest.mark.root
def test_the_former_namespace_comes_back_after_an_error_too() -> None:
    before = inode()
    with pytest.raises(ZeroDivisionError), namespaces.private():
        _ = 1 / 0
    assert inode() == before


@pytest.mark.root
def test_a_namespace_belongs_to_the_thread() -> None:
    seen: list[int] = []
    with namespaces.private() as private:
        here = threading.Thread(target=lambda: seen.append(inode()))
        here.start()
        here.join()
    assert seen == [private.inode]

    def enter_and_stay(entered: threading.Event, leave: threading.Event) -> None:
        with namespaces.private():
            entered.set()
            leave.wait(5)

    entered, leave = threading.Event(), threading.Event()
    other = threading.Thread(target=enter_and_stay, args=(entered, leave))
    other.start()
    assert entered.wait(5)
    assert inode() != private.inode
    assert inode() == namespaces.own().inode == Path("/proc/self/ns/net").stat().st_ino
    leave.set()
    other.join()


@pytest.mark.root
def test_the_namespace_of_a_process_is_found_and_entered(sleeper: int) -> None:
    before = inode()
    its = Path(f"/proc/{sleeper}/ns/net").stat().st_ino
    assert its != before
    (by_pid,) = namespaces.choose(str(sleeper))
    assert by_pid == (f"pid {sleeper}", its, f"/proc/{sleeper}/ns/net")
    assert namespaces.choose(str(its)) == namespaces.choose(f"pid {sleeper}") == (by_pid,)
    every = namespaces.choose("all")
    assert by_pid in every
    assert every[0].label == "own"
    assert len({namespace.inode for namespace in every}) == len(every)
    with namespaces.entered(by_pid):
        assert inode() == its
    assert inode() == before


@pytest.mark.root
def test_a_named_namespace_is_called_by_its_name(sleeper: int) -> None:
    name = f"lastack-test-{os.getpid()}"
    subprocess.run(["ip", "netns", "attach", name, str(sleeper)], check=True, timeout=10)
    try:
        (found,) = namespaces.choose(name)
        assert found.label == name
        assert namespaces.choose(str(sleeper)) == (found,)
        with namespaces.entered(found):
            assert inode() == found.inode
        with pytest.raises(KernelError, match=name):
            namespaces.choose(name + "-not")
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True, timeout=10)


@pytest.mark.root
def test_a_process_that_has_gone_since_is_told(sleeper: int) -> None:
    (found,) = namespaces.choose(str(sleeper))
    gone = found._replace(path="/proc/2147483647/ns/net")
    with pytest.raises(KernelError, match="No such file"), namespaces.entered(gone):
        pass
    recycled = found._replace(path="/proc/self/ns/net")  # the number now belongs to somebody elsewhere
    with pytest.raises(KernelError, match="is gone"), namespaces.entered(recycled):
        pass


@pytest.mark.root
def test_a_sysctl_read_inside_is_that_namespaces() -> None:
    name = "net.ipv4.tcp_fin_timeout"
    before = sysctl.read(name)
    with namespaces.private():
        sysctl.write(name, 17)
        assert sysctl.read(name) == "17"
    assert sysctl.read(name) == before != "17"


@pytest.mark.root
@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("with namespaces.private(): pass", "cannot make a network namespace: Operation not permitted; run as root"),
        (
            "with namespaces.entered(namespaces.Namespace('x', 1, '/proc/1/ns/net')): pass",
            "cannot enter the network namespace 'x'",
        ),
        ("sysctl.write('net.ipv4.tcp_fin_timeout', 60)", "cannot set net.ipv4.tcp_fin_timeout to 60"),
        ("namespaces.choose('1')", "no process 1 whose network namespace can be read"),
        ("with namespaces.entered(namespaces.own()): print(end='no error')", "no error"),
    ],
)
def test_without_privilege_what_it_takes_is_told(program: str, told: str) -> None:
    # ctypes is imported late, and the interpreter's own files may be out of reach afterwards.
    drop = "import ctypes, os; from lastack.linux import namespaces, sysctl; from lastack.errors import KernelError\n"
    drop += "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    whole = drop + f"try:\n    {program}\nexcept KernelError as error:\n    print(error)"
    answer = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, timeout=30, check=True)
    assert told in answer.stdout, answer
