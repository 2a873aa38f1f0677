"""ESTABLISHED connections that say nothing, on real sockets: without keepalive, or with one that comes too late."""

from __future__ import annotations

from typing import Any, Final

import pytest

from lastack.model.finding import Severity
from lastack.model.state import State
from lastack.model.time import MILLISECOND, MINUTE, SECOND

from .situations import LOOPBACK, Puppet, Stage, advice, evidence, of_rule, rules, the_one

IDLE: Final[dict[str, Any]] = {"idle_ns": 100 * MILLISECOND}
ALONE, TOO_SLOW = "established-idle-no-keepalive", "keepalive-too-slow"
HERE, THERE = "10.77.0.1", "10.77.0.2"


def distant(stage: Stage, idle: int) -> Puppet:
    """A client at one address with two connections to another, whose keepalive probes come after `idle` seconds."""
    stage.add_address(HERE)
    stage.add_address(THERE)
    server, client = stage.process("far"), stage.process("patient")
    client.connect(server.listen(THERE), 2, HERE)
    server.do("accept", 2)
    client.do("keep_alive", idle)
    return client


@pytest.mark.rule("established-idle-no-keepalive")
@pytest.mark.silent("keepalive-too-slow")
def test_idle_connections_without_keepalive_are_told_for_each_owner(stage: Stage) -> None:
    server, client, at = stage.connected(3)
    client.do("send", 10)
    server.do("send", 10)
    stage.let_age(State.ESTABLISHED)
    report = stage.check(**IDLE)
    found = {str(finding.connections.value("command", 0)): finding for finding in of_rule(report, ALONE)}
    assert set(found) == {"leaky", "visitor"}
    assert found["visitor"].severity is Severity.INFO
    assert found["visitor"].summary.startswith(f"3 connections of {client} idle for over 100 ms without keepalive")
    assert evidence(found["visitor"])["peers"] == f"{at} (3)"
    assert evidence(found["leaky"])["listener"] == f"{at} (3)"
    assert evidence(found["leaky"])["clients"] == f"{LOOPBACK} (3)"
    assert "SO_KEEPALIVE" in advice(found["visitor"])
    assert any("tcp_keepalive_time alone" in line for line in found["visitor"].useless)
    histogram = found["visitor"].histogram
    assert histogram is not None
    assert sum(histogram.counts) == 3
    assert rules(report) == [ALONE, ALONE]


@pytest.mark.rule("established-idle-no-keepalive")
def test_connections_on_which_nothing_was_ever_said_are_idle_too(stage: Stage) -> None:
    stage.connected(2)
    stage.let_age(State.ESTABLISHED)
    found = of_rule(stage.check(**IDLE), ALONE)
    assert [len(finding.connections) for finding in found] == [2, 2]


@pytest.mark.silent("established-idle-no-keepalive")
def test_connections_in_use_are_not_idle(stage: Stage) -> None:
    _, client, _ = stage.connected(2)
    client.do("send", 10)
    stage.let_age(State.ESTABLISHED)
    assert of_rule(stage.check(**IDLE), ALONE)
    client.do("send", 10)
    assert not of_rule(stage.check(idle_ns=SECOND), ALONE)
    assert not of_rule(stage.check(), ALONE)  # 15 min


@pytest.mark.silent("established-idle-no-keepalive")
def test_idle_connections_with_keepalive_are_looked_after(stage: Stage) -> None:
    server, client, _ = stage.connected(2)
    for process in (server, client):
        process.do("keep_alive", 60)
    stage.let_age(State.ESTABLISHED)
    assert rules(stage.check(**IDLE)) == []


@pytest.mark.root
@pytest.mark.rule("keepalive-too-slow")
@pytest.mark.silent("established-idle-no-keepalive")
def test_keepalive_that_comes_later_than_a_load_balancer_forgets_is_told(stage: Stage) -> None:
    client = distant(stage, 600)
    report = stage.check()
    found = the_one(report, TOO_SLOW)
    assert found.severity is Severity.INFO
    assert found.summary.startswith(f"2 connections of {client} with keepalive slower than")
    facts = evidence(found)
    assert facts["silence before the next probe, up to"] in ("10 min 0 s", "9 min 59 s", "10 min")
    assert facts["tcp_keepalive_time"] == "7200"
    assert str(facts["peers"]).startswith(f"{THERE}:")
    assert "TCP_KEEPIDLE" in advice(found)
    assert not of_rule(report, ALONE)


@pytest.mark.root
@pytest.mark.silent("keepalive-too-slow")
def test_keepalive_in_time_is_not_told(stage: Stage) -> None:
    distant(stage, 300)
    assert rules(stage.check(forgotten_ns=4 * MINUTE)) == [TOO_SLOW]
    assert rules(stage.check()) == []


@pytest.mark.silent("keepalive-too-slow")
def test_nothing_forgets_a_connection_over_loopback(stage: Stage) -> None:
    _, client, _ = stage.connected(2)
    client.do("keep_alive", 600)
    assert not of_rule(stage.check(), TOO_SLOW)


@pytest.mark.root
@pytest.mark.silent("keepalive-too-slow")
def test_a_connection_from_an_address_to_itself_does_not_leave_the_host(stage: Stage) -> None:
    stage.add_address(HERE)
    _, client, _ = stage.connected(1, HERE)
    client.do("keep_alive", 600)
    assert rules(stage.check()) == []
