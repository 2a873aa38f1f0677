"""What experiments may count on from their bench, beyond what their verdicts show."""

from __future__ import annotations

import pytest

from lastack.errors import CallError
from lastack.lab.catalog import EXPERIMENTS
from lastack.lab.lab import Lab
from lastack.model.time import SECOND
from lastack.wire.flags import SYN
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment

LAB = Lab(EXPERIMENTS[0], "sim", {}, seed=1)


def test_the_engine_has_no_processes() -> None:
    with LAB.scene("a child") as bench, pytest.raises(CallError, match="no processes"):
        bench.server.child(["true"])


@pytest.mark.root
def test_a_child_ends_with_its_scene() -> None:
    with Lab(EXPERIMENTS[0], "kernel", {}, seed=1).scene("a child") as bench:
        _, there = bench.connection()
        child = bench.server.child(["sh", "-c", "exec cat"], there)
        assert child.poll() is None
    assert child.poll() is not None


def test_strangers_come_after_the_hosts_own_connections() -> None:
    with LAB.scene("a stranger") as bench:
        listener = bench.server.listen(80)
        syn = Segment(1024, 80, 0, 0, SYN, 1000)
        bench.inject(Packet(address_bytes("10.66.0.1"), address_bytes(bench.server.address), syn), bench.client)
        bench.client.connect(bench.server.address, 80)
        bench.until(listener.accept, SECOND)
    first, last = (history.local.split(":")[0] for history in LAB.scenes[-1].histories)
    assert (first, last) == (bench.client.address, "10.66.0.1")


def test_a_ladder_goes_on_to_the_end_of_its_scene() -> None:
    with LAB.scene("nothing happens") as bench:
        bench.connection()
        bench.wait(100 * SECOND)
    until = LAB.scenes[-1].histories[0].until
    assert until is not None
    assert until >= 100 * SECOND


def test_a_time_wait_for_which_there_is_no_room_is_not_told() -> None:
    with LAB.scene("no room", client={"tcp_max_tw_buckets": 0}) as bench:
        here, there = bench.connection()
        here.close()
        bench.until(lambda: there.receive() == b"", SECOND)
        there.close()
        bench.wait(SECOND)
    lane = [change for change in LAB.scenes[-1].histories[0].changes if change.host == "client"]
    assert [change.after.name for change in lane][-2:] == ["FIN_WAIT_2", "CLOSED"]
    assert lane[-1].before is lane[-2].after
    assert lane[-1].cause == "tcp_max_tw_buckets"
