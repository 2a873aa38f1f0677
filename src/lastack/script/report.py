"""What came of scripts, for people, for TAP (Test Anything Protocol 14) and for JUnit's readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Final
from xml.etree import ElementTree

from lastack.model.time import SECOND
from lastack.wire.pcapng import PcapngWriter

from .runner import Run

FORMS: Final = ("text", "tap", "junit")


def write_text(runs: Iterable[Run], file: IO[str], verbose: bool = False) -> tuple[int, int]:
    """One line a script that passed (`verbose`), all there is to say of one that failed; (passed, failed)."""
    counts = [0, 0]
    for one in runs:
        counts[not one.passed] += 1
        if one.failure is not None:
            file.write(f"{one.failure}\n")
        elif verbose:
            file.write(f"ok {one.path} ({one.length / SECOND:.3f} s of its time)\n")
        file.flush()
    file.write(f"{counts[0]} passed, {counts[1]} failed\n")
    return counts[0], counts[1]


def write_tap(runs: Iterable[Run], file: IO[str], count: int) -> tuple[int, int]:
    """TAP, a line as soon as a script has ended; (passed, failed)."""
    counts = [0, 0]
    file.write(f"TAP version 14\n1..{count}\n")
    for number, one in enumerate(runs, 1):
        counts[not one.passed] += 1
        file.write(f"{'ok' if one.passed else 'not ok'} {number} - {one.path}\n")
        if one.failure is not None:
            file.write("  ---\n  message: |\n")
            file.writelines(f"    {line}\n" for line in str(one.failure).splitlines())
            file.write("  ...\n")
        file.flush()
    return counts[0], counts[1]


def write_junit(runs: Sequence[Run], file: IO[str]) -> tuple[int, int]:
    """One JUnit test suite; (passed, failed)."""
    failed = sum(not one.passed for one in runs)
    suite = ElementTree.Element("testsuite", name="lastack script", tests=str(len(runs)), failures=str(failed))
    for one in runs:
        case = ElementTree.SubElement(suite, "testcase", name=one.path, time=f"{one.length / SECOND:.6f}")
        if one.failure is not None:
            failure = ElementTree.SubElement(case, "failure", message=one.failure.message.splitlines()[0])
            failure.text = str(one.failure)
    ElementTree.indent(suite)
    file.write('<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, "unicode") + "\n")
    return len(runs) - failed, failed


def write_pcapng(one: Run, path: str) -> None:
    """The packets of a run, as they were on the wire, their lines as comments. Raises OSError as open()."""
    with Path(path).open("wb") as file:
        writer = PcapngWriter(file, ["script"])
        for passing in one.packets:
            writer.write(0, passing.at, passing.packet.encode(), f"{'>' if passing.outbound else '<'} {passing.text}")
