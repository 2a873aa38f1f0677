"""Limits that end connections when they are reached: descriptors, orphans, TCP's memory, conntrack; on real sockets.

Orphans and memory have limits of the whole machine, which no test may lower, and which show in its first network only:
the tests lower the thresholds, and look from there.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

import lastack
from lastack.diagnose.thresholds import Thresholds
from lastack.linux import namespaces, sysctl
from lastack.live import facts as kernel
from lastack.model.finding import Severity
from lastack.model.host import Usage
from lastack.model.report import Report
from lastack.model.state import State

from .conntrack import follow_connections
from .situations import Stage, advice, evidence, of_rule, rules, the_one, until

NOTHING = "sport = :1 and dport = :1"  # of the machine's own connections


@pytest.mark.rule("descriptors-near-limit")
@pytest.mark.parametrize(("used", "severity"), [(80, Severity.WARNING), (94, Severity.WARNING), (95, Severity.ERROR)])
def test_a_process_with_few_descriptors_left_is_named_with_its_leak(
    stage: Stage, used: int, severity: Severity
) -> None:
    server, client, _ = stage.connected(4)
    server.do("limit_descriptors", 100, used)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 4)
    found = the_one(stage.check(), "descriptors-near-limit")
    assert found.severity is severity
    assert found.summary.startswith(f"{server.name} (pid {server.pid}")
    assert f"has {used} of 100 descriptors open" in found.summary
    facts = evidence(found)
    assert facts["descriptors"] == f"{used} of 100"
    assert facts["connections among them"] == 4
    assert facts["in CLOSE_WAIT"] == 4
    assert "Mend the CLOSE_WAIT leak first" in advice(found)
    assert any("fs.file-max" in line for line in found.useless)


@pytest.mark.rule("descriptors-near-limit")
def test_a_process_that_only_listens_is_named_too_and_no_leak_is_claimed(stage: Stage) -> None:
    server = stage.process("tight")
    server.listen()
    server.do("limit_descriptors", 20, 18)
    found = the_one(stage.check(), "descriptors-near-limit")
    assert f"tight (pid {server.pid}" in found.summary
    assert "leak" not in found.advice[0].do


@pytest.mark.silent("descriptors-near-limit")
def test_a_process_with_a_quarter_of_its_descriptors_left_is_not_named(stage: Stage) -> None:
    server, _, _ = stage.connected(4)
    server.do("limit_descriptors", 100, 79)
    assert not of_rule(stage.check(), "descriptors-near-limit")


@pytest.mark.silent("descriptors-near-limit")
def test_a_process_without_connections_is_not_named_though_its_child_has_some(stage: Stage) -> None:
    server, _, _ = stage.connected(2)
    server.do("spawn")
    server.do("limit_descriptors", 20, 19)
    assert of_rule(stage.check(), "descriptors-near-limit")
    server.do("close")
    server.do("stop_listening")
    server.do("limit_descriptors", 20, 19)
    assert stage.count(State.ESTABLISHED) == 4  # both ends of two
    assert not of_rule(stage.check(), "descriptors-near-limit")


def machine(**thresholds: float) -> Report:
    """What is said of the machine as a whole, in its first network, and of none of its connections."""
    with namespaces.entered(_first()):
        return lastack.check(where=NOTHING, thresholds=Thresholds(**thresholds), pause_ns=0)  # type: ignore[arg-type]


def usage_of(what: str) -> tuple[int, int]:
    """How much of a limit of the machine is used, and the limit."""
    with namespaces.entered(_first()):
        usage: Usage = getattr(kernel, what)()
    if usage.used is None or usage.limit is None:
        pytest.skip(f"{what}: the limit shows in the machine's first network only, which this is not")
    return usage.used, usage.limit


def _first() -> namespaces.Namespace:
    """The network where the tests began: that of the process that started them."""
    return namespaces.choose(str(os.getppid()))[0]


def orphaned(stage: Stage, count: int) -> None:
    server, client, _ = stage.connected(count)
    client.do("shut")
    server.do("read")
    client.do("deafen")
    server.do("close")
    stage.await_state(State.LAST_ACK, count)


@pytest.mark.root
@pytest.mark.rule("orphans-near-limit")
def test_orphans_near_their_limit_are_told_and_what_they_wait_for(stage: Stage) -> None:
    before, limit = usage_of("orphans")
    orphaned(stage, 30)
    share = (before + 15) / limit
    found = the_one(machine(orphans_warning=share), "orphans-near-limit")
    assert found.severity is Severity.WARNING
    assert evidence(found)["tcp_max_orphans"] == limit
    assert int(evidence(found)["used"]) >= before + 15
    assert "tcp_orphan_retries" in advice(found)
    assert the_one(machine(orphans_warning=share, limit_error=share), found.rule).severity is Severity.ERROR


@pytest.mark.root
@pytest.mark.silent("orphans-near-limit")
def test_orphans_far_from_their_limit_are_headroom(stage: Stage) -> None:
    before, limit = usage_of("orphans")
    orphaned(stage, 30)
    report = machine(orphans_warning=(before + 1_000) / limit)
    assert not of_rule(report, "orphans-near-limit")
    gauges = {gauge.what: (gauge.used, gauge.limit) for gauge in report.headroom}
    assert gauges["orphans"][1] == limit


@pytest.mark.root
@pytest.mark.rule("tcp-memory-near-limit")
def test_memory_of_buffers_that_nobody_reads_is_told_when_it_nears_the_limit(stage: Stage) -> None:
    before, limit = usage_of("tcp_memory_pages")
    share = (before + 1_500) / limit
    assert not of_rule(machine(memory_warning=share), "tcp-memory-near-limit")
    server, _, _ = stage.connected(4)
    server.do("fill")
    until(lambda: bool(of_rule(machine(memory_warning=share), "tcp-memory-near-limit")), "1,500 pages in buffers")
    found = the_one(machine(memory_warning=share), "tcp-memory-near-limit")
    assert found.severity is Severity.WARNING
    assert evidence(found)["tcp_mem's third number"] == limit
    assert int(evidence(found)["used"]) >= before + 1_500
    assert "receive queues" in advice(found)
    assert the_one(machine(memory_warning=share, limit_error=share), found.rule).severity is Severity.ERROR


@pytest.mark.root
@pytest.mark.silent("tcp-memory-near-limit")
def test_memory_far_from_its_limit_is_headroom(stage: Stage) -> None:
    before, limit = usage_of("tcp_memory_pages")
    stage.connected(4)
    report = machine(memory_warning=(before + 20_000) / limit)
    assert not of_rule(report, "tcp-memory-near-limit")
    assert limit in [gauge.limit for gauge in report.headroom]


@pytest.fixture
def followed(stage: Stage) -> int:
    """A firewall in the test's network that follows connections; how many it may follow."""
    limit = int(sysctl.read("net.netfilter.nf_conntrack_max") or 0)
    if not limit:
        pytest.skip("this kernel does not track connections")
    try:
        follow_connections()
    except OSError as error:
        pytest.skip(f"no nftables in this kernel: {error}")
    return limit


@pytest.mark.root
@pytest.mark.rule("conntrack-near-limit")
def test_the_firewalls_table_is_told_when_it_nears_its_limit(stage: Stage, followed: int) -> None:
    stage.connected(4)
    found = the_one(stage.check(conntrack_warning=4 / followed), "conntrack-near-limit")
    assert found.severity is Severity.WARNING
    assert evidence(found) == {"used": 4, "nf_conntrack_max": followed}
    assert "table full" in found.summary
    assert "nf_conntrack_max" in advice(found)
    full: dict[str, Any] = {"conntrack_warning": 4 / followed, "limit_error": 4 / followed}
    assert the_one(stage.check(**full), found.rule).severity is Severity.ERROR


@pytest.mark.root
@pytest.mark.silent("conntrack-near-limit")
def test_a_firewalls_table_with_room_is_headroom(stage: Stage, followed: int) -> None:
    stage.connected(3)
    report = stage.check(conntrack_warning=4 / followed)
    assert not of_rule(report, "conntrack-near-limit")
    gauges = {gauge.what: (gauge.used, gauge.limit) for gauge in report.headroom}
    assert gauges["conntrack"] == (3, followed)


def test_a_filter_restricts_whose_descriptors_are_judged(stage: Stage) -> None:
    server, client, _ = stage.connected(2)
    server.do("limit_descriptors", 20, 19)
    assert rules(stage.check(where=f"process = {client.name}")) == []
    assert rules(stage.check(where=f"process = {server.name}")) == ["descriptors-near-limit"]
