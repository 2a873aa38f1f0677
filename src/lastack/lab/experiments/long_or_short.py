"""One connection for many requests, or one for each."""

from __future__ import annotations

from typing import NamedTuple

from lastack.lab.bench import Bench, Listening, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, finished
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos

_DELAY = 50 * MILLISECOND
_REQUEST, _ANSWER = b"GET / HTTP/1.1\r\nHost: www\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


class _Cost(NamedTuple):
    segments: int
    time: Nanos
    waiting: int


def run(lab: Lab) -> Outcome:
    """Ask the same number of times over short connections, which the server closes, and over one that is kept."""
    requests = lab.number("requests")
    with lab.scene("a connection for each request", delay=_DELAY, tcp_rfc1337=STEADY) as bench:
        short = _asked(bench, requests, 1)
    with lab.scene("one connection for all requests", delay=_DELAY, tcp_rfc1337=STEADY) as bench:
        long = _asked(bench, 1, requests)
    facts = tuple(
        fact
        for name, cost in (("short", short), ("long", long))
        for fact in (
            Fact(f"{name}: segments", cost.segments, near=0.2),
            # On the kernel's side the wire is a process among others, and its own time counts with every segment.
            Fact(f"{name}: time until the last answer", cost.time / SECOND, "s", near=None),
            Fact(f"{name}: TIME_WAIT on the server", cost.waiting),
        )
    )
    better = long.segments < short.segments and long.time < short.time and long.waiting < short.waiting
    return Outcome(Verdict.HOLDS if better else Verdict.FALSE, facts)


def _asked(bench: Bench, connections: int, each: int) -> _Cost:
    """What so many connections with so many requests each cost."""
    listener = bench.server.listen(80)
    begin = bench.now
    for _ in range(connections):
        here = bench.client.connect(bench.server.address, 80)
        _asks(bench, here, listener, each)
    took = bench.now - begin
    bench.wait(SECOND)
    return _Cost(len(bench.packets()), took, bench.server.count(State.TIME_WAIT))


def _asks(bench: Bench, here: Sock, listener: Listening, times: int) -> None:
    """Ask so often; the server closes with its last answer, the client when it has read that."""
    bench.until(lambda: here.state is State.ESTABLISHED, 10 * SECOND)
    # The first request leaves right after the handshake's ACK: a client need not know when accept() returns.
    here.send(_REQUEST)
    there = bench.until(listener.accept, 10 * SECOND)
    for left in reversed(range(times)):
        _heard(bench, there, len(_REQUEST))
        there.send(_ANSWER)
        if not left:
            there.close()
        _heard(bench, here, len(_ANSWER))
        if left:
            here.send(_REQUEST)
    finished(bench, here)


def _heard(bench: Bench, sock: Sock, octets: int) -> None:
    """Let an end read so much."""
    got = 0

    def all_of_it() -> bool:
        nonlocal got
        got += len(sock.receive(octets - got) or b"")
        return got == octets

    bench.until(all_of_it, 10 * SECOND)


EXPERIMENT = Experiment(
    name="long-or-short",
    chapter="time-wait",
    claim=Words("Use keep-alive connections instead of short ones.", "用长连接代替短连接。"),
    source=Words("several articles, as a remedy", "多篇文章把它列为解决办法"),
    lesson=Words(
        "It is the best of all remedies, because it removes the cause: for ten requests one TIME_WAIT instead of ten, 28 "
        "segments instead of 100, and little more than half of the time, for every short connection begins with a round trip "
        "of handshake. What it asks for: an idle time-out at both ends, the server's the longer one, or a client meets a "
        "connection that is just being closed; and keep-alive towards the upstreams too, which a proxy does not do by itself.",
        "这是最好的办法，因为它消除了根源：10 个请求只留下 1 个 TIME_WAIT 而不是 10 个，报文段 28 个而不是 100 个，时间也省了将近一半，因为每个短连接都要先花一个往返做握手。"
        "需要注意的是：两端都要有空闲超时，而且服务器的要更长，否则客户端会撞上正在关闭的连接；反向代理到上游的长连接通常默认没有开启，也要配置。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(Knob("requests", 10, "how many requests there are"),),
    counter={"requests": 1},
    flips_to=Verdict.FALSE,
    picture=(1, 0),
    kernel_s=8.0,
)
