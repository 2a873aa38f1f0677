"""The stage of the tests of the rules: processes that end with the test, as root in a network of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from lastack.diagnose import run as diagnosis

if TYPE_CHECKING:
    from lastack.diagnose.thresholds import Thresholds
    from lastack.model.finding import Finding
    from lastack.model.host import HostFacts
    from lastack.model.record import ConnectionTable

    from .situations import Stage


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test marked `rule` has heard that rule speak; one marked `silent` has not, in its last diagnosis."""
    said: list[set[str]] = [set()]
    really = diagnosis.run

    def run(table: ConnectionTable, facts: HostFacts, thresholds: Thresholds | None = None) -> list[Finding]:
        findings = really(table, facts, thresholds)
        said.append({finding.rule for finding in findings})
        return findings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnosis, "run", run)
        yield
    spoken = set().union(*said)
    for mark in item.iter_markers("rule"):
        assert spoken.issuperset(mark.args), f"marked for {mark.args}, but only these spoke: {spoken}"
    for mark in item.iter_markers("silent"):
        assert said[1:], "marked silent, and nothing was diagnosed"
        assert said[-1].isdisjoint(mark.args), f"marked silent for {mark.args}, but these spoke: {said[-1]}"


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    from .situations import Stage

    if sys.platform != "linux":
        pytest.skip("these are facts of the Linux kernel")
    private = os.geteuid() == 0
    if private:
        request.getfixturevalue("private_network")
    with ExitStack() as stack:
        yield Stage(stack, private)
