from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lastack.model import ConnectionTable, Evidence, Finding, Report, Severity, Source
from lastack.model.record import text_values
from lastack.report.view import page, quantity, rows_words, shown_rows

from . import sample

HOST = Source("host", "web-3", sample.NOW)


def finding(severity: Severity = Severity.WARNING, rule: str = "close-wait-eof-unread", **more: object) -> Finding:
    return dataclasses.replace(Finding(rule, severity, "something is wrong"), **more)  # type: ignore[arg-type]


def test_the_verdict_counts_and_names_the_problems() -> None:
    told = page(sample.busy())
    assert told.verdict == "1 error, 1 warning, 1 note on web-3"
    assert told.problems == (
        "CLOSE_WAIT, eof unread: 1,204 of java",
        "TIME_WAIT, ports filling: 1,000 to 10.0.0.5:5432",
    )
    assert not told.healthy


def test_problems_of_one_title_are_told_apart_by_their_network_namespaces() -> None:
    report = Report(HOST, (finding(netns="own"), finding(netns="blue"), finding(netns="pid 7")))
    assert len(set(page(report).problems)) == 3
    assert page(report).problems[1].endswith(" [blue]")


def test_findings_are_told_gravest_first_and_otherwise_as_given() -> None:
    given = (finding(Severity.INFO, "a"), finding(Severity.ERROR, "b"), finding(rule="c"), finding(rule="d"))
    assert [remark.rule for remark in page(Report(HOST, given)).remarks] == ["b", "c", "d", "a"]


def test_a_healthy_host_is_told_so_with_its_headroom() -> None:
    told = page(sample.healthy())
    assert told.healthy
    assert told.verdict == "Nothing wrong on web-3: 296 connections, none of them stuck"
    assert [level.percent for level in told.headroom] == ["2%", "1%"]


def test_a_host_that_could_not_be_seen_whole_is_not_called_healthy_without_saying_so() -> None:
    told = page(dataclasses.replace(sample.healthy(), unseen=("other users' processes",)))
    assert "as far as could be seen" in told.verdict
    assert told.unseen == ("other users' processes",)


def test_a_host_without_connections_is_told_so() -> None:
    assert page(sample.quiet()).verdict == "Nothing wrong on idle: it has no TCP connections"


def test_what_a_filter_chose_is_not_taken_for_the_whole_host() -> None:
    chosen = dataclasses.replace(HOST, filter="process = ngnix")
    assert page(Report(chosen)).verdict == "No connection on web-3 matches the filter"
    some = dataclasses.replace(sample.healthy(), source=chosen)
    assert page(some).verdict == "Nothing wrong on web-3 with the 296 connections chosen by the filter"
    assert page(some).source.endswith("only process = ngnix")


def test_what_came_in_is_named_by_its_listener_and_not_by_one_of_its_clients() -> None:
    table = sample.busy().connections
    waiting = table.select(np.flatnonzero(table.valid("listener"))[:1])
    unowned = waiting.select(np.arange(1)).with_columns({"command": text_values([None])})
    told = page(Report(HOST, (finding(rule="accept-queue-full", connections=unowned),)))
    assert told.remarks[0].title == f"accept queue full: 1 at {unowned.value('listener', 0)}"


def test_notes_alone_leave_a_host_healthy() -> None:
    told = page(Report(HOST, (finding(Severity.INFO),)))
    assert told.healthy
    assert told.verdict.startswith("Nothing wrong")


def test_a_capture_is_looked_into_not_at() -> None:
    assert page(Report(Source("capture", "a.pcap", 0))).verdict.startswith("Nothing wrong in a.pcap")


@pytest.mark.parametrize(
    ("rule", "title"),
    [
        ("fin-wait-2-owned", "FIN_WAIT_2, owned"),
        ("close-wait-never-accepted", "CLOSE_WAIT, never accepted"),
        ("conntrack-full", "conntrack full"),
    ],
)
def test_a_title_is_the_rule_in_words(rule: str, title: str) -> None:
    assert page(Report(HOST, (finding(rule=rule),))).remarks[0].title == title


def test_whose_leaves_out_what_the_summary_has_said() -> None:
    rows = sample.table().select(np.arange(10))
    remark = page(Report(HOST, (finding(connections=rows, summary="java leaks"),))).remarks[0]
    assert remark.whose == "unit orders.service, at 0.0.0.0:8080"
    remark = page(Report(HOST, (finding(connections=rows, summary="javascript leaks"),))).remarks[0]
    assert remark.whose.startswith("process java, ")


def test_whose_names_three_and_counts_the_rest() -> None:
    rows = ConnectionTable(6, {"command": text_values(["a1", "a1", "b1", "c1", "d1", "e1"])})
    remark = page(Report(HOST, (finding(connections=rows),))).remarks[0]
    assert remark.whose == "process a1 (2), process b1 (1), process c1 (1), 2 more"
    remark = page(Report(HOST, (finding(connections=rows, summary="a1, b1, c1 and 2 more leak"),))).remarks[0]
    assert remark.whose == ""


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1_204, "octets", "1,204 octets"),
        (1, "octets", "1 octet"),
        (1, "processes", "1 process"),
        (1, "a second", "1 a second"),
        (41_000_000_000, "ns", "41 s"),
        (0.61, "share", "61%"),
        (0.004, "share", "0.4%"),
        (0.0001, "share", "0%"),
        (2.25, "a second", "2.25 a second"),
        (410.53, "a second", "410.5 a second"),
        (12_345.6, "", "12,346"),
        (3.0, "", "3"),
        (float("nan"), "", "not known"),
        (float("inf"), "ns", "not known"),
        ("\x1b[2J", "", r"\x1b[2J"),
    ],
)
def test_quantities_read_as_a_person_says_them(value: str | int | float, unit: str, shown: str) -> None:
    assert quantity(value, unit) == shown


def test_useless_remedies_come_apart_from_their_reasons() -> None:
    remedies = page(Report(HOST, (finding(useless=("tcp_fin_timeout: it is about FIN_WAIT_2", "hope")),))).remarks[0]
    assert [(remedy.what, remedy.why) for remedy in remedies.useless] == [
        ("tcp_fin_timeout", "it is about FIN_WAIT_2"),
        ("hope", ""),
    ]


def test_all_text_from_the_system_is_made_safe() -> None:
    nasty = "\x1b]0;x\x07"
    report = Report(
        Source("host", nasty, sample.NOW, nasty, (nasty,), nasty),
        (finding(summary=nasty, evidence=(Evidence(nasty, nasty, nasty, nasty),), useless=(nasty,), netns=nasty),),
        states={nasty: 1},
        unseen=(nasty,),
    )
    assert "\x1b" not in repr(page(report)).replace(r"\x1b", "")
    assert r"\\x1b]0;x" in repr(page(report))


def test_an_impossible_time_is_left_out() -> None:
    assert page(Report(Source("host", "web-3", 10**30))).source == "web-3"


def test_a_small_page_carries_all_rows() -> None:
    report = sample.busy()
    rows, members = shown_rows(report)
    assert len(rows) == sample.ROWS
    assert [len(member) for member in members] == [sample.LEAKED, sample.TIME_WAIT, sample.SERVED]
    assert rows_words(len(rows), sample.ROWS) == "All 3,000 connections."


def test_a_crowded_page_gives_each_finding_a_fair_part() -> None:
    report = sample.busy()
    rows, members = shown_rows(report, limit=400)
    assert len(rows) == len(set(rows.tolist())) == 400
    assert min(len(member) for member in members) >= 100
    table = report.connections.select(rows)
    states = [[table.value("local_state", row) for row in member] for member in members]
    assert set(states[0]) == {"CLOSE_WAIT"}
    assert set(states[1]) == set(states[2]) == {"TIME_WAIT"}
    assert "lastack connections" in rows_words(400, sample.ROWS)


def test_a_finding_without_ids_is_linked_to_no_row() -> None:
    report = Report(HOST, (finding(connections=ConnectionTable(3)),), sample.table())
    assert shown_rows(report)[1] == [[]]
