"""TIME_WAIT on real sockets: the ports it takes from who connects, the overflow of its limit, and who is harmless."""

from __future__ import annotations

from typing import Any, Final

import pytest

from lastack.linux import namespaces, sysctl
from lastack.live import facts as kernel
from lastack.live.transitions.tap import Tap
from lastack.model.finding import Severity
from lastack.model.state import State

from ..allowed import with_bpf
from .situations import LOOPBACK, Puppet, Stage, advice, evidence, of_rule, rules, the_one

PORTS = ("time-wait-ports-filling", "time-wait-ports-exhausted")
FIRST, RANGE = 40_000, 100
NOW: Final[dict[str, Any]] = {"exhaustion_soon_ns": 0}
"""All in these tests is born in a moment, at a rate that would fill any range: look at the present alone."""

pytestmark = pytest.mark.root


@pytest.fixture
def hasty(stage: Stage) -> Puppet:
    """A client that closes first, in a network with 100 ports for it where no TIME_WAIT is used again."""
    sysctl.write("net.ipv4.ip_local_port_range", f"{FIRST} {FIRST + RANGE - 1}")
    sysctl.write("net.ipv4.tcp_tw_reuse", 0)
    return stage.process("hasty")


def visited(stage: Stage, client: Puppet, count: int) -> str:
    """Have the client visit a server that often; where the server listens."""
    server = stage.process("honest")
    at = server.listen()
    server.do("serve", False)
    before = stage.count(State.TIME_WAIT)
    assert client.do("visit", *at, count) == count
    stage.await_state(State.TIME_WAIT, before + count)
    return str(at)


def reuse(stage: Stage, how: int) -> None:
    """Set tcp_tw_reuse, and wait until what there is in TIME_WAIT is old enough for it."""
    sysctl.write("net.ipv4.tcp_tw_reuse", how)
    sysctl.write("net.ipv4.tcp_tw_reuse_delay", 100)
    stage.let_age(State.TIME_WAIT)


@pytest.mark.rule("time-wait-ports-filling")
@pytest.mark.silent("time-wait-ports-exhausted")
def test_half_of_the_ports_towards_one_destination_are_a_warning(stage: Stage, hasty: Puppet) -> None:
    to = visited(stage, hasty, 50)
    report = stage.check(**NOW)
    found = the_one(report, "time-wait-ports-filling")
    assert found.severity is Severity.WARNING
    assert found.summary.startswith(f"50% of the ports from {LOOPBACK} to {to} are taken, 50 by TIME_WAIT")
    facts = evidence(found)
    assert facts["ports taken"] == "50 of 100"
    assert facts["in TIME_WAIT"] == 50
    assert facts["made"] == 5.0  # 50 in the last ten seconds
    assert facts["this range allows"] == 2  # 100 ports / 60 s
    assert len(found.connections) == 50
    assert "tcp_tw_reuse=1" in advice(found)
    assert "ip_local_port_range" in advice(found)
    assert any("tcp_fin_timeout" in line for line in found.useless)
    assert not of_rule(report, "time-wait-ports-exhausted")


@pytest.mark.silent(*PORTS)
def test_less_than_half_of_the_ports_is_nothing_to_speak_of(stage: Stage, hasty: Puppet) -> None:
    visited(stage, hasty, 45)
    assert rules(stage.check()) == []


@pytest.mark.rule("time-wait-ports-exhausted")
@pytest.mark.silent("time-wait-ports-filling")
def test_connect_fails_where_the_report_says_that_no_port_is_left(stage: Stage, hasty: Puppet) -> None:
    server = stage.process("honest")
    at = server.listen()
    server.do("serve", False)
    assert hasty.do("visit", *at, RANGE + 1) == RANGE  # EADDRNOTAVAIL
    report = stage.check()
    found = the_one(report, "time-wait-ports-exhausted")
    assert found.severity is Severity.ERROR
    assert found.summary.endswith("connect() fails with EADDRNOTAVAIL")
    assert evidence(found)["ports taken"] == "100 of 100"
    assert evidence(found)["until none is left"] == "0 ms"
    assert not of_rule(report, "time-wait-ports-filling")


@pytest.mark.rule("time-wait-ports-exhausted")
def test_ports_that_will_be_gone_within_a_minute_are_an_error_already(stage: Stage, hasty: Puppet) -> None:
    visited(stage, hasty, 60)
    # 60 in less than a second of births: at 60 a second the 40 left are gone at once, long before any of the 60 ends.
    found = the_one(stage.check(births_window_ns=10**9), "time-wait-ports-exhausted")
    assert found.severity is Severity.ERROR
    assert " in " in found.summary.partition("EADDRNOTAVAIL")[2]
    assert hasty.do("visit", *_at(found.summary), 41) == 40


@pytest.mark.rule("time-wait-ports-exhausted")
def test_a_range_nearly_gone_is_an_error_that_does_not_claim_what_has_not_come(stage: Stage, hasty: Puppet) -> None:
    visited(stage, hasty, 95)
    stage.let_age(State.TIME_WAIT)
    found = the_one(stage.check(births_window_ns=1), "time-wait-ports-exhausted")  # none born: it will never be full
    assert found.severity is Severity.ERROR
    assert "EADDRNOTAVAIL" not in found.summary
    assert hasty.do("visit", *_at(found.summary), 5) == 5


@pytest.mark.rule("time-wait-ports-filling")
@pytest.mark.silent("time-wait-ports-exhausted")
def test_with_tcp_tw_reuse_a_taken_range_is_slow_and_not_exhausted(stage: Stage, hasty: Puppet) -> None:
    to = visited(stage, hasty, RANGE)
    reuse(stage, 1)
    report = stage.check()
    found = the_one(report, "time-wait-ports-filling")
    assert found.severity is Severity.WARNING
    assert evidence(found)["tcp_tw_reuse"] == "100 of them can be taken over now"
    assert "Set net.ipv4.tcp_tw_reuse=1" not in advice(found)
    assert not of_rule(report, "time-wait-ports-exhausted")
    assert to in found.summary
    assert hasty.do("visit", *_at(found.summary), 30) == 30  # and so it is


@pytest.mark.rule("time-wait-ports-filling")
@pytest.mark.parametrize(("source", "addr"), [("", LOOPBACK), (LOOPBACK, "10.77.0.1"), ("10.77.0.1", LOOPBACK)])
def test_the_default_of_tcp_tw_reuse_takes_over_where_either_end_is_loopback(
    stage: Stage, hasty: Puppet, source: str, addr: str
) -> None:
    stage.add_address("10.77.0.1")
    server = stage.process("honest")
    at = server.listen(addr)
    server.do("serve", False)
    assert hasty.do("visit", *at, RANGE, source) == RANGE
    reuse(stage, 2)
    found = the_one(stage.check(), "time-wait-ports-filling")
    assert found.severity is Severity.WARNING
    assert hasty.do("visit", *at, 10, source) == 10


@pytest.mark.rule("time-wait-ports-exhausted")
def test_the_default_of_tcp_tw_reuse_does_not_help_off_loopback(stage: Stage, hasty: Puppet) -> None:
    stage.add_address("10.77.0.1")
    server = stage.process("honest")
    at = server.listen("10.77.0.1")
    server.do("serve", False)
    assert hasty.do("visit", *at, RANGE) == RANGE
    reuse(stage, 2)
    found = the_one(stage.check(), "time-wait-ports-exhausted")
    assert found.severity is Severity.ERROR
    assert hasty.do("visit", *at, 1) == 0


@pytest.mark.silent(*PORTS)
def test_ports_are_counted_for_each_destination(stage: Stage, hasty: Puppet) -> None:
    visited(stage, hasty, 45)
    visited(stage, hasty, 45)
    assert rules(stage.check()) == []


def test_reserved_ports_are_not_counted_as_free(stage: Stage, hasty: Puppet) -> None:
    sysctl.write("net.ipv4.ip_local_reserved_ports", f"{FIRST}-{FIRST + 59}")
    visited(stage, hasty, 20)
    assert evidence(the_one(stage.check(**NOW), "time-wait-ports-filling"))["ports taken"] == "20 of 40"


@with_bpf
def test_who_has_closed_is_named_while_somebody_watches(stage: Stage, hasty: Puppet) -> None:
    with Tap(frozenset({namespaces.own().inode})):
        visited(stage, hasty, 60)
        found = the_one(stage.check(**NOW), "time-wait-ports-filling")
    facts = evidence(found)
    assert facts["closed by"] == f"{hasty}: 60"
    assert "likely made by" not in facts


def test_who_still_has_a_connection_there_is_named_as_the_likely_maker(stage: Stage, hasty: Puppet) -> None:
    server = stage.process("honest")
    at = server.listen()
    server.do("serve", False, 0.001)
    hasty.connect(at)
    assert hasty.do("visit", *at, 60) == 60
    found = the_one(stage.check(**NOW), "time-wait-ports-filling")
    assert evidence(found)["likely made by"] == str(hasty)
    assert evidence(found)["ports taken"] == "61 of 100"


@pytest.mark.rule("time-wait-server-side")
@pytest.mark.silent(*PORTS)
def test_a_server_that_closes_first_is_told_its_cost_and_that_it_is_harmless(stage: Stage, hasty: Puppet) -> None:
    server = stage.process("first")
    at = server.listen()
    server.do("serve", True)
    assert hasty.do("visit", *at, 90, "", FIRST) == 90
    stage.await_state(State.TIME_WAIT, 90)
    report = stage.check(time_wait_notable=90)
    found = the_one(report, "time-wait-server-side")
    assert found.severity is Severity.INFO
    assert found.summary.startswith(f"90 TIME_WAIT at {at}: this server closes first. Harmless")
    facts = evidence(found)
    assert facts["TIME_WAIT"] == 90
    assert facts["made"] == 9.0
    assert facts["memory"] == 90 * 256
    assert facts["of tcp_max_tw_buckets"].startswith("90 of ")
    assert facts["listener"] == f"{at} (90)"
    assert any("tcp_tw_reuse" in line for line in found.useless)
    assert not [rule for rule in rules(report) if rule in PORTS]  # of 100 ports: the clients' own are free


@pytest.mark.rule("time-wait-server-side")
@pytest.mark.silent(*PORTS)
def test_time_wait_of_a_server_that_has_ended_are_still_a_servers(stage: Stage, hasty: Puppet) -> None:
    server = stage.process("first")
    at = server.listen()
    server.do("serve", True)
    assert hasty.do("visit", *at, 90, "", FIRST) == 90
    stage.await_state(State.TIME_WAIT, 90)
    server.end()
    report = stage.check(time_wait_notable=90)
    assert f"port {at.port} (nobody listens there now)" in the_one(report, "time-wait-server-side").summary


@pytest.mark.silent("time-wait-server-side")
def test_few_time_wait_at_a_listener_are_not_worth_a_word(stage: Stage, hasty: Puppet) -> None:
    server = stage.process("first")
    at = server.listen()
    server.do("serve", True)
    assert hasty.do("visit", *at, 20, "", FIRST) == 20
    stage.await_state(State.TIME_WAIT, 20)
    assert rules(stage.check(time_wait_notable=21)) == []


@pytest.mark.silent("time-wait-server-side")
def test_time_wait_of_a_client_is_not_said_to_be_a_servers(stage: Stage, hasty: Puppet) -> None:
    visited(stage, hasty, 40)
    assert rules(stage.check(time_wait_notable=10)) == []


@pytest.mark.rule("time-wait-buckets-overflow")
def test_the_limit_of_time_wait_is_an_error_where_new_ones_are_not_kept(stage: Stage, hasty: Puppet) -> None:
    sysctl.write("net.ipv4.tcp_max_tw_buckets", 10)
    server = stage.process("honest")
    at = server.listen()
    server.do("serve", False)
    assert hasty.do("visit", *at, 15) == 15
    stage.await_state(State.TIME_WAIT, 10)
    found = the_one(stage.check(), "time-wait-buckets-overflow")
    assert found.severity is Severity.ERROR
    assert found.summary == "TIME_WAIT fills 100% of tcp_max_tw_buckets: further connections are closed without it"
    told = evidence(found)
    assert told["TIME_WAIT and mini-sockets"] == 10
    assert told["tcp_max_tw_buckets"] == 10
    assert told["not kept so far"] == kernel.counters()["TCPTimeWaitOverflow"] > 0
    assert "at least to 20" in advice(found)


@pytest.mark.rule("time-wait-buckets-overflow")
def test_nearly_all_of_the_limit_is_a_warning(stage: Stage, hasty: Puppet) -> None:
    sysctl.write("net.ipv4.tcp_max_tw_buckets", 10)
    visited(stage, hasty, 8)
    found = the_one(stage.check(), "time-wait-buckets-overflow")
    assert found.severity is Severity.WARNING
    assert found.summary == "TIME_WAIT fills 80% of tcp_max_tw_buckets"
    assert evidence(found)["not kept so far"] == 0


@pytest.mark.silent("time-wait-buckets-overflow")
def test_room_for_time_wait_is_no_finding_and_told_as_headroom(stage: Stage, hasty: Puppet) -> None:
    sysctl.write("net.ipv4.tcp_max_tw_buckets", 10)
    visited(stage, hasty, 7)
    report = stage.check()
    assert rules(report) == []
    gauges = {gauge.what: (gauge.used, gauge.limit) for gauge in report.headroom}
    assert gauges["TIME_WAIT"] == (7, 10)
    assert gauges["ports"] == (7, RANGE)


def _at(summary: str) -> tuple[str, int]:
    """The destination that a summary names."""
    addr, _, port = summary.partition(" to ")[2].split()[0].rpartition(":")
    return addr, int(port)
