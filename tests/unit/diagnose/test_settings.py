"""The audit of settings as a pure function: kernels of former days, and what is set where nothing piles up."""

from __future__ import annotations

import pytest

from lastack.model.close import Closer, Timer
from lastack.model.finding import Severity
from lastack.model.host import Configured
from lastack.model.state import State
from lastack.model.time import MINUTE

from .build import connection, facts, found, listener, listening, told

RECYCLE = "net.ipv4.tcp_tw_recycle"


def test_tcp_tw_recycle_in_force_on_an_old_kernel_is_an_error() -> None:
    (finding,) = found([], facts(settings={"tcp_tw_recycle": "1"}, counters={"PAWSPassive": 12}))
    assert (finding.rule, finding.severity) == ("setting-tw-recycle", Severity.ERROR)
    assert told(finding) == {"tcp_tw_recycle": 1, "PAWSPassive so far": 12}


def test_an_old_kernel_with_tcp_tw_recycle_off_is_well_whatever_a_file_says() -> None:
    file = {RECYCLE: Configured("1", "/etc/sysctl.conf")}
    assert found([], facts(settings={"tcp_tw_recycle": "0"}, configured=file)) == []


@pytest.mark.parametrize(("value", "count"), [("1", 1), ("0", 0), ("", 0)])
def test_a_file_that_asks_a_new_kernel_for_tcp_tw_recycle_is_named(value: str, count: int) -> None:
    findings = found([], facts(configured={RECYCLE: Configured(value, "/etc/sysctl.d/9-old.conf")}))
    assert len(findings) == count
    assert all("/etc/sysctl.d/9-old.conf" in each.summary for each in findings)


@pytest.mark.parametrize(
    ("limit", "somaxconn", "configured", "speaks"),
    [
        (128, "65535", {}, True),
        (128, "4096", {}, False),
        (128, "4096", {"net.core.somaxconn": Configured("4096", "/etc/sysctl.conf")}, True),
        (5, "128", {}, False),
        (65_535, "65535", {}, False),
        (65_535, "1024", {}, False),
        (128, "", {}, False),
    ],
)
def test_somaxconn_is_spoken_of_where_somebody_raised_it_above_the_limit(
    limit: int, somaxconn: str, configured: dict[str, Configured], speaks: bool
) -> None:
    known = facts(listeners=(listener(limit, limit),), settings={"somaxconn": somaxconn}, configured=configured)
    rules = [each.rule for each in found([listening()], known)]
    assert ("setting-somaxconn-after-listen" in rules) is speaks


@pytest.mark.parametrize(("without", "with_it", "speaks"), [(2, 2, True), (1, 2, False), (0, 3, False)])
def test_keepalive_is_unused_where_most_idle_connections_are_without(without: int, with_it: int, speaks: bool) -> None:
    rows = [connection(number=n, age_ns=60 * MINUTE) for n in range(without)]
    rows += [connection(number=10 + n, age_ns=60 * MINUTE, timer=Timer.KEEPALIVE) for n in range(with_it)]
    rules = [each.rule for each in found(rows, facts(settings={"tcp_keepalive_time": "300"}))]
    assert ("setting-keepalive-unused" in rules) is speaks


def test_a_mix_of_clients_and_a_server_is_not_called_a_servers() -> None:
    served = [connection(State.TIME_WAIT, n) for n in range(1_000)]
    went = [connection(State.TIME_WAIT, 2_000 + n, opened_by=Closer.LOCAL, listener=None) for n in range(100)]
    known = facts(settings={"tcp_tw_reuse": "1", "tcp_timestamps": "1"})
    rule = "setting-tw-reuse-server-side"
    assert rule in [each.rule for each in found(served + went[:99], known)]
    assert rule not in [each.rule for each in found(served + went, known)]


def test_settings_that_cannot_be_read_are_not_judged() -> None:
    rows = [connection(State.TIME_WAIT, n) for n in range(1_000)]
    assert [each.rule for each in found(rows, facts())] == ["time-wait-server-side"]
