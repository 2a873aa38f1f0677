"""All rules together: their order, the words that every finding has, and that no table whatever stops them."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lastack.diagnose.context import Context
from lastack.diagnose.headroom import headroom
from lastack.diagnose.run import RULES, run
from lastack.diagnose.thresholds import Thresholds
from lastack.model.finding import Severity
from lastack.model.host import HostFacts, SecondLook, Usage
from lastack.model.record import ConnectionTable

from ..model.tables import any_table
from .build import NOW, close_wait, connection, facts, found, held, listener, process

TOUCHY = Thresholds(
    min_age_ns=0,
    close_wait_error=1,
    ports_warning=0,
    time_wait_notable=0,
    time_wait_full=0,
    fin_wait_2_notable=0,
    fin_wait_2_warning=0,
    pile=1,
    syn_queue_warning=0,
    accept_queue_warning=0,
    idle_ns=0,
    forgotten_ns=0,
    descriptors_warning=0,
)
NUMBERS = st.sampled_from(["", "0", "1", "2", "60", "61", "32768 60999", "1 0", "x", "-1", "99999999999999999999"])
SETTINGS = st.dictionaries(
    st.sampled_from(
        [
            "ip_local_port_range",
            "ip_local_reserved_ports",
            "somaxconn",
            "tcp_fin_timeout",
            "tcp_keepalive_time",
            "tcp_max_syn_backlog",
            "tcp_orphan_retries",
            "tcp_syncookies",
            "tcp_timestamps",
            "tcp_tw_recycle",
            "tcp_tw_reuse",
            "tcp_tw_reuse_delay",
        ]
    ),
    NUMBERS,
)


@st.composite
def any_facts(draw: st.DrawFn) -> HostFacts:
    usage = st.builds(Usage, st.none() | st.integers(0, 200), st.none() | st.integers(0, 100))
    cookies = st.frozensets(st.integers(0, 5), max_size=4)
    return facts(
        process(
            1, 4711, descriptors=draw(st.none() | st.integers(0, 9)), descriptor_limit=draw(st.none() | st.just(9))
        ),
        process(4711, 1, frozen=draw(st.booleans())),
        settings=draw(SETTINGS),
        counters=draw(st.dictionaries(st.sampled_from(["ListenOverflows", "ListenDrops"]), st.integers(0, 9))),
        listeners=(listener(draw(st.integers(0, 9)), draw(st.integers(0, 9))),),
        holders={0: held((1, 3), (4711, 3)), 1: held((1, 3))},
        second_look=draw(st.none() | st.builds(SecondLook, st.just(10**9), cookies, cookies)),
        conntrack=draw(usage),
        orphans=draw(usage),
        tcp_memory_pages=draw(usage),
        time_wait=draw(usage),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_table(), any_facts(), st.sampled_from([TOUCHY, Thresholds()]))
def test_no_table_and_no_facts_make_a_rule_fail(table: ConnectionTable, known: HostFacts, limits: Thresholds) -> None:
    for finding in run(table, known, limits):
        assert finding.rule in {rule for each in RULES for rule in each.ids}
        assert finding.summary
        assert finding.evidence
        assert len(finding.connections) <= len(table)
    for gauge in headroom(Context(table, known, limits)):
        assert gauge.share >= 0


def test_the_gravest_come_first_and_else_the_rules_order_stands() -> None:
    rows = [
        *close_wait(1),
        *(connection(number=50 + n, age_ns=10**13, last_ack_received_ns=NOW - 10**13) for n in range(2)),
    ]
    known = facts(process(), counters={"ListenOverflows": 3}, conntrack=Usage(100, 100))
    findings = found(rows, known)
    assert [each.rule for each in findings] == [
        "conntrack-near-limit",
        "close-wait-eof-unread",
        "established-idle-no-keepalive",
        "accept-queue-overflowed",
    ]
    assert [each.severity for each in findings] == [Severity.ERROR, Severity.WARNING, Severity.INFO, Severity.INFO]


def test_a_host_of_which_nothing_is_known_has_nothing_wrong() -> None:
    assert run(ConnectionTable(), HostFacts("host", "", NOW)) == []
