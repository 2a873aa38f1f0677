"""What it brings to spread short connections."""

from __future__ import annotations

from math import ceil

from lastack.errors import CallError
from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed, opened, port_range
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State

_PORTS = 10
_CLIENT = {"ip_local_port_range": f"40000 {40000 + _PORTS - 1}"}


def run(lab: Lab) -> Outcome:
    """Open thirty connections from ten ports: to one backend, to three in turn, and to one from three addresses."""
    facts: list[Fact] = []
    refused = {}
    each = 0.0
    for title, backends, sources in (
        ("one backend", 1, 1),
        ("three backends in turn", 3, 1),
        ("one backend, three source addresses in turn", 1, 3),
    ):
        with lab.scene(title, client=_CLIENT, tcp_rfc1337=STEADY) as bench:
            refused[title], share = _spread(bench, backends, sources, lab.flag("no_port"))
            each = port_range(bench.server) / 60
        facts.append(Fact(f"{title}: refused of {3 * _PORTS}", refused[title]))
        facts.append(Fact(f"{title}: TIME_WAIT of the fullest share", share))
    rate = lab.number("rate")
    facts.append(Fact("connections a second that a share can carry", each, "a second"))
    facts.append(Fact(f"shares that {rate:,} connections a second need", ceil(rate / each)))
    alone, *spread = refused.values()
    return Outcome(Verdict.HOLDS if alone and not any(spread) else Verdict.FALSE, tuple(facts))


def _spread(bench: Bench, backends: int, sources: int, no_port: bool) -> tuple[int, int]:
    """How many connections were refused, and how many TIME_WAIT the fullest (source, backend) has."""
    listener = bench.server.listen(80)
    refused = 0
    for number in range(3 * _PORTS):
        to = (bench.server.addresses[number % backends], 80)
        local = (bench.client.addresses[number % sources], 0)
        try:
            ends = opened(bench, listener, bench.client, to, local, ip_bind_address_no_port=no_port)
        except CallError:
            refused += 1
        else:
            closed(bench, *ends)
    waiting = [seen.four for seen in bench.client.sockets() if seen.state is State.TIME_WAIT]
    shares = [(four.local[0], four.remote[0]) for four in waiting]
    return refused, max(map(shares.count, shares), default=0)


EXPERIMENT = Experiment(
    name="load-balancer",
    chapter="time-wait",
    claim=Words(
        "Spreading short connections over several machines or addresses helps against running out of ports.",
        "用负载均衡把短连接分散到多台机器或多个地址上，可以避免端口耗尽。",
    ),
    source=Words("one article, as a remedy", "一篇文章把它列为解决办法"),
    lesson=Words(
        "Every pair of source and destination has the whole range to itself: three backends, or three source addresses, "
        "carry three times as much, 470 new connections a second each with the defaults; 5,000 a second need 11. It is "
        "the last remedy, though: keep-alive towards the backends, or tcp_tw_reuse = 1 on the balancer, cost nothing. And a "
        "balancer that binds its source address without IP_BIND_ADDRESS_NO_PORT gains nothing from more backends.",
        "每一对（源地址，目的地址）都独享整个端口范围：三个后端或三个源地址就能承载三倍的连接，默认设置下每份每秒 470 个新连接，"
        "每秒 5000 个就需要 11 份。但这应当是最后的办法：对后端使用长连接，或在负载均衡器上设 tcp_tw_reuse = 1，都不用花钱。"
        "另外，负载均衡器若用 bind() 指定源地址却没有设置 IP_BIND_ADDRESS_NO_PORT，增加后端也没有任何效果。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(
        Knob("no_port", True, "the balancer binds its source address with IP_BIND_ADDRESS_NO_PORT"),
        Knob("rate", 5000, "connections a second that the balancer is to open"),
    ),
    counter={"no_port": False},
    flips_to=Verdict.FALSE,
    picture=None,
    kernel_s=4.0,
)
