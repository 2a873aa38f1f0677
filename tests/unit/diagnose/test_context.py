"""What every rule is given: masks, times and ranges that follow from a table and the facts."""

from __future__ import annotations

import pytest

from lastack.diagnose.context import Context
from lastack.diagnose.thresholds import Thresholds
from lastack.model.close import Closer
from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import SECOND

from .build import NOW, connection, context, facts, listener, listening


def test_a_host_without_connections_has_nothing_to_judge() -> None:
    empty = Context(ConnectionTable(), facts(listeners=(listener(),)), Thresholds())
    assert len(empty.table) == 0
    assert empty.listeners == ()
    assert not empty.leaves_host.any()


def test_listening_sockets_are_judged_as_listeners_and_not_as_connections() -> None:
    judged = context([listening(), connection()], facts(listeners=(listener(),)))
    assert len(judged.table) == 1
    assert [str(each) for each in judged.listeners] == ["10.0.0.1:80"]


def test_listeners_that_a_filter_left_out_are_not_judged() -> None:
    judged = context([listening(inode=2)], facts(listeners=(listener(inode=1), listener(inode=2, queue=9))))
    assert [each.queue for each in judged.listeners] == [9]


@pytest.mark.parametrize(
    ("local", "remote", "leaves"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "127.255.0.9", False),
        ("::1", "::1", False),
        ("10.0.0.1", "10.0.0.1", False),
        ("2001:db8::1", "2001:db8::1", False),
        ("10.0.0.1", "10.0.0.9", True),
        ("10.0.0.1", "126.255.255.255", True),
        ("10.0.0.1", "128.0.0.1", True),
        ("2001:db8::1", "2001:db8::9", True),
        ("::7f00:1", "::7f00:2", True),  # not an IPv4 address at all
    ],
)
def test_a_connection_to_loopback_or_to_itself_does_not_leave_the_host(local: str, remote: str, leaves: bool) -> None:
    judged = context([connection(local_addr=local, remote_addr=remote)])
    assert judged.leaves_host.tolist() == [leaves]


def test_silence_is_since_the_latest_of_the_instants_and_nothing_where_none_is_known() -> None:
    both = connection(last_data_received_ns=NOW - 5 * SECOND, last_data_sent_ns=NOW - 3 * SECOND)
    one = connection(last_data_received_ns=NOW - 9 * SECOND)
    judged = context([both, one, connection()])
    silence = judged.silence("last_data_received_ns", "last_data_sent_ns")
    assert (silence // SECOND).tolist() == [3, 9, 0]


def test_a_connection_on_which_no_data_ever_went_is_idle_since_it_began() -> None:
    spoke = connection(age_ns=90 * SECOND, last_data_sent_ns=NOW - 3 * SECOND)
    judged = context([spoke, connection(age_ns=90 * SECOND)])
    assert (judged.idle_for // SECOND).tolist() == [3, 90]


def test_what_remains_of_a_timer_is_never_negative() -> None:
    rows = [connection(timer_expires_ns=NOW + 4), connection(timer_expires_ns=NOW - 4), connection()]
    assert context(rows).remaining().tolist() == [4, 0, 0]


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, 28_232),
        ({"ip_local_port_range": "1000\t1999"}, 1_000),
        ({"ip_local_port_range": "1000 1999", "ip_local_reserved_ports": "1000,1500-1509,8080"}, 989),
        ({"ip_local_port_range": "1000 1999", "ip_local_reserved_ports": "900-1099,1050-1150"}, 849),
        ({"ip_local_port_range": "1000 1999", "ip_local_reserved_ports": "?,1-x,-,"}, 1_000),
    ],
)
def test_the_range_is_what_connect_may_choose_from(settings: dict[str, str], size: int) -> None:
    assert context([connection()], facts(settings=settings)).range_size() == size


def test_ports_outside_the_range_are_not_of_it() -> None:
    rows = [connection(local_port=port) for port in (999, 1_000, 1_999, 2_000)]
    judged = context(rows, facts(settings={"ip_local_port_range": "1000 1999"}))
    assert judged.in_range().tolist() == [False, True, True, False]


def test_who_opened_is_known_or_neither() -> None:
    judged = context([connection(opened_by=who) for who in (Closer.LOCAL, Closer.REMOTE, None)])
    assert judged.opened_here.tolist() == [True, False, False]
    assert judged.accepted.tolist() == [False, True, False]


def test_an_inode_of_zero_is_nobodys_and_an_unknown_one_neither() -> None:
    judged = context([connection(inode=each) for each in (5, 0, None)])
    assert judged.owned.tolist() == [True, False, False]
    assert judged.state(State.ESTABLISHED).all()
