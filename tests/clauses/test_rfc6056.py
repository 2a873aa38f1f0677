"""RFC 6056 and RFC 6528: ports and initial sequence numbers that nobody guesses; who may share a port; TCP_MAXSEG."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.errors import CallError
from lastack.model.time import SECOND
from lastack.stack import Dice, Stack
from lastack.tcp import SocketOptions

clause = pytest.mark.clause


def opened(seed: int, to: str, count: int = 20) -> list[tuple[int, int]]:
    """Ports and initial sequence numbers of connections that a host opens, a second apart."""
    stack = Stack(["10.0.0.1"], dice=Dice(seed))
    sockets = [stack.connect((to, 80), number * SECOND) for number in range(count)]
    return [(one.local_endpoint.port, one.connection.sender.iss) for one in sockets]


@clause("RFC 6056", "3.3.4", "ports are selected by an offset that depends on the destination and a secret")
def test_where_the_ports_begin_depends_on_destination_and_secret() -> None:
    first = {opened(seed, to)[0][0] for seed in (1, 2, 3) for to in ("10.0.0.9", "10.0.0.10")}
    assert len(first) == 6


@clause("RFC 6056", "3.2", "ephemeral ports come from the whole range, and none is used twice at a time")
def test_ports_come_from_the_range_each_once() -> None:
    ports = [port for port, _ in opened(1, "10.0.0.9", 200)]
    assert len(set(ports)) == 200
    assert all(32_768 <= port <= 60_999 for port in ports)


@clause("RFC 6528", "3", "ISN = M + F(localip, localport, remoteip, remoteport, secretkey)")
def test_initial_sequence_numbers_depend_on_the_four_tuple_and_the_secret() -> None:
    one, other = opened(1, "10.0.0.9"), opened(2, "10.0.0.9")
    assert len({iss for _, iss in one + other}) == len(one) + len(other)
    again = Stack(["10.0.0.1"], dice=Dice(1))
    port = one[0][0]
    same = [
        again.host.secrets.initial(bytes((10, 0, 0, 9, 10, 0, 0, 1)) + (80 << 16 | port).to_bytes(4, "big"), at)
        for at in (0, SECOND)
    ]
    # M counts every 64 ns, so that a later incarnation begins beyond the earlier one.
    assert (same[1] - same[0]) % (1 << 32) == SECOND >> 6


def test_reuseport_shares_a_listening_port_among_sources(make_talk: Callable[..., Any]) -> None:
    talk = make_talk()
    shared = SocketOptions()
    shared.so_reuseport = True
    listeners = [talk.stack.listen(80, 100, shared) for _ in range(2)]
    with pytest.raises(CallError) as refused:
        talk.stack.listen(80, 10, SocketOptions())
    assert refused.value.code == "EADDRINUSE"
    for port in range(4000, 4040):
        talk.there_port = port
        talk.say("S", 0, mss=1460)
        talk.iss = talk.take()[-1].seq
        talk.say(".", 1, 1)
    waiting = [len(one) for one in listeners]
    assert sum(waiting) == 40
    assert min(waiting) > 5


@clause("RFC 9293", "3.7.1", "the user may set the maximum segment size (TCP_MAXSEG)")
def test_tcp_maxseg_bounds_what_is_offered_and_what_is_sent(talk: Any) -> None:
    options = SocketOptions()
    options.tcp_maxseg = 600
    socket = talk.connecting(options)
    assert talk.take()[0].mss == 600
    talk.say("S.", 0, 1, mss=1460)
    talk.take()
    assert talk.do(lambda now: socket.send(b"x" * 1300, now))[0] == ". 1:1:600"


@clause("RFC 8985", "7.4.2", "if the probe was a retransmission and repaired a loss, reduce the congestion window")
@pytest.mark.parametrize("late", [False, True])
def test_a_tail_probe_that_repaired_a_loss_cuts_the_window(make_talk: Callable[..., Any], late: bool) -> None:
    talk = make_talk(tcp_sack=1, tcp_early_retrans=3, tcp_congestion_control="newreno")
    socket = talk.connected(None, sack_permitted=True)
    talk.do(lambda now: socket.send(b"x" * 1460 * 3, now))
    talk.wait(100_000_000)
    assert talk.stack.counters.TCPLossProbes == 1
    talk.say(".", 1, 1 + 1460 * 3)
    if late:
        talk.say(".", 1, 1 + 1460 * 3, sack=((1 + 1460 * 2, 1 + 1460 * 3),))
    talk.do(lambda now: socket.send(b"x" * 1460, now))
    talk.say(".", 1, 1 + 1460 * 4)
    assert talk.stack.counters.TCPLossProbeRecovery == (0 if late else 1)
    assert socket.info(talk.now).snd_ssthresh == (0x7FFF_FFFF if late else 5)
