"""Output that cannot be written: a line that says so and exit status 2, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
SCRIPT = next((Path(__file__).parents[2] / "scripts").rglob("*.pkt"))


def lastack(arguments: str, redirected: str = "") -> subprocess.CompletedProcess[str]:
    command = f'exec "{sys.executable}" -m lastack {arguments} {redirected}'
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "arguments", ["--help", "check --pause 0s", "check --pause 0s --format json", "connections --format csv"]
)
def test_a_full_disk_behind_standard_output_is_told_in_one_line(arguments: str) -> None:
    done = lastack(arguments, f">{FULL}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_a_closed_standard_output_is_told_in_one_line() -> None:
    done = lastack("connections", ">&-")
    assert (done.returncode, done.stderr) == (2, "lastack: cannot write: standard output is closed\n")


@pytest.mark.parametrize(
    "arguments", ["check --pause 0s", "connections", "connections --format parquet", "connections --format csv"]
)
def test_a_file_that_cannot_be_made_is_named(arguments: str, tmp_path: Path) -> None:
    place = tmp_path / "missing" / "file"
    done = lastack(arguments, f"-o {place}")
    assert (done.returncode, done.stderr) == (2, f"lastack: cannot write {place}: No such file or directory\n")


def test_a_reader_that_leaves_early_hears_nothing_more() -> None:
    done = lastack("connections --all --format jsonl", "| head -c 1 >/dev/null")
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "check --pause 0s",
        "connections --all --format csv",
        "lab list",
        "lab run three-segment-close --on sim",
        f"script {SCRIPT}",
    ],
)
def test_without_a_reader_it_ends_quietly_with_the_status_of_sigpipe(arguments: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        command = [sys.executable, "-m", "lastack", *arguments.split()]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")
