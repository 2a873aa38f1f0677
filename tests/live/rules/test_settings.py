"""Settings that cannot do what people set them for, in a network where they are set so and the pile is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from lastack.diagnose import run as diagnosis
from lastack.linux import namespaces, sysctl
from lastack.live import snapshot
from lastack.live.configured import configured
from lastack.model.finding import Severity
from lastack.model.host import HostFacts
from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import MILLISECOND

from .situations import Stage, advice, evidence, of_rule, rules, the_one

pytestmark = pytest.mark.root  # who sets sysctls, in a network of the test's own

NOTABLE: Final[dict[str, Any]] = {"time_wait_notable": 10}
FIRST = 40_000


def piled_up(stage: Stage, count: int, close_first: bool = True) -> None:
    """TIME_WAIT at a client that closes first, or at its server."""
    server, client = stage.process("server"), stage.process("client")
    at = server.listen()
    server.do("serve", not close_first)
    assert client.do("visit", *at, count, "", 0 if close_first else FIRST) == count
    stage.await_state(State.TIME_WAIT, count)


@pytest.mark.rule("setting-fin-timeout-for-time-wait")
@pytest.mark.silent("setting-fin-timeout-above-60")
def test_a_lowered_fin_timeout_is_held_against_the_time_wait_there_are_all_the_same(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_fin_timeout", 15)
    piled_up(stage, 10)
    report = stage.check(**NOTABLE)
    found = the_one(report, "setting-fin-timeout-for-time-wait")
    assert found.severity is Severity.INFO
    assert found.summary.startswith("tcp_fin_timeout is 15 s, and there are 10 TIME_WAIT all the same")
    assert evidence(found) == {"tcp_fin_timeout": 15, "TIME_WAIT": 10, "FIN_WAIT_2 that it does act on": 0}
    assert "Set it back to 60" in advice(found)
    assert len(found.connections) == 10
    assert not of_rule(report, "setting-fin-timeout-above-60")


@pytest.mark.silent("setting-fin-timeout-for-time-wait")
@pytest.mark.parametrize(("seconds", "count"), [(60, 10), (15, 9)])
def test_a_fin_timeout_left_alone_or_without_a_pile_is_not_spoken_of(stage: Stage, seconds: int, count: int) -> None:
    sysctl.write("net.ipv4.tcp_fin_timeout", seconds)
    piled_up(stage, count)
    assert not of_rule(stage.check(**NOTABLE), "setting-fin-timeout-for-time-wait")


@pytest.mark.rule("setting-fin-timeout-above-60")
def test_a_fin_timeout_above_a_minute_is_told_where_orphans_pay_for_it(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_fin_timeout", 90)
    _, client, _ = stage.connected(3)
    client.do("close")
    stage.await_state(State.FIN_WAIT_2, 3)
    found = the_one(stage.check(), "setting-fin-timeout-above-60")
    assert found.severity is Severity.INFO
    assert "each of 3 orphaned FIN_WAIT_2 stays a full socket for 30 s" in found.summary
    assert evidence(found) == {"tcp_fin_timeout": 90, "orphaned FIN_WAIT_2": 3}


@pytest.mark.silent("setting-fin-timeout-above-60")
@pytest.mark.parametrize(("seconds", "what"), [(60, "close"), (90, "shut")])
def test_a_fin_timeout_of_a_minute_or_without_orphans_is_not_spoken_of(stage: Stage, seconds: int, what: str) -> None:
    sysctl.write("net.ipv4.tcp_fin_timeout", seconds)
    _, client, _ = stage.connected(3)
    client.do(what)
    stage.await_state(State.FIN_WAIT_2, 3)
    assert not of_rule(stage.check(), "setting-fin-timeout-above-60")


@pytest.mark.rule("setting-tw-reuse-without-timestamps")
@pytest.mark.silent("setting-tw-reuse-server-side")
def test_tcp_tw_reuse_without_timestamps_reuses_nothing(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_tw_reuse", 1)
    sysctl.write("net.ipv4.tcp_tw_reuse_delay", 1)
    sysctl.write("net.ipv4.tcp_timestamps", 0)
    sysctl.write("net.ipv4.ip_local_port_range", f"{FIRST} {FIRST + 19}")
    piled_up(stage, 20)
    stage.let_age(State.TIME_WAIT)
    report = stage.check()
    found = the_one(report, "setting-tw-reuse-without-timestamps")
    assert found.severity is Severity.WARNING
    told = evidence(found)
    assert told == {"tcp_tw_reuse": 1, "tcp_timestamps": 0, "TIME_WAIT of outgoing connections": 20}
    assert "tcp_timestamps=1" in advice(found)
    # And so it is: no port is taken over.
    assert the_one(report, "time-wait-ports-exhausted").severity is Severity.ERROR
    assert not of_rule(report, "setting-tw-reuse-server-side")


@pytest.mark.silent("setting-tw-reuse-without-timestamps")
@pytest.mark.parametrize(("reuse", "timestamps"), [(1, 1), (2, 0), (0, 0)])
def test_only_reuse_without_timestamps_is_spoken_of(stage: Stage, reuse: int, timestamps: int) -> None:
    sysctl.write("net.ipv4.tcp_tw_reuse", reuse)
    sysctl.write("net.ipv4.tcp_timestamps", timestamps)
    piled_up(stage, 5)
    assert rules(stage.check(**NOTABLE)) == []


@pytest.mark.rule("setting-tw-reuse-server-side")
def test_tcp_tw_reuse_does_nothing_for_accepted_connections(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_tw_reuse", 1)
    piled_up(stage, 10, close_first=False)
    found = the_one(stage.check(**NOTABLE), "setting-tw-reuse-server-side")
    assert found.severity is Severity.INFO
    assert evidence(found)["TIME_WAIT of accepted connections"] == 10
    assert "connect() only" in found.summary


@pytest.mark.silent("setting-tw-reuse-server-side")
@pytest.mark.parametrize(("reuse", "close_first"), [(1, True), (2, False)])
def test_tcp_tw_reuse_at_a_client_or_as_it_comes_is_not_spoken_of(stage: Stage, reuse: int, close_first: bool) -> None:
    sysctl.write("net.ipv4.tcp_tw_reuse", reuse)
    piled_up(stage, 10, close_first)
    assert not of_rule(stage.check(**NOTABLE), "setting-tw-reuse-server-side")


@pytest.mark.rule("setting-somaxconn-after-listen")
def test_somaxconn_raised_after_listen_does_not_reach_a_listener_under_pressure(stage: Stage) -> None:
    sysctl.write("net.core.somaxconn", 4)
    server, client = stage.process("busy"), stage.process("visitor")
    at = server.listen(backlog=1_000)
    client.connect(at, 3)
    sysctl.write("net.core.somaxconn", 1_000)
    found = the_one(stage.check(), "setting-somaxconn-after-listen")
    assert found.severity is Severity.INFO
    assert found.summary.startswith(f"somaxconn is 1,000, but the queue of {at} is bounded at 4")
    assert evidence(found)["somaxconn"] == 1_000
    assert evidence(found)["limit of this listener"] == 4
    assert "up to 1,001 connections wait instead of 5" in advice(found)


@pytest.mark.silent("setting-somaxconn-after-listen")
def test_somaxconn_raised_does_not_matter_to_a_listener_at_ease(stage: Stage) -> None:
    sysctl.write("net.core.somaxconn", 4)
    server, client = stage.process("calm"), stage.process("visitor")
    client.connect(server.listen(backlog=1_000), 2)
    sysctl.write("net.core.somaxconn", 1_000)
    assert rules(stage.check()) == []


@pytest.mark.silent("setting-somaxconn-after-listen")
def test_somaxconn_that_nobody_touched_is_not_spoken_of(stage: Stage) -> None:
    server, client = stage.process("busy"), stage.process("visitor")
    client.connect(server.listen(backlog=4), 3)
    assert rules(stage.check()) == ["accept-queue-filling"]


@pytest.mark.silent("setting-somaxconn-after-listen")
def test_somaxconn_raised_before_listen_reaches_it(stage: Stage) -> None:
    sysctl.write("net.core.somaxconn", 5)
    server, client = stage.process("busy"), stage.process("visitor")
    client.connect(server.listen(backlog=1_000), 4)
    assert rules(stage.check()) == ["accept-queue-filling"]


@pytest.mark.rule("setting-keepalive-unused")
@pytest.mark.silent("keepalive-too-slow")
def test_a_lowered_keepalive_time_does_nothing_for_sockets_without_keepalive(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_keepalive_time", 300)
    stage.connected(3)
    stage.let_age(State.ESTABLISHED)
    found = the_one(stage.check(idle_ns=100 * MILLISECOND), "setting-keepalive-unused")
    assert found.severity is Severity.INFO
    assert found.summary.startswith("tcp_keepalive_time is 300 s, but 6 of 6 idle connections have no keepalive")
    assert evidence(found) == {"tcp_keepalive_time": 300, "idle without a keepalive timer": 6}
    assert "SO_KEEPALIVE" in advice(found)


@pytest.mark.silent("setting-keepalive-unused")
@pytest.mark.parametrize(("seconds", "both"), [(7_200, False), (300, True)])
def test_a_keepalive_time_left_alone_or_made_use_of_is_not_spoken_of(stage: Stage, seconds: int, both: bool) -> None:
    sysctl.write("net.ipv4.tcp_keepalive_time", seconds)
    for process in stage.connected(3)[:2]:
        if both:
            process.do("keep_alive", 300)
    stage.let_age(State.ESTABLISHED)
    assert not of_rule(stage.check(idle_ns=100 * MILLISECOND), "setting-keepalive-unused")


@pytest.mark.rule("setting-tw-recycle")
def test_tcp_tw_recycle_in_a_configuration_file_is_told_with_the_file(stage: Stage, tmp_path: Path) -> None:
    facts = as_configured(tmp_path, "net.ipv4.tcp_tw_recycle = 1\n")
    (found,) = diagnosis.run(ConnectionTable(), facts)
    assert found.rule == "setting-tw-recycle"
    assert found.severity is Severity.INFO
    assert f"{tmp_path}/etc/sysctl.d/90-tuning.conf" in found.summary
    assert evidence(found)["configured"] == "1"


@pytest.mark.silent("setting-tw-recycle")
@pytest.mark.parametrize("line", ["net.ipv4.tcp_tw_recycle = 0", "#net.ipv4.tcp_tw_recycle = 1", ""])
def test_tcp_tw_recycle_that_nobody_asks_for_is_not_spoken_of(stage: Stage, tmp_path: Path, line: str) -> None:
    assert diagnosis.run(ConnectionTable(), as_configured(tmp_path, f"{line}\n")) == []


def as_configured(root: Path, text: str) -> HostFacts:
    """The facts of the test's network on a machine with this configuration file."""
    file = root / "etc/sysctl.d/90-tuning.conf"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return replace(snapshot.take([namespaces.own()])[0].facts, configured=configured(root))
