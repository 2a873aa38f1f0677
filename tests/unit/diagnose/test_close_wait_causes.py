"""CLOSE_WAIT judged as a pure function: the order of the causes, what is busy and what leaks, frozen owners."""

from __future__ import annotations

import pytest

from lastack.model.close import Timer
from lastack.model.finding import Severity
from lastack.model.host import SecondLook
from lastack.model.state import State
from lastack.model.time import MINUTE, SECOND, spoken

from .build import NOW, Row, close_wait, connection, facts, found, held, listener, process, told


def rule_of(row: Row, **fields: object) -> str:
    (finding,) = found([row], facts(process(), **fields))
    return finding.rule


@pytest.mark.parametrize(
    ("recv_q", "rule"),
    [
        (0, "close-wait-not-closed"),
        (1, "close-wait-eof-unread"),
        (2, "close-wait-data-unread"),
        (4_000_000, "close-wait-data-unread"),
    ],
)
def test_the_receive_queue_tells_the_bug(recv_q: int, rule: str) -> None:
    (row,) = close_wait(1, recv_q)
    assert rule_of(row) == rule


def test_what_nobody_accepted_is_the_listeners_whatever_its_queue_holds() -> None:
    (row,) = close_wait(1, 500, inode=0, pid=None, command=None)
    (finding,) = found([row], facts(listeners=(listener(),)))
    assert finding.rule == "close-wait-never-accepted"
    assert "the listener 10.0.0.1:80 (web, pid 10) did not call accept()" in finding.summary


def test_a_frozen_owner_is_stopped_and_told_to_be_frozen() -> None:
    (finding,) = found(close_wait(1), facts(process(frozen=True)))
    assert finding.rule == "close-wait-owner-stopped"
    assert told(finding)["state of pid 10"] == "frozen"


@pytest.mark.parametrize("letter", ["T", "t"])
def test_an_owner_under_a_debugger_is_stopped(letter: str) -> None:
    (finding,) = found(close_wait(1), facts(process(state=letter)))
    assert finding.rule == "close-wait-owner-stopped"


@pytest.mark.parametrize("letter", ["R", "S", "D"])
def test_an_owner_that_sleeps_or_runs_is_not_stopped(letter: str) -> None:
    (finding,) = found(close_wait(1), facts(process(state=letter)))
    assert finding.rule == "close-wait-eof-unread"


def test_data_under_way_or_sent_lately_is_work() -> None:
    rows = [*close_wait(1, 0, send_q=10)]
    assert [each.rule for each in found(rows)] == ["close-wait-busy"]
    rows = [*close_wait(1, 0, last_data_sent_ns=NOW - 30 * SECOND)]
    assert [each.rule for each in found(rows)] == ["close-wait-busy"]
    rows = [*close_wait(1, 0, last_data_sent_ns=NOW - 90 * SECOND)]
    assert [each.rule for each in found(rows)] == ["close-wait-not-closed"]


def test_younger_than_min_age_is_lawful_and_just_as_old_is_not() -> None:
    assert found(close_wait(30, age_ns=MINUTE - 1, age_most_ns=MINUTE - 1)) == []
    assert len(found(close_wait(1, age_ns=MINUTE))) == 1
    assert found(close_wait(30, age_ns=None, age_most_ns=None)) == []


@pytest.mark.parametrize(("count", "told_of"), [(19, 0), (20, 20)])
def test_keepalive_hides_an_age_and_a_pile_speaks_for_itself(count: int, told_of: int) -> None:
    rows = close_wait(count, age_ns=5 * SECOND, timer=Timer.KEEPALIVE)
    assert sum(len(each.connections) for each in found(rows)) == told_of


def test_a_pile_that_cannot_be_old_is_young_with_keepalive_too() -> None:
    assert found(close_wait(30, age_ns=5 * SECOND, age_most_ns=50 * SECOND, timer=Timer.KEEPALIVE)) == []
    assert found(close_wait(30, age_ns=5 * SECOND, timer=Timer.OFF)) == []


def looked_again(count: int, ended: int, after_ns: int = SECOND) -> SecondLook:
    cookies = [5_000 + number for number in range(count)]
    return SecondLook(after_ns, frozenset(cookies), frozenset(cookies[:ended]))


@pytest.mark.parametrize(
    ("count", "ended", "rule"),
    [
        (40, 0, "close-wait-not-closed"),
        (40, 1, "close-wait-busy"),  # all would be gone in 40 s, and the oldest are a minute old
        (400, 1, "close-wait-not-closed"),  # 400 s, more than three times that
        (400, 3, "close-wait-busy"),
    ],
)
def test_what_ends_at_a_pace_is_busy_and_what_hardly_ends_leaks(count: int, ended: int, rule: str) -> None:
    rows = close_wait(count, 0, age_ns=MINUTE)
    (finding,) = found(rows, facts(process(), second_look=looked_again(count, ended)))
    assert finding.rule == rule
    assert told(finding)["ended by themselves"] == f"{ended} of {count} within {spoken(SECOND)}"


def test_of_one_owner_all_that_is_busy_is_one_finding() -> None:
    rows = [*close_wait(10, 0), *(connection(State.CLOSE_WAIT, 10 + n, recv_q=1) for n in range(10))]
    (finding,) = found(rows, facts(process(), second_look=SecondLook(SECOND, *_cookies(20, (0, 15)))))
    assert (finding.rule, len(finding.connections)) == ("close-wait-busy", 20)


def _cookies(count: int, ended: tuple[int, ...]) -> tuple[frozenset[int], frozenset[int]]:
    return frozenset(5_000 + n for n in range(count)), frozenset(5_000 + n for n in ended)


def test_what_closed_before_its_process_could_be_looked_up_is_not_told() -> None:
    gone = close_wait(1, 0, pid=None, command=None, fd=None)
    assert found(gone, facts(second_look=looked_again(1, 1))) == []
    assert len(found(gone, facts(second_look=looked_again(1, 0)))) == 1


def test_an_owner_that_cannot_be_seen_is_said_to_be_so() -> None:
    (finding,) = found(close_wait(1, pid=None, command=None, fd=None))
    assert "a process that cannot be seen from here never read the end of file" in finding.summary


@pytest.mark.parametrize(
    ("count", "limit", "severity"),
    [
        (1, 1_024, Severity.WARNING),
        (19, 1_024, Severity.WARNING),
        (20, 1_024, Severity.ERROR),
        (9, 100, Severity.WARNING),
        (10, 100, Severity.ERROR),
        (10, None, Severity.WARNING),
    ],
)
def test_severity_is_by_count_or_by_share_of_the_descriptors(count: int, limit: int | None, severity: Severity) -> None:
    (finding,) = found(close_wait(count), facts(process(descriptor_limit=limit, descriptors=5)))
    assert finding.severity is severity


def test_the_descriptors_that_bind_are_those_of_the_fullest_process() -> None:
    rows = [*close_wait(1), connection(State.CLOSE_WAIT, 1, recv_q=1, pid=11)]
    known = facts(
        process(10, descriptors=10, descriptor_limit=1_000), process(11, descriptors=700, descriptor_limit=1_000)
    )
    (finding,) = found(rows, known)
    assert told(finding)["descriptors of pid 11"] == "700 of 1,000"
    assert "descriptors of pid 10" not in told(finding)


def test_who_holds_an_inherited_one_is_told_with_descriptor_and_parent() -> None:
    known = facts(
        process(1, 0, "init"),
        process(10),
        process(20, 10, "sleep"),
        listeners=(listener(),),
        holders={1_000: held((20, 7))},
    )
    (finding,) = found(close_wait(1, pid=20, command="sleep"), known)
    assert finding.rule == "close-wait-inherited"
    assert told(finding)["held open by"] == "sleep (pid 20, descriptor 7, child of 10)"


def test_never_more_than_a_remark_while_it_sends_however_many() -> None:
    (finding,) = found(close_wait(500, 0, send_q=1))
    assert finding.severity is Severity.INFO
