"""Many connections: queues, cookies, ports, TIME_WAIT's rules, orphans, routers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lastack.drive import Host, SimListener, SimSocket, Simulator
from lastack.errors import CallError
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND
from lastack.tcp import Settings, SocketOptions


def network(settings: Settings | None = None, seed: int = 1, delay: int = MILLISECOND) -> tuple[Simulator, Host, Host]:
    sim = Simulator(seed)
    client = sim.host("client", "10.0.0.1", settings=settings)
    server = sim.host("server", "10.0.0.2", settings=settings)
    sim.link(client, server, delay=delay)
    return sim, client, server


def settings(**changes: object) -> Settings:
    made = Settings.linux()
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def connected(sim: Simulator, client: Host, listener: SimListener, port: int = 0) -> tuple[SimSocket, SimSocket]:
    options = SocketOptions()
    options.so_reuseaddr = True
    local = ("10.0.0.1", port) if port else None
    here = client.connect("10.0.0.2", 80, options=options, local=local)
    return here, sim.run_until(listener.accept, at_most=100 * SECOND)


# -- queues


def test_a_backlog_of_n_holds_n_plus_one() -> None:
    sim, client, server = network()
    listener = server.listen(80, backlog=2)
    sockets = [client.connect("10.0.0.2", 80) for _ in range(5)]
    sim.run(at_most=500 * MILLISECOND)
    assert len(listener.listener) == 3
    assert [socket.state for socket in sockets].count(State.ESTABLISHED) >= 3
    assert server.counters()["ListenOverflows"] > 0


def test_somaxconn_bounds_the_backlog() -> None:
    _, _, server = network(settings(somaxconn=4))
    assert server.listen(80, backlog=1000).listener.limit == 4


def test_who_finds_the_accept_queue_full_gets_in_when_there_is_room() -> None:
    sim, client, server = network(settings(tcp_syncookies=0))
    listener = server.listen(80, backlog=1)
    for _ in range(2):
        client.connect("10.0.0.2", 80)
        sim.run(at_most=100 * MILLISECOND)
    last = client.connect("10.0.0.2", 80)
    sim.run(at_most=100 * MILLISECOND)
    assert len(listener.listener) == 2
    assert last.state is State.SYN_SENT
    assert server.counters()["ListenOverflows"] == 1
    assert listener.accept() is not None
    sim.run_until(lambda: last.state is State.ESTABLISHED, at_most=2 * SECOND)


def test_abort_on_overflow_resets_instead() -> None:
    # Both SYNs pass while the queue is empty; only one of the two third segments finds room.
    sim, client, server = network(settings(tcp_abort_on_overflow=1))
    listener = server.listen(80, backlog=0)
    listener.listener.limit = 1
    one = client.connect("10.0.0.2", 80)
    listener.listener.limit = 2
    two = client.connect("10.0.0.2", 80)
    sim.run(at_most=MILLISECOND)
    listener.listener.limit = 0
    sim.run(at_most=100 * MILLISECOND)
    assert sorted([one.state, two.state]) == [State.ESTABLISHED, State.CLOSED]
    assert {one.error, two.error} == {None, "ECONNRESET"}
    assert server.counters()["EmbryonicRsts"] == 1


@pytest.mark.parametrize("cookies", [0, 1])
def test_a_full_syn_queue_drops_or_sends_cookies(cookies: int) -> None:
    sim, client, server = network(settings(tcp_syncookies=cookies))
    listener = server.listen(80, backlog=3)
    attacker = sim.host("attacker", "10.0.0.3")
    link = sim.link(attacker, server, delay=MILLISECOND)
    link.back.fate.up = False
    for _ in range(10):
        attacker.connect("10.0.0.2", 80)
    sim.run(at_most=100 * MILLISECOND)
    assert listener.listener.requests == 4
    here = client.connect("10.0.0.2", 80)
    sim.run(at_most=100 * MILLISECOND)
    counters = server.counters()
    if cookies:
        there = listener.accept()
        assert there is not None
        here.send(b"by cookie")
        sim.run(at_most=100 * MILLISECOND)
        assert there.receive() == b"by cookie"
        assert counters["TCPReqQFullDoCookies"] >= 6
        assert counters["SyncookiesRecv"] == 1
        assert there.socket.connection.scaling
        assert there.socket.connection.sack
    else:
        assert here.state is State.SYN_SENT
        assert counters["TCPReqQFullDrop"] >= 6
        sim.run(at_most=200 * SECOND)
        assert listener.listener.requests == 0


def test_a_forged_cookie_is_reset() -> None:
    sim, client, server = network(settings(tcp_syncookies=2))
    server.listen(80)
    here = client.connect("10.0.0.2", 80)
    here.socket.connection.sender.nxt += 0
    sim.run(at_most=100 * MILLISECOND)
    assert server.counters()["SyncookiesRecv"] == 1
    server.stack.host.sockets.clear()
    sim.run(at_most=100 * SECOND)
    client.connect("10.0.0.2", 80)
    sim.run(at_most=80 * SECOND)
    here.send(b"a minute too late")
    sim.run(at_most=SECOND)
    assert here.error == "ECONNRESET"
    assert server.counters()["SyncookiesFailed"] == 1


def test_without_recent_cookies_none_is_looked_for() -> None:
    sim, client, server = network()
    listener = server.listen(80)
    here, _ = connected(sim, client, listener)
    server.stack.host.sockets.clear()
    here.send(b"to nobody")
    sim.run(at_most=SECOND)
    assert here.error == "ECONNRESET"
    assert "SyncookiesFailed" not in server.counters()


def test_defer_accept_wakes_the_server_only_with_data() -> None:
    sim, client, server = network()
    options = SocketOptions()
    options.tcp_defer_accept = 5
    listener = server.listen(80, options=options)
    here = client.connect("10.0.0.2", 80)
    sim.run(at_most=2 * SECOND)
    assert here.state is State.ESTABLISHED
    assert listener.accept() is None
    here.send(b"now")
    sim.run(at_most=100 * MILLISECOND)
    there = listener.accept()
    assert there is not None
    assert there.receive() == b"now"


def test_a_deferred_connection_without_data_is_accepted_after_its_time() -> None:
    sim, client, server = network()
    options = SocketOptions()
    options.tcp_defer_accept = 5
    listener = server.listen(80, options=options)
    client.connect("10.0.0.2", 80)
    assert sim.run_until(listener.accept, at_most=30 * SECOND) is not None
    assert sim.now > 5 * SECOND


def test_closing_a_listener_resets_who_was_not_accepted() -> None:
    sim, client, server = network()
    listener = server.listen(80)
    here = client.connect("10.0.0.2", 80)
    sim.run(at_most=SECOND)
    listener.close()
    sim.run(at_most=SECOND)
    assert here.error == "ECONNRESET"
    again = client.connect("10.0.0.2", 80)
    sim.run(at_most=SECOND)
    assert again.error == "ECONNREFUSED"


def test_a_refused_port_says_so() -> None:
    sim, client, _ = network()
    here = client.connect("10.0.0.2", 81)
    sim.run(at_most=SECOND)
    assert here.error == "ECONNREFUSED"
    assert here.state is State.CLOSED


# -- ports


def test_ports_run_out_towards_one_destination_only() -> None:
    _, client, _ = network(settings(ip_local_port_range=(40_000, 40_009)))
    ports = {client.connect("10.0.0.2", 80).local.port for _ in range(10)}
    assert ports == set(range(40_000, 40_010))
    with pytest.raises(CallError) as refused:
        client.connect("10.0.0.2", 80)
    assert refused.value.code == "EADDRNOTAVAIL"
    assert client.connect("10.0.0.2", 81).local.port in ports


def test_time_wait_keeps_a_port_from_its_destination() -> None:
    sim, client, server = network(settings(ip_local_port_range=(40_000, 40_001)))
    listener = server.listen(80)
    for _ in range(2):
        here, there = connected(sim, client, listener)
        here.close()
        sim.run(at_most=100 * MILLISECOND)
        there.close()
        sim.run(at_most=100 * MILLISECOND)
    assert client.stack.waiting() == 2
    with pytest.raises(CallError):
        client.connect("10.0.0.2", 80)
    sim.run(at_most=61 * SECOND)
    assert client.connect("10.0.0.2", 80).state is State.SYN_SENT


def test_reserved_ports_are_left_alone() -> None:
    _, client, _ = network(settings(ip_local_port_range=(40_000, 40_003), ip_local_reserved_ports=(40_001, 40_002)))
    assert {client.connect("10.0.0.2", 80).local.port for _ in range(2)} == {40_000, 40_003}


def test_bind_without_a_port_takes_it_from_all_destinations() -> None:
    _, client, _ = network(settings(ip_local_port_range=(40_000, 40_001)))
    for _ in range(2):
        client.connect("10.0.0.2", 80, local=("10.0.0.1", 0))
    with pytest.raises(CallError) as refused:
        client.connect("10.0.0.2", 81, local=("10.0.0.1", 0))
    assert refused.value.code == "EADDRINUSE"


def test_bind_without_a_port_shares_none_even_with_reuseaddr() -> None:
    _, client, _ = network(settings(ip_local_port_range=(40_000, 40_001)))
    options = SocketOptions()
    options.so_reuseaddr = True
    ports = {client.connect("10.0.0.2", to, options=options, local=("10.0.0.1", 0)).local.port for to in (80, 81)}
    assert ports == {40_000, 40_001}
    with pytest.raises(CallError) as refused:
        client.connect("10.0.0.2", 82, options=options, local=("10.0.0.1", 0))
    assert refused.value.code == "EADDRINUSE"


def test_a_listener_that_was_refused_leaves_its_port_to_others() -> None:
    _, client, _ = network(settings(ip_local_port_range=(40_000, 40_000)))
    client.connect("10.0.0.2", 80)
    with pytest.raises(CallError):
        client.listen(40_000)
    assert client.connect("10.0.0.2", 81).local.port == 40_000


def test_bind_address_no_port_gives_the_four_tuple_back() -> None:
    _, client, _ = network(settings(ip_local_port_range=(40_000, 40_001)))
    options = SocketOptions()
    options.ip_bind_address_no_port = True
    for port in (80, 81):
        for _ in range(2):
            client.connect("10.0.0.2", port, options=options.copy(), local=("10.0.0.1", 0))


def test_a_server_may_bind_beside_time_wait_only_with_reuseaddr() -> None:
    for reuse in (False, True):
        sim, client, server = network()
        options = SocketOptions()
        options.so_reuseaddr = reuse
        listener = server.listen(80, options=options)
        client.connect("10.0.0.2", 80)
        there = sim.run_until(listener.accept)
        there.close()
        sim.run(at_most=100 * MILLISECOND)
        listener.close()
        if reuse:
            server.listen(80, options=options)
        else:
            with pytest.raises(CallError) as refused:
                server.listen(80, options=options)
            assert refused.value.code == "EADDRINUSE"


# -- TIME_WAIT


def test_a_port_in_time_wait_is_taken_over_after_a_second_with_timestamps() -> None:
    made = settings(tcp_tw_reuse=1, ip_local_port_range=(40_000, 40_000))
    sim, client, server = network(made)
    listener = server.listen(80)
    here, there = connected(sim, client, listener)
    here.close()
    sim.run(at_most=50 * MILLISECOND)
    there.close()
    sim.run(at_most=100 * MILLISECOND)
    assert client.stack.waiting() == 1
    with pytest.raises(CallError):
        client.connect("10.0.0.2", 80)
    sim.run(at_most=2 * SECOND)
    again, peer = connected(sim, client, listener)
    assert again.state is State.ESTABLISHED
    assert client.counters()["TWRecycled"] == 1
    assert here.state is State.CLOSED
    peer.close()


@pytest.mark.parametrize("begin", [0, 300 * MILLISECOND, 900 * MILLISECOND])
def test_the_second_before_a_port_is_taken_over_is_a_whole_one(begin: int) -> None:
    sim, client, server = network(settings(tcp_tw_reuse=1, ip_local_port_range=(40_000, 40_000)))
    sim.run(at_most=begin)
    here, there = connected(sim, client, server.listen(80))
    here.close()
    there.close()
    sim.run_until(lambda: here.state is State.TIME_WAIT)
    sim.run(at_most=990 * MILLISECOND)
    with pytest.raises(CallError):
        client.connect("10.0.0.2", 80)
    sim.run(at_most=20 * MILLISECOND)
    assert client.connect("10.0.0.2", 80).state is State.SYN_SENT


@pytest.mark.parametrize(("mode", "reuses"), [(0, False), (1, True), (2, True)])
def test_tcp_tw_reuse_2_is_for_loopback(mode: int, reuses: bool) -> None:
    sim = Simulator(1)
    host = sim.host("host", "127.0.0.1", settings=settings(tcp_tw_reuse=mode, ip_local_port_range=(40_000, 40_000)))
    listener = host.listen(80)
    here = host.connect("127.0.0.1", 80)
    there = sim.run_until(listener.accept)
    here.close()
    there.close()
    sim.run(at_most=3 * SECOND)
    if reuses:
        assert host.connect("127.0.0.1", 80).state is not State.CLOSED
    else:
        with pytest.raises(CallError):
            host.connect("127.0.0.1", 80)


def test_over_tcp_max_tw_buckets_nothing_is_kept() -> None:
    sim, client, server = network(settings(tcp_max_tw_buckets=2))
    listener = server.listen(80)
    for _ in range(4):
        here, there = connected(sim, client, listener)
        here.close()
        sim.run(at_most=50 * MILLISECOND)
        there.close()
        sim.run(at_most=50 * MILLISECOND)
    assert client.stack.waiting() == 2
    assert client.counters()["TCPTimeWaitOverflow"] == 2
    assert client.counters()["TW"] == 2


ISN_WRAPS = (1 << 32) * 64
"""After so many nanoseconds the clock of RFC 6528 begins again, and a four-tuple has the numbers that it had before."""


def old_duplicate(time_wait_ms: int, timestamps: int) -> bytes | None:
    """What the second connection of a four-tuple reads when a segment of the first one arrives once more."""
    sim, client, server = network(settings(time_wait_ms=time_wait_ms, tcp_timestamps=timestamps))
    listener = server.listen(80)
    start = sim.now
    here, there = connected(sim, client, listener, 5000)
    channel = client.node.ports[0].channel
    channel.double(lambda packet: bool(packet.segment and packet.segment.payload), delay=ISN_WRAPS + SECOND)
    here.send(b"OLD!")
    sim.run(at_most=100 * MILLISECOND)
    there.receive()
    here.close()
    there.close()
    sim.run(until=start + ISN_WRAPS)
    try:
        _, peer = connected(sim, client, listener, 5000)
    except CallError:
        return None
    sim.run(at_most=5 * SECOND)
    return peer.receive()


def test_without_time_wait_an_old_duplicate_enters_the_next_connection() -> None:
    assert old_duplicate(time_wait_ms=0, timestamps=0) == b"OLD!"


def test_timestamps_keep_an_old_duplicate_out_even_then() -> None:
    assert old_duplicate(time_wait_ms=0, timestamps=1) is None


def test_time_wait_keeps_the_four_tuple_from_being_used() -> None:
    assert old_duplicate(time_wait_ms=600_000, timestamps=0) is None


def test_recycling_locks_out_the_slower_clock_behind_a_nat() -> None:
    made = settings(tcp_tw_recycle=1)
    sim, client, server = network(made)
    listener = server.listen(80)
    here, there = connected(sim, client, listener)
    there.close()
    sim.run(at_most=50 * MILLISECOND)
    here.close()
    sim.run(at_most=5 * SECOND)
    other = client.connect("10.0.0.2", 80)
    other.socket.connection.ts_offset -= 100_000
    sim.run(at_most=100 * MILLISECOND)
    again = client.connect("10.0.0.2", 80)
    again.socket.connection.ts_offset -= 100_000
    sim.run(at_most=3 * SECOND)
    assert again.state is State.SYN_SENT
    assert server.counters()["PAWSPassive"] >= 1


def test_too_many_orphans_are_reset() -> None:
    sim, client, server = network(settings(tcp_max_orphans=3))
    listener = server.listen(80)
    pairs = [connected(sim, client, listener) for _ in range(5)]
    client.node.ports[0].channel.fate.up = False
    for here, _ in pairs:
        here.close()
    sim.run(at_most=10 * MILLISECOND)
    assert client.counters()["TCPAbortOnMemory"] == 2
    assert client.stack.host.orphans == 3


# -- the way


def test_a_segment_whose_ttl_runs_out_is_reported() -> None:
    sim = Simulator(1)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.3.1")
    nodes = [client, sim.router("r1", "10.0.1.1"), sim.router("r2", "10.0.2.1"), server]
    for one, other in pairwise(nodes):
        sim.link(one, other, delay=MILLISECOND)
    listener = server.listen(80)
    client.connect("10.0.3.1", 80)
    assert sim.run_until(listener.accept) is not None
    client.settings.ip_default_ttl = 2
    lost = client.connect("10.0.3.1", 80)
    sim.run(at_most=SECOND)
    assert lost.error == "EHOSTUNREACH"


def test_a_narrow_link_on_the_way_makes_segments_smaller() -> None:
    sim = Simulator(1)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.3.1")
    router = sim.router("r", "10.0.1.1")
    sim.link(client, router, delay=MILLISECOND)
    sim.link(router, server, delay=MILLISECOND, mtu=1000)
    server.settings.mtu = 1500
    listener = server.listen(80)
    here = client.connect("10.0.3.1", 80)
    there = sim.run_until(listener.accept)
    here.send(b"x" * 30_000)
    sim.run(at_most=10 * SECOND)
    assert there.receive() == b"x" * 30_000
    assert here.info().snd_mss == 1000 - 40 - 12


def test_the_table_lists_connections_waits_and_listeners() -> None:
    sim, client, server = network()
    listener = server.listen(80)
    here, there = connected(sim, client, listener)
    there.send(b"unread")
    sim.run(at_most=SECOND)
    there.close()
    sim.run(at_most=SECOND)
    (row,) = client.stack.connections(sim.now).rows()
    assert row["local_state"] == "CLOSE_WAIT"
    assert row["recv_q"] == 7
    assert row["remote_port"] == 80
    here.receive()
    here.receive()
    assert client.stack.connections(sim.now).value("recv_q", 0) == 0
    here.close()
    sim.run(at_most=SECOND)
    states = sorted(str(row["local_state"]) for row in server.stack.connections(sim.now).rows())
    assert states == ["LISTEN", "TIME_WAIT"]


def test_a_bulk_transfer_fills_the_link() -> None:
    sim = Simulator(1)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    sim.link(client, server, delay=5 * MILLISECOND, rate=100_000_000, queue=1 << 18)
    listener = server.listen(80)
    here = client.connect("10.0.0.2", 80)
    there = sim.run_until(listener.accept)
    left, got, start = 10_000_000, 0, sim.now
    while got < 10_000_000:
        left -= here.send(bytes(min(left, 1 << 20)))
        sim.run(at_most=5 * MILLISECOND)
        got += len(there.receive() or b"")
    assert (sim.now - start) / SECOND < 1.5


def test_half_of_a_crowded_syn_queue_is_kept_for_the_young() -> None:
    # Nobody answers: each SYN,ACK is sent again up to five times, unless the queue is crowded with old ones.
    kept = {}
    for comers in (3, 8):
        sim, _, server = network(settings(tcp_syncookies=0))
        listener = server.listen(80, backlog=8)
        attacker = sim.host("attacker", "10.0.0.3", settings=settings(tcp_syn_retries=0, tcp_syn_linear_timeouts=0))
        sim.link(attacker, server, delay=MILLISECOND).back.fate.up = False
        for _ in range(comers):
            attacker.connect("10.0.0.2", 80)
        sim.run(at_most=8 * SECOND)
        kept[comers] = listener.listener.requests
    assert kept[3] == 3
    assert kept[8] <= 4
