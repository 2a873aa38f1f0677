"""Start-up is a feature: what a command has no use for, it does not import. The modules are seen, not the clock."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"asyncio", "numpy", "rich", "nanoarrow", "pyarrow", "numba", "pyroute2", "jsonschema", "typer", "pydantic"}
HEAVY |= {"textual", "prometheus_client"}
NEVER = HEAVY - {"numpy", "rich"}
"""Of no use to `lastack check` in a terminal."""
RUN = """
import sys
from lastack.cli.main import main
try:
    main()
except SystemExit as leaving:
    status = leaving.code or 0
else:
    status = 0
print(*sys.modules, sep="\\n", file=sys.stderr)
sys.exit(status)
"""


def modules(*arguments: str) -> set[str]:
    """The modules that are loaded when the command has ended."""
    command = [sys.executable, "-c", RUN, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode in (0, 1), answer.stderr
    assert answer.stdout
    return set(answer.stderr.split())


def packages(loaded: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in loaded}


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("check", "--help"), ("show", "--help"), ("watch", "--help")]
)
def test_help_loads_the_command_line_and_nothing_else(arguments: tuple[str, ...]) -> None:
    loaded = modules(*arguments)
    assert not packages(loaded) & HEAVY
    beyond = {name for name in loaded if name.startswith("lastack.") and not name.startswith("lastack.cli")}
    assert beyond <= {"lastack.errors"}


@pytest.mark.skipif(sys.platform != "linux", reason="there is no live host to check")
def test_check_loads_what_it_looks_and_shows_with_and_nothing_else() -> None:
    loaded = modules("check", "--fail-on", "never", "--pause", "0s")
    assert not packages(loaded) & NEVER
    assert not loaded & {
        "lastack.report.html",
        "lastack.report.machine",
        "lastack.report.schema",
        "lastack.model.arrow",
    }
    assert not any(name.startswith(("lastack.archive", "lastack.watch")) for name in loaded)
    assert "lastack.report.terminal" in loaded


@pytest.mark.skipif(sys.platform != "linux", reason="there is no live host to check")
def test_json_is_written_without_a_terminals_renderer() -> None:
    loaded = modules("check", "--fail-on", "never", "--pause", "0s", "--format", "json")
    assert not packages(loaded) & (NEVER | {"rich"})
    assert not loaded & {"lastack.report.html", "lastack.report.terminal"}


def test_the_package_itself_loads_nothing_heavy() -> None:
    command = [sys.executable, "-c", "import sys, lastack; print(*sys.modules)"]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert not packages(loaded) & (HEAVY | {"click"})


def test_before_an_interrupt_is_heard_next_to_nothing_is_loaded() -> None:
    program = "import sys; before = set(sys.modules); import lastack.__main__; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.startswith("lastack")} == {"lastack", "lastack.__main__"}
    # `signal` has its `enum`; what would take longer than all of this stays away.
    assert not {"typing", "re", "importlib.util"} & set(loaded)
