"""pytest runs packetdrill scripts: every .pkt file is a test, on the engine or on the running kernel.

Files that are named on the command line are always taken; those in directories where `--lastack-scripts`, or
`lastack_scripts = true` in pytest's configuration, asks for it: other things than scripts end in .pkt, too. `-p
no:lastack` leaves the plugin out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

_ON = ("sim", "kernel")


class ScriptFailed(Exception):
    """A script did not go as it says. The text is all there is to show."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, and the same in pytest's configuration."""
    group = parser.getgroup("lastack", "packetdrill scripts (lastack)")
    group.addoption("--lastack-scripts", action="store_true", help="collect every .pkt file as a packetdrill script")
    group.addoption(
        "--lastack-on",
        action="append",
        choices=_ON,
        help="what scripts are run on: sim, the engine in virtual time (default), or kernel, this one, which takes "
        "root; may be given twice",
    )
    group.addoption(
        "--lastack-exact", action="store_true", help="let packets after a script's last line fail it, as all others do"
    )
    parser.addini("lastack_scripts", "collect every .pkt file as a packetdrill script", "bool", False)
    parser.addini("lastack_on", "what scripts are run on: sim, kernel, or both", "args", ["sim"])
    parser.addini("lastack_exact", "let packets after a script's last line fail it", "bool", False)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what the configuration says where it is not understood: nothing is to be tested on the wrong thing."""
    for on in config.getini("lastack_on"):
        if on not in _ON:
            raise pytest.UsageError(f"lastack_on: {on!r} is neither sim nor kernel")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScriptFile | None:
    """A script, where it is to be taken for one."""
    if file_path.suffix != ".pkt":
        return None
    wanted = _flag(parent.config, "lastack_scripts") or parent.session.isinitpath(file_path)
    return ScriptFile.from_parent(parent, path=file_path) if wanted else None


class ScriptFile(pytest.File):
    """A file with one script, and a test for each thing that it is run on."""

    def collect(self) -> Iterator[ScriptItem]:
        """Its tests: `close.pkt::sim`."""
        given = self.config.getoption("lastack_on") or self.config.getini("lastack_on")
        for on in dict.fromkeys(given):
            yield ScriptItem.from_parent(self, name=on)


class ScriptItem(pytest.Item):
    """One script on one thing, which its name says."""

    def runtest(self) -> None:
        """Run it. Raises ScriptFailed with the message."""
        from lastack.script.play import How, play

        failure = play(_short(self.path), How(on=self.name, exact=_flag(self.config, "lastack_exact"))).failure
        if failure is not None:
            raise ScriptFailed(str(failure))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """The script's own message; Python's lines would say nothing."""
        if isinstance(excinfo.value, ScriptFailed):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it stands, and its heading."""
        return self.path, 0, f"{self.path.name} on {self.name}"


def _flag(config: pytest.Config, name: str) -> bool:
    return bool(config.getoption(name) or config.getini(name))


def _short(path: Path) -> Path:
    """As it is seen from here, which editors and people can follow."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
