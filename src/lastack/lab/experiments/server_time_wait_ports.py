"""Whether TIME_WAIT takes ports from a server."""

from __future__ import annotations

from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed, opened, used_up
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State

_PORTS = {"ip_local_port_range": "40000 40001"}
_MANY = 20


def run(lab: Lab) -> Outcome:
    """Give a server two local ports, let it close twenty connections first, and see whether one more client gets in."""
    proxy = lab.flag("proxy")
    title = "the server connects to an upstream" if proxy else "the server accepts"
    with lab.scene(f"{title}; it has a range of two ports", server=_PORTS, tcp_rfc1337=STEADY) as bench:
        if proxy:
            served, error = used_up(bench, bench.client.listen(80), bench.server, (bench.client.address, 80), _MANY)
        else:
            listener = bench.server.listen(80)
            for _ in range(_MANY):
                here, there = opened(bench, listener, bench.client, (bench.server.address, 80))
                closed(bench, there, here)
            opened(bench, listener, bench.client, (bench.server.address, 80))
            served, error = _MANY + 1, ""
        waiting = [seen.four for seen in bench.server.sockets() if seen.state is State.TIME_WAIT]
    facts = (
        Fact("connections", served),
        Fact("TIME_WAIT on the server", len(waiting)),
        Fact("local ports that they take", len({four.local.port for four in waiting})),
        Fact("the error of the next one", error or "none"),
    )
    return Outcome(Verdict.HOLDS if error else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="server-time-wait-ports",
    chapter="time-wait",
    claim=Words(
        "Many TIME_WAIT on a server use up its ports, so that new clients cannot connect.",
        "服务器上大量的 TIME_WAIT 会把端口用完，导致新的客户端无法连接。",
    ),
    source=Words("several articles", "多篇文章"),
    lesson=Words(
        "All connections that a server accepts share its listening port: twenty TIME_WAIT took one port, and the next client "
        "got in at once. What limits them is memory (some 256 octets each) and tcp_max_tw_buckets, and what limits "
        "connections is descriptors and the accept queue. It is true of the other role: a proxy is a client of its "
        "upstreams, and there the range does run out (try --set proxy=yes). So look which side your TIME_WAIT are on: local "
        "port 80 is harmless, remote port 80 counts.",
        "服务器 accept 到的所有连接共用同一个监听端口：20 个 TIME_WAIT 只占 1 个端口，下一个客户端照样立即连上。"
        "真正的上限是内存（每个约 256 字节）和 tcp_max_tw_buckets；连接数的上限则是文件描述符和 accept 队列。"
        "换一个角色这话就成立了：反向代理对上游来说是客户端，端口确实会用完（可用 --set proxy=yes 试一试）。"
        "所以先看 TIME_WAIT 在哪一侧：本地端口是 80 的无害，远端端口是 80 的才占端口。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(
        Knob("proxy", False, "the server is a proxy: it opens the connections, to an upstream, and closes them first"),
    ),
    counter={"proxy": True},
    flips_to=Verdict.HOLDS,
    picture=None,
)
