"""The ways a connection ends, between two hosts of ours, with everything that may get lost."""

from __future__ import annotations

import io

import pytest

from lastack.drive import Host, Link, SimSocket, Simulator
from lastack.drive.faults import bare_ack, fin, syn_ack, text
from lastack.errors import CallError
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND
from lastack.tcp import Settings, SocketOptions
from lastack.wire.packet import decode_packet
from lastack.wire.pcapng import ENHANCED_PACKET, decode_blocks, decode_packet_block

S = State
ACTIVE = [S.CLOSED, S.SYN_SENT, S.ESTABLISHED]
PASSIVE = [S.LISTEN, S.SYN_RECEIVED, S.ESTABLISHED]


class Pair:
    """A client connected to a server, 10 ms apart."""

    def __init__(
        self, settings: Settings | None = None, options: SocketOptions | None = None, seed: int = 1, trace: bool = False
    ) -> None:
        self.sim = Simulator(seed, trace=trace)
        self.client = self.sim.host("client", "10.0.0.1", settings=settings)
        self.server = self.sim.host("server", "10.0.0.2", settings=settings)
        self.link: Link = self.sim.link(self.client, self.server, delay=10 * MILLISECOND)
        self.listener = self.server.listen(80)
        self.here = self.client.connect("10.0.0.2", 80, options=options)
        self.there: SimSocket = self.sim.run_until(self.listener.accept)
        self.sim.run(at_most=SECOND)

    def states(self, host: Host) -> list[State]:
        return self.sim.trace.states(host.name)

    def state(self, socket: SimSocket) -> State:
        return socket.state


def test_the_ten_lines_of_the_readme_work() -> None:
    sim = Simulator(seed=1)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    sim.link(client, server, delay=10 * MILLISECOND)
    listener = server.listen(80)
    here = client.connect("10.0.0.2", 80)
    there = sim.run_until(listener.accept)
    here.send(b"hello")
    assert sim.run_until(there.receive) == b"hello"
    here.close()
    there.close()
    assert sim.run() == pytest.approx(60 * SECOND, rel=0.01)
    assert here.state is there.state is State.CLOSED


def test_one_side_closes_and_then_the_other() -> None:
    pair = Pair()
    pair.here.close()
    pair.sim.run(at_most=SECOND)
    pair.there.close()
    pair.sim.run()
    assert pair.states(pair.client) == [*ACTIVE, S.FIN_WAIT_1, S.FIN_WAIT_2, S.TIME_WAIT, S.CLOSED]
    assert pair.states(pair.server) == [*PASSIVE, S.CLOSE_WAIT, S.LAST_ACK, S.CLOSED]


def test_abort_in_time_wait_leaves_the_wait() -> None:
    # The socket's owner holds nothing any more that could be aborted: on Linux close() with SO_LINGER 0 ends no wait.
    pair = Pair()
    pair.here.shutdown("write")
    pair.sim.run(at_most=SECOND)
    pair.there.close()
    pair.sim.run(at_most=SECOND)
    assert pair.state(pair.here) is State.TIME_WAIT
    pair.here.abort()
    pair.sim.run(at_most=50 * SECOND)
    assert pair.state(pair.here) is State.TIME_WAIT
    pair.sim.run()
    assert pair.states(pair.client)[-2:] == [State.TIME_WAIT, State.CLOSED]


def test_both_close_at_once() -> None:
    pair = Pair()
    pair.here.close()
    pair.there.close()
    pair.sim.run()
    for host, start in ((pair.client, ACTIVE), (pair.server, PASSIVE)):
        assert pair.states(host) == [*start, S.FIN_WAIT_1, S.CLOSING, S.TIME_WAIT, S.CLOSED]


def test_three_segments_close_when_the_application_is_quick() -> None:
    pair = Pair(trace=True)
    before = len(pair.sim.trace.packets)
    pair.here.close()
    pair.sim.run_until(lambda: pair.there.receive() == b"")
    pair.there.close()
    pair.sim.run()
    assert len(pair.sim.trace.packets) - before == 2 * 3


@pytest.mark.parametrize("lost", ["first fin", "ack of it", "second fin", "last ack"])
def test_any_lost_segment_of_the_close_is_made_good(lost: str) -> None:
    pair = Pair()
    if lost == "first fin":
        pair.link.forth.lose(fin)
    elif lost == "ack of it":
        pair.link.back.lose(bare_ack)
    elif lost == "second fin":
        pair.link.back.lose(fin)
    pair.here.close()
    pair.sim.run(at_most=5 * SECOND)
    if lost == "last ack":
        pair.link.forth.lose(bare_ack)
    pair.there.close()
    pair.sim.run()
    assert pair.states(pair.client)[-2:] == [S.TIME_WAIT, S.CLOSED]
    assert pair.states(pair.server)[-2:] == [S.LAST_ACK, S.CLOSED]
    assert pair.link.forth.lost + pair.link.back.lost == 1


def test_a_lost_last_ack_makes_time_wait_begin_anew() -> None:
    pair = Pair()
    pair.here.close()
    pair.sim.run(at_most=SECOND)
    pair.link.forth.lose(bare_ack, times=4)
    pair.there.close()
    pair.sim.run()
    changes = {(c.host, c.after): c.at for c in pair.sim.trace.changes}
    entered, left = changes["client", S.TIME_WAIT], changes["client", S.CLOSED]
    assert changes["server", S.CLOSED] - entered > SECOND
    assert left - changes["server", S.CLOSED] == 60 * SECOND - 10 * MILLISECOND


def test_a_fin_that_overtakes_data_does_not_end_the_file_early() -> None:
    pair = Pair()
    pair.link.forth.hold(300 * MILLISECOND, text, times=0)
    pair.here.send(b"x" * 1000)
    pair.sim.run(at_most=MILLISECOND)
    pair.here.close()
    pair.sim.run(at_most=12 * MILLISECOND)
    assert pair.there.receive() is None
    pair.sim.run(at_most=SECOND)
    assert pair.there.receive() == b"x" * 1000
    assert pair.there.receive() == b""


def test_half_closed_means_half_open() -> None:
    pair = Pair()
    pair.here.shutdown("write")
    pair.sim.run(at_most=SECOND)
    pair.there.send(b"y" * 20_000)
    pair.sim.run(at_most=SECOND)
    assert pair.here.receive() == b"y" * 20_000
    assert pair.here.receive() is None
    assert pair.state(pair.here) is S.FIN_WAIT_2


def test_an_orphan_in_fin_wait_2_goes_after_tcp_fin_timeout() -> None:
    # Beyond a minute Linux waits for what exceeds it, and then as long again (tcp_keepalive_timer).
    for seconds, waited in ((30, 30), (60, 60), (90, 60), (180, 240)):
        settings = Settings.linux()
        settings.tcp_fin_timeout = seconds
        pair = Pair(settings)
        pair.here.close()
        pair.sim.run(at_most=SECOND)
        assert pair.state(pair.here) is S.FIN_WAIT_2
        pair.sim.run(at_most=300 * SECOND)
        ended = {c.after: c.at for c in pair.sim.trace.changes if c.host == "client"}
        assert (ended[S.CLOSED] - ended[S.FIN_WAIT_2]) // SECOND == waited
        assert pair.state(pair.there) is S.CLOSE_WAIT


def test_fin_wait_2_of_a_socket_still_held_never_ends() -> None:
    pair = Pair()
    pair.here.shutdown("write")
    pair.sim.run(at_most=86_400 * SECOND)
    assert pair.state(pair.here) is S.FIN_WAIT_2


def test_tcp_linger2_below_zero_skips_fin_wait_2() -> None:
    options = SocketOptions()
    options.tcp_linger2 = -1
    pair = Pair(options=options)
    pair.here.close()
    pair.sim.run(at_most=SECOND)
    assert pair.state(pair.here) is S.CLOSED
    assert pair.client.counters()["TCPAbortOnData"] == 1
    assert pair.state(pair.there) is S.CLOSED


def test_tcp_linger2_below_zero_ends_a_fin_wait_2_with_its_close() -> None:
    options = SocketOptions()
    options.tcp_linger2 = -1
    pair = Pair(options=options)
    pair.here.shutdown("write")
    pair.sim.run(at_most=SECOND)
    assert pair.state(pair.here) is S.FIN_WAIT_2
    pair.here.close()
    pair.sim.run(at_most=SECOND)
    assert pair.state(pair.here) is S.CLOSED
    assert pair.client.counters()["TCPAbortOnLinger"] == 1
    assert pair.state(pair.there) is S.CLOSED


def test_a_lingering_close_is_an_orphan_only_after_its_time() -> None:
    options = SocketOptions()
    options.so_linger = 5
    pair = Pair(options=options)
    pair.link.cut()
    pair.here.close()
    pair.sim.run(at_most=4 * SECOND)
    assert pair.client.stack.host.orphans == 0
    pair.sim.run(at_most=2 * SECOND)
    assert pair.client.stack.host.orphans == 1
    pair.sim.run()
    assert pair.state(pair.here) is S.CLOSED
    assert pair.client.stack.host.orphans == 0


def test_data_for_a_closed_socket_end_both_sides_with_a_reset() -> None:
    pair = Pair()
    pair.here.close()
    pair.sim.run(at_most=SECOND)
    pair.there.send(b"too late")
    pair.sim.run(at_most=SECOND)
    assert pair.state(pair.here) is pair.state(pair.there) is S.CLOSED
    assert pair.client.counters()["TcpOutRsts"] == 1
    with pytest.raises(CallError) as failed:
        pair.there.send(b"again")
    assert failed.value.code == "EPIPE"


def test_a_reset_loses_what_was_on_its_way() -> None:
    options = SocketOptions()
    options.so_linger = 0
    pair = Pair(options=options)
    pair.here.send(b"x" * 100_000)
    pair.here.close()
    pair.sim.run(at_most=SECOND)
    assert pair.state(pair.there) is S.CLOSED
    got = pair.there.receive() or b""
    assert len(got) < 100_000
    with pytest.raises(CallError) as failed:
        pair.there.receive()
    assert failed.value.code == "ECONNRESET"


def test_a_rebooted_peer_is_found_by_the_next_segment() -> None:
    pair = Pair()
    pair.server.reboot()
    pair.here.send(b"hello?")
    pair.sim.run(at_most=SECOND)
    assert pair.here.error == "ECONNRESET"


def test_a_reboot_is_written_down_and_no_number_is_given_again() -> None:
    pair = Pair()
    pair.here.close()
    pair.there.close()
    pair.sim.run(at_most=SECOND)
    pair.client.connect("10.0.0.2", 80)
    pair.sim.run_until(pair.listener.accept, at_most=SECOND)
    pair.client.reboot()
    told = [one for one in pair.sim.trace.changes if one.host == "client"]
    lost = {(one.before, one.after) for one in told if one.cause == "reboot"}
    assert lost == {(S.ESTABLISHED, S.CLOSED), (S.TIME_WAIT, S.CLOSED)}
    pair.client.connect("10.0.0.2", 80)
    assert pair.sim.trace.changes[-1].connection not in {one.connection for one in told}


def test_close_wait_stays_for_ever() -> None:
    pair = Pair()
    pair.here.close()
    pair.sim.run(at_most=30 * 86_400 * SECOND)
    assert pair.state(pair.there) is S.CLOSE_WAIT
    assert pair.state(pair.here) is S.CLOSED


def test_a_lost_third_segment_is_made_up_for_by_the_first_data() -> None:
    sim = Simulator(3)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    link = sim.link(client, server, delay=10 * MILLISECOND)
    link.forth.lose(bare_ack)
    listener = server.listen(80)
    here = client.connect("10.0.0.2", 80)
    sim.run(at_most=25 * MILLISECOND)
    here.send(b"hello")
    there = sim.run_until(listener.accept, at_most=SECOND)
    assert there.receive() == b"hello"


def test_a_lost_answer_to_the_syn_costs_a_second() -> None:
    sim = Simulator(3)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    link = sim.link(client, server, delay=10 * MILLISECOND)
    link.back.lose(syn_ack)
    listener = server.listen(80)
    client.connect("10.0.0.2", 80)
    sim.run_until(listener.accept)
    assert SECOND < sim.now < SECOND + 100 * MILLISECOND


def test_the_same_seed_gives_the_same_octets() -> None:
    def digest(seed: int) -> str:
        sim = Simulator(seed, trace=True)
        client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
        link = sim.link(client, server, delay=10 * MILLISECOND, loss=0.1)
        link.back.fate.jitter = 5 * MILLISECOND
        listener = server.listen(80)
        here = client.connect("10.0.0.2", 80)
        there = sim.run_until(listener.accept)
        here.send(bytes(50_000))
        here.close()
        sim.run(at_most=60 * SECOND)
        there.close()
        sim.run()
        return sim.trace.digest()

    assert digest(5) == digest(5)
    assert digest(5) != digest(6)


def test_the_trace_is_a_capture_of_both_interfaces() -> None:
    pair = Pair(trace=True)
    pair.here.close()
    pair.sim.run(at_most=SECOND)
    file = io.BytesIO()
    pair.sim.trace.write_pcapng(file)
    blocks = list(decode_blocks(file.getvalue()))
    packets = [decode_packet_block(block) for block in blocks if block.kind == ENHANCED_PACKET]
    assert len(packets) == len(pair.sim.trace.packets) > 8
    assert {packet.interface for packet in packets} == {0, 1}
    for packet in packets:
        assert decode_packet(packet.data).segment is not None


def test_strict_links_change_nothing() -> None:
    def run(strict: bool) -> str:
        sim = Simulator(1, trace=True)
        client, server = sim.host("client", "fd00::1"), sim.host("server", "fd00::2")
        link = sim.link(client, server, delay=10 * MILLISECOND)
        link.forth.fate.strict = link.back.fate.strict = strict
        listener = server.listen(80)
        here = client.connect("fd00::2", 80)
        there = sim.run_until(listener.accept)
        here.send(bytes(50_000))
        here.close()
        sim.run(at_most=SECOND)
        there.receive()
        there.close()
        sim.run()
        assert here.state is there.state is State.CLOSED
        return sim.trace.digest()

    assert run(strict=True) == run(strict=False)
