"""Ctrl-C ends a command without a word, whatever it is at: loading itself, working, or at its end."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the command that is interrupted is about a live host")

AT_AN_IMPORT = """
import signal, sys
from lastack.__main__ import main

left = int(sys.argv.pop(1))

class Finder:
    def find_spec(self, *_):
        global left
        left -= 1
        if not left:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
main()
"""
AT_THE_END = """
import atexit, signal
from lastack.__main__ import main
atexit.register(signal.raise_signal, signal.SIGINT)
main()
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("before", [1, 2, 4, 8, 16, 32, 64, 96, 128, 192])
def test_at_no_import_does_an_interrupt_leave_more_than_an_empty_line(before: int) -> None:
    ended = run(AT_AN_IMPORT, str(before), "connections", "-f", "sport = :1")
    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (-signal.SIGINT, "", "")


def test_an_interrupt_at_the_end_takes_nothing_from_what_was_said() -> None:
    ended = run(AT_THE_END, "--version")
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
    assert ended.stdout.startswith("lastack ")


def test_where_interrupts_are_ignored_they_stay_so() -> None:
    program = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{AT_AN_IMPORT}"
    ended = run(program, "16", "--version")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_any_other_error_is_told_as_ever() -> None:
    ended = run("from lastack import __main__\n__main__._turn = None\n__main__.main()")
    assert ended.returncode == 1
    assert ended.stderr.endswith("TypeError: 'NoneType' object is not callable\n")
