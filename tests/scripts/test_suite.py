"""Every script here passes on the engine and on the running kernel, unless its head says that only one can pass it.

The head of a script: what it shows, who says so, and perhaps `// Only on the engine: why` (or kernel).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lastack.script.play import KERNEL, How, play, play_all
from lastack.script.runner import Run

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.rglob("*.pkt"))
ROUNDS = (24, 4, 4)
"""Scripts on the kernel at a time, for nearly all of it is waiting; those that fail are played again, fewer at a time:
real time does not wait for a busy machine, and what is wrong is wrong every time."""


def only(path: Path) -> str | None:
    """`engine` or `kernel` where a script is for one of them alone."""
    found = re.search(r"^// Only on the (engine|kernel): \S", path.read_text(), re.MULTILINE)
    return found.group(1) if found else None


def name(path: Path) -> str:
    return str(path.relative_to(HERE))


@pytest.mark.parametrize("path", [path for path in SCRIPTS if only(path) != "kernel"], ids=name)
def test_on_the_engine(path: Path) -> None:
    run = play(path, How(exact=True))
    assert run.passed, str(run.failure)


@pytest.fixture(scope="module")
def on_the_kernel() -> dict[str, Run]:
    """What came of each of them, the last time that it was played."""
    how = How(on=KERNEL, exact=True)
    paths = [path for path in SCRIPTS if only(path) != "engine"]
    # Those that take longest first.
    paths.sort(key=lambda path: -len(re.findall(r"^\+\d\d", path.read_text(), re.MULTILINE)))
    runs: dict[str, Run] = {}
    for at_once in ROUNDS:
        left = [path for path in paths if name(path) not in runs or not runs[name(path)].passed]
        runs |= zip(map(name, left), play_all(left, how, at_once), strict=True)
    return runs


@pytest.mark.root
@pytest.mark.parametrize("path", [path for path in SCRIPTS if only(path) != "engine"], ids=name)
def test_on_the_kernel(path: Path, on_the_kernel: dict[str, Run]) -> None:
    run = on_the_kernel[name(path)]
    assert run.passed, str(run.failure)


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_says_what_it_shows_and_who_says_so(path: Path) -> None:
    title, source = path.read_text().splitlines()[:2]
    assert re.match(r"// \S.{5,}", title)
    assert re.match(r"// (RFC \d+|Linux |POSIX |[a-z_]+\([27]\)$)", source)


def test_there_are_as_many_as_the_page_says() -> None:
    assert len(SCRIPTS) >= 150
