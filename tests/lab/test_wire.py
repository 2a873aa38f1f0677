"""What an experiment puts on the wire by hand, and what the ladder makes of it."""

from __future__ import annotations

from lastack.lab.catalog import named
from lastack.lab.engine import EngineBench
from lastack.lab.run import run
from lastack.lab.short import opened, parted, resets, segments
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND
from lastack.wire.flags import FIN


def bench() -> EngineBench:
    return EngineBench("a scene", {}, 2 * MILLISECOND, 1)


def test_a_packet_put_on_the_wire_arrives_and_has_its_note_in_the_ladder() -> None:
    wire = bench()
    here, there = wire.connection()
    here.send(b"order")
    wire.until(there.receive, SECOND)
    wire.inject(wire.sent_by(wire.client)[-1], wire.client, "late")
    before = len(segments(wire, wire.server))
    wire.wait(SECOND)
    assert len(segments(wire, wire.server)) == before + 1
    (history,) = wire.scene().histories
    assert [segment.fate for segment in history.segments if segment.fate] == ["late"]


def test_the_syn_of_the_next_connection_is_not_one_that_is_sent_again() -> None:
    scene = run(named("old-duplicate"), "sim", {}).scenes[0]
    assert not [note for segment in scene.histories[0].segments for note in segment.notes]


def test_a_fin_that_is_sent_again_is_told() -> None:
    wire = bench()
    here, there = wire.connection()
    wire.forth.lose(lambda packet: packet.segment is not None and packet.segment.flags & FIN != 0)
    parted(wire, here, there)
    (history,) = wire.scene().histories
    assert [note for segment in history.segments for note in segment.notes] == ["FIN again, number 2"]


def test_a_connection_may_begin_with_a_number_of_our_choice() -> None:
    wire = bench()
    opened(wire, wire.server.listen(80), wire.client, (wire.server.address, 80), tcp_queue_seq=4_000_000_000)
    assert segments(wire, wire.client)[0].seq == 4_000_000_000


def test_who_keeps_the_socket_to_the_end_needs_no_time_wait() -> None:
    settings = {"client": {"tcp_max_tw_buckets": "0"}, "server": {}}
    wire = EngineBench("no TIME_WAIT", settings, 2 * MILLISECOND, 1)
    here, there = wire.connection()
    parted(wire, here, there)
    assert resets(wire, wire.client) == 0
    assert here.state is State.CLOSED
    assert there.error is None


def test_a_host_tells_its_settings_as_sysctl_does() -> None:
    wire = bench()
    assert wire.client.setting("ip_local_port_range") == "32768 60999"
    assert wire.client.setting("tcp_fin_timeout") == "60"
    assert wire.client.setting("tcp_no_such_thing") is None
