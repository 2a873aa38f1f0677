"""CLOSE_WAIT on real sockets: each cause is told from the others, its owner named; young and working ones are left."""

from __future__ import annotations

import pytest

from lastack.model.finding import Severity
from lastack.model.state import State
from lastack.model.time import MINUTE, SECOND

from .situations import LOOPBACK, MOMENT, Stage, advice, evidence, of_rule, rules, the_one, until

CAUSES = (
    "close-wait-never-accepted",
    "close-wait-owner-stopped",
    "close-wait-busy",
    "close-wait-inherited",
    "close-wait-not-closed",
    "close-wait-eof-unread",
    "close-wait-data-unread",
)


@pytest.mark.rule("close-wait-eof-unread")
@pytest.mark.silent("close-wait-not-closed", "close-wait-data-unread", "close-wait-inherited")
def test_an_unread_end_of_file_is_blamed_on_the_process_that_does_not_read(stage: Stage) -> None:
    server, client, at = stage.connected(3)
    client.do("shut")
    found = stage.until_told("close-wait-eof-unread", 3)
    assert found.severity is Severity.WARNING
    assert found.summary == f"3 connections are in CLOSE_WAIT because {server} never read the end of file"
    facts = evidence(found)
    assert facts["receive queue"] == 1
    assert facts["listener"] == f"{at} (3)"
    assert facts["clients"] == f"{LOOPBACK} (3)"
    assert facts["its threads sleep in"] == "read (1)"  # waiting to be told what to do
    assert facts["ended by themselves"].startswith("0 of 3 within ")
    assert "read() returns 0" in advice(found)
    assert any("tcp_fin_timeout" in line for line in found.useless)
    assert found.histogram is not None
    assert found.histogram.counts == (3, 0, 0, 0, 0, 0)
    assert set(found.connections.values("pid").tolist()) == {server.pid}
    assert [rule for rule in rules(stage.report) if rule in CAUSES] == ["close-wait-eof-unread"]


@pytest.mark.silent(*CAUSES)
def test_young_close_wait_is_lawful(stage: Stage) -> None:
    _, client, _ = stage.connected(25)
    client.do("shut")
    stage.let_age(State.CLOSE_WAIT)
    assert of_rule(stage.check(), "close-wait-eof-unread")
    assert rules(stage.check(min_age_ns=MINUTE)) == []


@pytest.mark.rule("close-wait-not-closed")
@pytest.mark.silent("close-wait-eof-unread")
def test_an_end_of_file_that_was_read_without_a_close_after_it_is_a_leak(stage: Stage) -> None:
    server, client, at = stage.connected(2)
    client.do("send", 100)
    client.do("shut")
    server.do("read")
    found = stage.until_told("close-wait-not-closed", 2)
    assert found.severity is Severity.WARNING
    assert found.summary.endswith(f"because {server} read the end of file and never called close()")
    facts = evidence(found)
    assert facts["receive queue"] == 0
    assert facts["listener"] == f"{at} (2)"
    assert "try/finally" in advice(found)
    assert not of_rule(stage.report, "close-wait-eof-unread")


@pytest.mark.rule("close-wait-data-unread")
@pytest.mark.silent("close-wait-eof-unread")
def test_unread_data_before_the_end_of_file_is_told_with_its_size(stage: Stage) -> None:
    server, client, _ = stage.connected(2)
    client.do("send", 1_000)
    client.do("shut")
    found = stage.until_told("close-wait-data-unread", 2)
    assert found.summary.startswith("2 connections are in CLOSE_WAIT with data that")
    assert str(server) in found.summary
    assert evidence(found)["receive queue"] == 1_001  # the FIN counts one
    assert "RST" in advice(found)
    assert not of_rule(stage.report, "close-wait-eof-unread")


@pytest.mark.rule("close-wait-data-unread")
def test_that_something_is_read_between_the_looks_is_told(stage: Stage) -> None:
    server, client, _ = stage.connected(2)
    client.do("send", 50_000)
    client.do("shut")
    server.do("nibble", 0.001)
    stage.let_age(State.CLOSE_WAIT)
    found = the_one(stage.check(), "close-wait-data-unread")
    assert evidence(found)["read from"].startswith("1 of 2 within ")


@pytest.mark.rule("close-wait-never-accepted")
@pytest.mark.silent("close-wait-eof-unread")
def test_connections_never_accepted_are_blamed_on_the_listener_and_who_holds_it(stage: Stage) -> None:
    server, client = stage.process("dozy"), stage.process("visitor")
    at = server.listen()
    client.connect(at, 3)
    client.do("shut")
    found = stage.until_told("close-wait-never-accepted", 3)
    assert found.severity is Severity.WARNING
    assert f"{at} (dozy, pid {server.pid}" in found.summary
    assert "did not call accept()" in found.summary
    assert evidence(found)["listener"] == f"{at} (3)"
    assert any("longer backlog" in line for line in found.useless)
    assert not of_rule(stage.report, "close-wait-eof-unread")


@pytest.mark.rule("close-wait-never-accepted")
def test_each_listener_that_does_not_accept_has_a_finding_of_its_own(stage: Stage) -> None:
    client = stage.process("visitor")
    servers = [stage.process("dozy"), stage.process("sleepy")]
    for server in servers:
        client.connect(server.listen(), 12)
    client.do("shut")
    stage.let_age(State.CLOSE_WAIT)
    found = of_rule(stage.check(), "close-wait-never-accepted")
    assert [finding.severity for finding in found] == [Severity.WARNING] * 2  # 24 in all, but 12 of each
    for server in servers:
        assert sum(f"{server.name}, pid {server.pid}" in finding.summary for finding in found) == 1


@pytest.mark.silent("close-wait-never-accepted")
def test_accepted_connections_are_not_said_to_wait_for_accept(stage: Stage) -> None:
    server, client = stage.process("leaky"), stage.process("visitor")
    client.connect(server.listen(), 2)
    client.do("shut")
    stage.until_told("close-wait-never-accepted", 2)
    server.do("accept", 2)
    assert not of_rule(stage.check(), "close-wait-never-accepted")
    assert evidence(the_one(stage.check(), "close-wait-eof-unread"))["receive queue"] == 1


@pytest.mark.rule("close-wait-owner-stopped")
@pytest.mark.silent("close-wait-eof-unread")
def test_a_stopped_owner_is_blamed_for_nothing_but_being_stopped(stage: Stage) -> None:
    server, client, _ = stage.connected(2)
    server.stop()
    client.do("shut")
    found = stage.until_told("close-wait-owner-stopped", 2)
    assert found.severity is Severity.WARNING
    assert found.summary == f"2 connections are in CLOSE_WAIT because {server} is stopped and cannot close"
    assert evidence(found)[f"state of pid {server.pid}"] == "T"
    assert "kill -CONT" in advice(found)
    assert not of_rule(stage.report, "close-wait-eof-unread")


@pytest.mark.silent("close-wait-owner-stopped")
def test_an_owner_that_goes_on_is_no_longer_called_stopped(stage: Stage) -> None:
    server, client, _ = stage.connected(2)
    server.stop()
    client.do("shut")
    stage.until_told("close-wait-owner-stopped", 2)
    server.go_on()
    server.do("read")
    report = stage.check()
    assert not of_rule(report, "close-wait-owner-stopped")
    the_one(report, "close-wait-not-closed")


@pytest.mark.rule("close-wait-inherited")
@pytest.mark.silent("close-wait-not-closed", "close-wait-eof-unread")
def test_a_child_that_inherited_the_descriptor_is_named_after_the_parent_closed(stage: Stage) -> None:
    server, client, _ = stage.connected(2)
    child = server.do("spawn")
    client.do("shut")
    server.do("read")
    server.do("close")
    found = stage.until_told("close-wait-inherited", 2)
    assert found.severity is Severity.WARNING
    assert f"sleep (pid {child})" in found.summary
    held = str(evidence(found)["held open by"])
    assert held.startswith(f"sleep (pid {child}, descriptor ")
    assert held.endswith(f", child of {server.pid})")
    assert "SOCK_CLOEXEC" in advice(found)
    assert not of_rule(stage.report, "close-wait-not-closed")


@pytest.mark.rule("close-wait-inherited")
def test_a_forked_child_that_shares_the_connection_with_its_parent_is_named(stage: Stage) -> None:
    server, client, _ = stage.connected(1)
    child = server.do("fork")
    client.do("shut")
    found = stage.until_told("close-wait-inherited", 1)
    held = [each.value for each in found.evidence if each.fact == "held open by"]
    assert len(held) == 2
    assert any(f"pid {child}," in str(each) for each in held)


@pytest.mark.silent("close-wait-inherited")
def test_a_child_that_was_started_without_the_connection_is_not_blamed(stage: Stage) -> None:
    server = stage.process("leaky")
    at = server.listen()
    server.do("spawn")
    client = stage.process("visitor")
    client.connect(at, 2)
    server.do("accept", 2)
    client.do("shut")
    stage.until_told("close-wait-eof-unread", 2)
    assert not of_rule(stage.report, "close-wait-inherited")


@pytest.mark.silent("close-wait-inherited")
def test_a_child_that_was_given_the_connection_as_its_standard_input_owns_it(stage: Stage) -> None:
    server, client, _ = stage.connected(1)
    child = server.do("spawn", True)
    server.do("close")
    client.do("shut")
    found = stage.until_told("close-wait-eof-unread", 1)
    assert f"sleep (pid {child})" in found.summary
    assert not of_rule(stage.report, "close-wait-inherited")


@pytest.mark.rule("close-wait-busy")
@pytest.mark.silent("close-wait-eof-unread", "close-wait-not-closed", "close-wait-data-unread")
def test_one_that_is_still_sending_is_never_more_than_a_remark(stage: Stage) -> None:
    server, client, _ = stage.connected(25)
    client.do("small_buffers", 4_096)
    client.do("shut")
    server.do("fill")  # the client does not read: the answers are on their way and stay there
    found = stage.until_told("close-wait-busy", 25)
    assert found.severity is Severity.INFO
    assert str(server) in found.summary
    assert [rule for rule in rules(stage.report) if rule in CAUSES] == ["close-wait-busy"]


@pytest.mark.rule("close-wait-busy")
@pytest.mark.silent("close-wait-eof-unread", "close-wait-not-closed")
def test_a_slow_server_whose_close_wait_end_by_themselves_does_not_leak(stage: Stage) -> None:
    server, client = stage.process("slow"), stage.process("visitor")
    at = server.listen()
    server.do("serve", False, 1.0)
    client.do("keep_coming", *at, 0.04)  # so that there are always some of every age up to the second that each takes
    found = stage.until_told("close-wait-busy", pause_ns=SECOND // 4)
    assert found.severity is Severity.INFO
    assert not str(evidence(found)["ended by themselves"]).startswith("0 of")
    assert found.summary.endswith(f"{server} is still at work on them")
    assert [rule for rule in rules(stage.report) if rule in CAUSES] == ["close-wait-busy"]


@pytest.mark.silent("close-wait-busy")
def test_a_leak_is_not_called_busy_because_a_few_of_many_ended(stage: Stage) -> None:
    server, client, _ = stage.connected(100)
    client.do("shut")
    server.do("read")
    stage.let_age(State.CLOSE_WAIT)
    server.do("close_slowly", 0.2)  # they would be gone in 20 s, and are not a second old

    def ended() -> str:
        stage.report = stage.check(pause_ns=SECOND // 5)
        return str(evidence(the_one(stage.report, "close-wait-not-closed"))["ended by themselves"])

    until(lambda: not ended().startswith("0 of"), "one of them to end")
    assert the_one(stage.report, "close-wait-not-closed").severity is Severity.ERROR
    assert not of_rule(stage.report, "close-wait-busy")


@pytest.mark.parametrize(("count", "severity"), [(1, Severity.WARNING), (19, Severity.WARNING), (20, Severity.ERROR)])
def test_one_is_a_warning_and_twenty_of_one_owner_are_an_error(stage: Stage, count: int, severity: Severity) -> None:
    _, client, _ = stage.connected(count)
    client.do("shut")
    assert stage.until_told("close-wait-eof-unread", count).severity is severity


def test_a_tenth_of_the_owners_descriptors_is_an_error_and_the_time_left_is_told(stage: Stage) -> None:
    server, client, _ = stage.connected(5)
    server.do("limit_descriptors", 50)
    client.do("close", 3)
    stage.until_told("close-wait-eof-unread", 3)
    client.do("close", 2)
    found = stage.until_told("close-wait-eof-unread", 5, most=0.1)
    assert found.severity is Severity.ERROR
    facts = evidence(found)
    assert facts[f"descriptors of pid {server.pid}"] == "9 of 50"  # three standard ones, the listener, and these five
    assert "until it can accept no more" in facts
    assert facts["CLOSE_WAIT come at"] == pytest.approx(5, abs=1)  # a second, all five in the first


def test_a_burst_tells_no_rate(stage: Stage) -> None:
    _, client, _ = stage.connected(5)
    client.do("shut")
    facts = evidence(stage.until_told("close-wait-eof-unread", 5))
    assert "CLOSE_WAIT come at" not in facts
    assert "until it can accept no more" not in facts


def test_less_than_a_tenth_of_the_owners_descriptors_is_a_warning(stage: Stage) -> None:
    server, client, _ = stage.connected(4)
    server.do("limit_descriptors", 50)
    client.do("shut")
    assert stage.until_told("close-wait-eof-unread", 4).severity is Severity.WARNING


def test_of_two_owners_each_is_told_apart(stage: Stage) -> None:
    first, client, _ = stage.connected(2)
    second = stage.process("drip")
    client.connect(second.listen(), 3)
    second.do("accept", 3)
    client.do("shut")
    stage.let_age(State.CLOSE_WAIT)
    found = of_rule(stage.check(), "close-wait-eof-unread")
    assert [len(finding.connections) for finding in found] == [3, 2]
    assert [str(owner) in finding.summary for owner, finding in zip((second, first), found, strict=True)] == [True] * 2


def test_processes_of_one_name_are_one_owner_and_the_worst_of_them_is_named(stage: Stage) -> None:
    workers = [stage.process("worker") for _ in range(2)]
    client = stage.process("visitor")
    for count, worker in enumerate(workers, 1):
        client.connect(worker.listen(), count)
        worker.do("accept", count)
    client.do("shut")
    stage.let_age(State.CLOSE_WAIT)
    found = the_one(stage.check(), "close-wait-eof-unread")
    assert "worker (2 processes)" in found.summary
    assert evidence(found)["most in pid"] == f"{workers[1].pid} (2), {workers[0].pid} (1)"


def test_a_client_whose_pool_keeps_what_the_server_closed_is_named_with_its_peer(stage: Stage) -> None:
    server, client, at = stage.connected(2)
    server.do("shut")
    found = stage.until_told("close-wait-eof-unread", 2)
    assert str(client) in found.summary
    facts = evidence(found)
    assert facts["peers"] == f"{at} (2)"
    assert "listener" not in facts


def test_ipv6_connections_are_told_with_their_listener(stage: Stage) -> None:
    server, client, at = stage.connected(1, "::1")
    client.do("shut")
    found = stage.until_told("close-wait-eof-unread", 1)
    assert evidence(found)["listener"] == f"[::1]:{at.port} (1)"
    assert evidence(found)["clients"] == "[::1] (1)"
    assert str(server) in found.summary


def test_what_epoll_sets_and_threads_do_about_the_suspects_is_told(stage: Stage) -> None:
    server, client, _ = stage.connected(3)
    server.do("watch", 1)
    client.do("shut")
    found = stage.until_told("close-wait-eof-unread", 3)
    assert evidence(found)["watched by an epoll set"] == "1 of 3 looked at"


def test_close_wait_whose_age_keepalive_answers_hide_is_told_from_a_pile_on(stage: Stage) -> None:
    server, client, _ = stage.connected(20)
    server.do("keep_alive", 1)
    client.do("shut")
    server.do("read")
    stage.let_age(State.CLOSE_WAIT, SECOND * 3 // 10)
    until(lambda: _youngest(stage) < SECOND // 2 and _oldest_at_most(stage) > SECOND, "a probe to be answered")
    found = the_one(stage.check(min_age_ns=SECOND), "close-wait-not-closed")
    assert evidence(found)["age hidden by keepalive answers"] == 20


def test_a_few_with_keepalive_that_look_young_are_given_the_benefit_of_the_doubt(stage: Stage) -> None:
    server, client, _ = stage.connected(19)
    server.do("keep_alive", 1)
    client.do("shut")
    server.do("read")
    until(lambda: _youngest(stage) < SECOND // 2 and _oldest_at_most(stage) > SECOND, "a probe to be answered")
    assert not [rule for rule in rules(stage.check(min_age_ns=SECOND)) if rule in CAUSES]


def _youngest(stage: Stage) -> int:
    return int(stage.rows(State.CLOSE_WAIT).values("age_ns").max(initial=0))


def _oldest_at_most(stage: Stage) -> int:
    return int(stage.rows(State.CLOSE_WAIT).values("age_most_ns").max(initial=0))


def test_the_default_age_is_a_minute(stage: Stage) -> None:
    assert MOMENT < MINUTE
    _, client, _ = stage.connected(1)
    client.do("shut")
    stage.let_age(State.CLOSE_WAIT)
    from lastack import Thresholds

    assert Thresholds().min_age_ns == MINUTE
