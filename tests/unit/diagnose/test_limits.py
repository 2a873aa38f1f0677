"""Limits of a machine as a pure function: when they are near, how grave that is, and when nothing can be said."""

from __future__ import annotations

import pytest

from lastack.model.finding import Severity
from lastack.model.host import Usage

from .build import connection, facts, found, listener, listening, process, told

SHARED = [
    ("orphans", "orphans-near-limit"),
    ("tcp_memory_pages", "tcp-memory-near-limit"),
    ("conntrack", "conntrack-near-limit"),
]


@pytest.mark.parametrize(("what", "rule"), SHARED)
@pytest.mark.parametrize(
    ("used", "severity"), [(94, Severity.WARNING), (95, Severity.ERROR), (100, Severity.ERROR), (130, Severity.ERROR)]
)
def test_a_limit_nearly_reached_is_grave(what: str, rule: str, used: int, severity: Severity) -> None:
    (finding,) = found([], facts(**{what: Usage(used, 100)}))
    assert (finding.rule, finding.severity) == (rule, severity)
    assert told(finding)["used"] == used
    assert finding.advice
    assert finding.useless


@pytest.mark.parametrize(("what", "rule", "warning"), [(*SHARED[0], 50), (*SHARED[1], 80), (*SHARED[2], 80)])
def test_a_warning_begins_at_its_threshold(what: str, rule: str, warning: int) -> None:
    assert found([], facts(**{what: Usage(warning - 1, 100)})) == []
    assert [each.rule for each in found([], facts(**{what: Usage(warning, 100)}))] == [rule]


@pytest.mark.parametrize(("what", "rule"), SHARED)
@pytest.mark.parametrize("usage", [Usage(None, 100), Usage(100, None), Usage(None, None), Usage(100, 0)])
def test_what_could_not_be_read_is_not_judged(what: str, rule: str, usage: Usage) -> None:
    assert rule
    assert found([], facts(**{what: usage})) == []


@pytest.mark.parametrize(
    ("used", "severity"), [(799, None), (800, Severity.WARNING), (949, Severity.WARNING), (950, Severity.ERROR)]
)
def test_descriptors_are_judged_by_share(used: int, severity: Severity | None) -> None:
    findings = found([connection()], facts(process(descriptors=used, descriptor_limit=1_000)))
    assert [each.severity for each in findings] == ([severity] if severity else [])


@pytest.mark.parametrize(("used", "limit"), [(None, 1_000), (1_000, None), (1_000, 0)])
def test_descriptors_of_unknown_number_or_limit_are_not_judged(used: int | None, limit: int | None) -> None:
    assert found([connection()], facts(process(descriptors=used, descriptor_limit=limit))) == []


def test_a_process_that_neither_listens_nor_has_connections_is_nothing_to_do_with_tcp() -> None:
    full = process(99, descriptors=1_000, descriptor_limit=1_000)
    assert found([connection()], facts(process(), full)) == []


def test_a_listener_that_the_filter_left_out_is_not_judged_for_its_descriptors() -> None:
    known = facts(process(descriptors=1_000, descriptor_limit=1_000), listeners=(listener(),))
    assert [each.rule for each in found([listening()], known)] == ["descriptors-near-limit"]
    assert found([], known) == []


def test_where_and_in_what_a_process_lives_is_told() -> None:
    full = process(unit="web.service", container="docker 1a2b3c4d5e6f", descriptors=99, descriptor_limit=100)
    (finding,) = found([connection()], facts(full))
    assert finding.summary.startswith("web (pid 10, web.service, docker 1a2b3c4d5e6f) has 99 of 100 descriptors open")
