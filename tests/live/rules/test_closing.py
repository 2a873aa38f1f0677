"""FIN_WAIT_1, FIN_WAIT_2, CLOSING and LAST_ACK on real sockets: closes that do not come to their end."""

from __future__ import annotations

from typing import Any, Final

import pytest

from lastack.linux import sysctl
from lastack.model.finding import Severity
from lastack.model.state import State
from lastack.model.time import MINUTE

from .situations import MOMENT, Puppet, Stage, advice, evidence, of_rule, rules, the_one

FEW: Final[dict[str, Any]] = {"pile": 3}
PILES = ("fin-wait-1-pile", "last-ack-pile", "closing-pile")


@pytest.mark.rule("fin-wait-2-owned")
@pytest.mark.silent("fin-wait-2-orphaned")
def test_a_process_that_waits_for_the_peers_fin_for_ever_is_named_and_who_it_waits_for(stage: Stage) -> None:
    server, client, at = stage.connected(3)
    client.do("shut")
    found = stage.until_told("fin-wait-2-owned", 3)
    assert found.severity is Severity.INFO
    assert found.summary.startswith(f"3 connections are in FIN_WAIT_2 held by {client}")
    facts = evidence(found)
    assert facts["other end, in CLOSE_WAIT on this host"] == f"{server} (3)"
    assert facts["peers"] == f"{at} (3)"
    assert "read time-out" in advice(found)
    assert any("tcp_fin_timeout" in line for line in found.useless)
    assert not of_rule(stage.report, "fin-wait-2-orphaned")


@pytest.mark.rule("fin-wait-2-owned")
def test_twenty_that_wait_for_a_fin_are_a_warning(stage: Stage) -> None:
    _, client, _ = stage.connected(20)
    client.do("shut")
    assert stage.until_told("fin-wait-2-owned", 20).severity is Severity.WARNING


@pytest.mark.silent("fin-wait-2-owned")
def test_a_young_half_closed_connection_is_lawful(stage: Stage) -> None:
    _, client, _ = stage.connected(20)
    client.do("shut")
    stage.let_age(State.FIN_WAIT_2)
    assert of_rule(stage.check(), "fin-wait-2-owned")
    assert rules(stage.check(min_age_ns=MINUTE)) == []


@pytest.mark.silent("fin-wait-2-owned")
def test_a_half_closed_connection_that_still_receives_is_at_work(stage: Stage) -> None:
    server, client, _ = stage.connected(2)
    client.do("shut")
    stage.until_told("fin-wait-2-owned", 2)
    server.do("send", 100)
    assert not of_rule(stage.check(min_age_ns=2 * MOMENT), "fin-wait-2-owned")


@pytest.mark.rule("fin-wait-2-orphaned")
@pytest.mark.silent("fin-wait-2-owned")
def test_orphans_in_fin_wait_2_end_by_the_setting_and_the_process_they_wait_for_is_named(stage: Stage) -> None:
    server, client, at = stage.connected(50)
    client.do("close")
    stage.await_state(State.FIN_WAIT_2, 50)
    report = stage.check()
    found = the_one(report, "fin-wait-2-orphaned")
    assert found.severity is Severity.INFO
    assert found.summary.startswith("50 connections are in FIN_WAIT_2 that no process owns")
    facts = evidence(found)
    assert facts["tcp_fin_timeout"] == 60
    assert facts["other end, in CLOSE_WAIT on this host"] == f"{server} (50)"
    assert facts["peers"] == f"{at} (50)"
    assert "tcp_fin_timeout" in advice(found)
    assert not of_rule(report, "fin-wait-2-owned")


@pytest.mark.root
@pytest.mark.rule("fin-wait-2-orphaned")
def test_orphans_in_fin_wait_2_are_told_the_setting_as_it_is(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_fin_timeout", 7)
    _, client, _ = stage.connected(2)
    client.do("close")
    stage.await_state(State.FIN_WAIT_2, 2)
    found = the_one(stage.check(fin_wait_2_notable=2), "fin-wait-2-orphaned")
    assert evidence(found)["tcp_fin_timeout"] == 7
    assert "(7 s)" in found.summary


@pytest.mark.silent("fin-wait-2-orphaned")
def test_a_few_orphans_in_fin_wait_2_are_not_worth_a_word(stage: Stage) -> None:
    _, client, _ = stage.connected(49)
    client.do("close")
    stage.await_state(State.FIN_WAIT_2, 49)
    assert not of_rule(stage.check(), "fin-wait-2-orphaned")


def unanswered(stage: Stage, state: State, count: int) -> Puppet:
    """A server with that many connections in a state where its FIN is not acknowledged."""
    server, client, _ = stage.connected(count)
    if state is State.LAST_ACK:
        client.do("shut")
        server.do("read")
        client.do("deafen")
        server.do("close")
    elif state is State.FIN_WAIT_1:
        client.do("deafen")
        server.do("close")
    else:  # the FINs cross: neither side hears the other's, until the server hears one sent again
        client.do("deafen")
        server.do("deafen")
        client.do("shut")
        server.do("shut")
        server.do("hear")
    stage.await_state(state, count)
    return server


@pytest.mark.root  # whose sockets may be made deaf on every kernel
@pytest.mark.parametrize(
    ("state", "rule", "orphaned"),
    [
        pytest.param(State.FIN_WAIT_1, "fin-wait-1-pile", 3, marks=pytest.mark.rule("fin-wait-1-pile")),
        pytest.param(State.LAST_ACK, "last-ack-pile", 3, marks=pytest.mark.rule("last-ack-pile")),
        pytest.param(State.CLOSING, "closing-pile", 0, marks=pytest.mark.rule("closing-pile")),
    ],
)
def test_fins_sent_again_and_again_are_a_pile(stage: Stage, state: State, rule: str, orphaned: int) -> None:
    unanswered(stage, state, 3)
    found = stage.until_told(rule, 3, min_age_ns=MINUTE, **FEW)  # not for their age
    assert found.severity is Severity.WARNING
    assert found.summary == f"3 connections are in {state.name}: the peers do not acknowledge the FIN"
    facts = evidence(found)
    assert int(facts["sent again, at most"]) >= 1
    assert facts["not acknowledged"] == 3  # a FIN counts one
    assert facts["owned by no process"] == orphaned
    assert "behind a zero window" not in facts
    assert "tcp_orphan_retries" in advice(found)
    assert any("tcp_fin_timeout" in line for line in found.useless)


@pytest.mark.root
@pytest.mark.silent(*PILES)
@pytest.mark.parametrize("state", [State.FIN_WAIT_1, State.LAST_ACK, State.CLOSING])
def test_two_where_three_are_a_pile_are_none(stage: Stage, state: State) -> None:
    unanswered(stage, state, 2)
    stage.until_told(f"{state.name.lower().replace('_', '-')}-pile", 2, pile=2)
    assert not [rule for rule in rules(stage.check(**FEW)) if rule in PILES]


@pytest.mark.silent("fin-wait-1-pile")
def test_data_that_a_slow_peer_is_still_taking_is_no_pile(stage: Stage) -> None:
    server, _, _ = stage.connected(3)
    server.do("small_buffers", 16_384)
    server.do("fill")
    server.do("close")
    stage.await_state(State.FIN_WAIT_1, 3)
    assert not of_rule(stage.check(min_age_ns=MINUTE, **FEW), "fin-wait-1-pile")


@pytest.mark.rule("fin-wait-1-pile")
def test_peers_that_keep_their_window_shut_are_told_from_silent_ones(stage: Stage) -> None:
    server, _, _ = stage.connected(3)
    server.do("small_buffers", 16_384)
    server.do("fill")
    server.do("close")
    stage.await_state(State.FIN_WAIT_1, 3)
    found = stage.until_told("fin-wait-1-pile", 3, **FEW)
    assert found.summary == "3 connections are in FIN_WAIT_1: the peers keep their receive window shut"
    facts = evidence(found)
    assert facts["behind a zero window"] == 3
    assert int(facts["not acknowledged"]) > 3


@pytest.mark.root
def test_how_long_an_orphan_is_kept_is_told_from_the_setting(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_orphan_retries", 1)
    unanswered(stage, State.LAST_ACK, 3)
    found = stage.until_told("last-ack-pile", 3, **FEW)
    assert evidence(found)["given up after"] == "1.5 s"
    stage.await_state(State.LAST_ACK, 0)  # and so they are, within the time that a test waits
