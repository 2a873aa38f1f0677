"""Nothing of an experiment outlives the command, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

LONG = "three-segment-close", "--set", "think=60"


def marked(mark: str) -> list[int]:
    """The processes that were started with a variable of this value."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"LASTACK_MARK={mark}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture
def running() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An experiment that is in the middle of its run."""
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "lastack", "lab", "run", *LONG, "--on", "kernel"]
    process = subprocess.Popen(
        command,
        env={**os.environ, "LASTACK_MARK": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 30
    while not any(is_waiting(pid) for pid in marked(mark) if pid != process.pid):
        assert time.monotonic() < until, "the experiment does not get going"
        time.sleep(0.02)
    yield process, mark
    for pid in marked(mark):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def is_waiting(pid: int) -> bool:
    """Whether an experiment's process has its TUN devices open."""
    try:
        links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return links.count("/dev/net/tun") == 2


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_when_the_command_is_ended_its_processes_end_with_all_that_they_hold(
    running: tuple[subprocess.Popen[bytes], str], how: signal.Signals
) -> None:
    process, mark = running
    before = {path.name for path in Path("/sys/class/net").iterdir()}
    process.send_signal(how)
    process.wait(20)
    until = time.monotonic() + 20
    while marked(mark):
        assert time.monotonic() < until, "processes are left"
        time.sleep(0.02)
    assert {path.name for path in Path("/sys/class/net").iterdir()} == before


def test_settings_of_this_namespace_are_not_touched() -> None:
    names = sorted(Path("/proc/sys/net/ipv4").glob("tcp_*"))
    before = {path: path.read_bytes() for path in names if os.access(path, os.R_OK)}
    command = [sys.executable, "-m", "lastack", "lab", "run", "three-segment-close", "--on", "kernel"]
    done = subprocess.run([*command, "--set", "tcp_timestamps=0"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in before} == before
