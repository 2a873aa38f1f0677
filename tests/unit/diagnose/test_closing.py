"""How long orphans are kept, and which of the stuck closes count, as pure functions."""

from __future__ import annotations

import pytest

from lastack.diagnose.closing import orphan_patience
from lastack.model.close import Closer, Timer
from lastack.model.state import State
from lastack.model.time import SECOND

from .build import NOW, Row, connection, facts, found, told


@pytest.mark.parametrize(("retries", "seconds"), [("1", 1.46), ("3", 6.45), ("8", 106.3), ("0", 106.3), ("", 106.3)])
def test_orphans_of_a_near_peer_are_kept_as_long_as_the_kernel_keeps_them(retries: str, seconds: float) -> None:
    assert orphan_patience(facts(settings={"tcp_orphan_retries": retries})) == pytest.approx(seconds * SECOND, rel=0.01)


@pytest.mark.parametrize(
    ("columns", "stuck"),
    [
        ({"age_ns": None, "retransmits": 0}, False),
        ({"age_ns": None, "retransmits": 1}, True),
        ({"age_ns": 60 * SECOND}, True),
        ({"age_ns": None, "timer": Timer.PROBE, "last_data_sent_ns": NOW - 59 * SECOND}, False),
        ({"age_ns": None, "timer": Timer.PROBE, "last_data_sent_ns": NOW - 60 * SECOND}, True),
        ({"age_ns": None, "timer": Timer.RETRANSMIT, "last_data_sent_ns": NOW - 60 * SECOND}, False),
    ],
)
@pytest.mark.parametrize("state", [State.FIN_WAIT_1, State.LAST_ACK, State.CLOSING])
def test_a_close_is_stuck_when_sent_again_old_or_before_a_shut_window(
    state: State, columns: dict[str, object], stuck: bool
) -> None:
    rows = [connection(state, n, inode=0, pid=None, command=None, **columns) for n in range(20)]
    assert len(found(rows)) == stuck
    assert found(rows[1:]) == []


def test_the_reason_is_that_of_most_of_them() -> None:
    silent = [connection(State.FIN_WAIT_1, n, retransmits=3, timer=Timer.RETRANSMIT) for n in range(10)]
    shut = [connection(State.FIN_WAIT_1, 100 + n, retransmits=3, timer=Timer.PROBE) for n in range(11)]
    (finding,) = found([*silent, *shut])
    assert finding.summary.endswith("the peers keep their receive window shut")
    assert told(finding)["behind a zero window"] == 11
    (finding,) = found([*silent, *shut[:10]])
    assert finding.summary.endswith("the peers do not acknowledge the FIN")


def test_only_the_other_end_of_the_same_connection_is_joined() -> None:
    mine: Row = {
        "opened_by": Closer.LOCAL,
        "listener": None,
        "local_port": 50_000,
        "remote_addr": "10.0.0.1",
        "remote_port": 80,
    }
    half = connection(State.FIN_WAIT_2, command="client", pid=20, **mine)
    end = connection(State.CLOSE_WAIT, 0, remote_addr="10.0.0.1", command="server", age_ns=0)
    stranger = connection(State.CLOSE_WAIT, 1, remote_addr="10.0.0.1", command="stranger", age_ns=0)
    (finding,) = found([half, end, stranger])
    assert told(finding)["other end, in CLOSE_WAIT on this host"] == "server (pid 10) (1)"
