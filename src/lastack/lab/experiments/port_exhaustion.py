"""How many connections a range of ports is good for."""

from __future__ import annotations

from lastack.errors import CallError
from lastack.lab.bench import Bench, Option
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed, opened, port_range, used_up
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import SECOND, Nanos

_FIRST = 40_000
_LENGTH: Nanos = 60 * SECOND


def run(lab: Lab) -> Outcome:
    """Use a small range up towards one destination, then try others; and find the rate that it can bear."""
    ports = lab.number("ports")
    few = {"ip_local_port_range": f"{_FIRST} {_FIRST + ports - 1}"}
    with lab.scene(
        f"{ports} ports, all of them in TIME_WAIT towards one destination", client=few, tcp_rfc1337=STEADY
    ) as bench:
        found = _destinations(bench, 2 * ports, lab.flag("bind"))
        default = port_range(bench.server)
    facts = [Fact(f"connections {where}", count) for where, (count, _) in found.items()]
    facts.append(Fact("the error of connect() or bind() then", next(iter(found.values()))[1]))
    facts.append(Fact("ports of the default range", default))
    facts.append(Fact("connections a second to one destination", default / 60, "a second"))
    for share in (95, 105) if lab.seconds("rate") else ():
        with lab.scene(f"{ports} ports, {share} % of what they can bear", client=few, tcp_rfc1337=STEADY) as bench:
            refused = _at_a_rate(bench, ports, share, lab.seconds("rate"))
        facts.append(Fact(f"refused at {share} % of {ports} ports a minute", refused))
    one, other_port, other_address, _ = (count for count, _ in found.values())
    return Outcome(Verdict.FALSE if one and (other_port or other_address) else Verdict.HOLDS, tuple(facts))


def _destinations(bench: Bench, most: int, bind: bool) -> dict[str, tuple[int, str]]:
    """How many connections there were to one destination after the other, and why not one more."""
    client, server = bench.client, bench.server
    listeners = {port: bench.server.listen(port) for port in (80, 81)}
    found = {}
    for where, source, address, port in (
        ("to one address and port", 0, 0, 80),
        ("then to another port", 0, 0, 81),
        ("then to another address", 0, 1, 80),
        ("then from another address", 1, 0, 80),
    ):
        local = (client.addresses[source], 0) if bind or source else None
        options: dict[str, Option] = {} if bind or not source else {"ip_bind_address_no_port": True}
        to = (server.addresses[address], port)
        found[where] = used_up(bench, listeners[port], client, to, most, local, **options)
    return found


def _at_a_rate(bench: Bench, ports: int, share: int, duration: Nanos) -> int:
    """How many connections are refused at a steady rate."""
    listener = bench.server.listen(80)
    interval = _LENGTH * 100 // (ports * share)
    refused = 0
    for number in range(1, duration // interval + 1):
        try:
            closed(bench, *opened(bench, listener, bench.client, (bench.server.address, 80)))
        except CallError:
            refused += 1
        bench.wait(number * interval - bench.now)
    return refused


EXPERIMENT = Experiment(
    name="port-exhaustion",
    chapter="time-wait",
    claim=Words(
        "A machine can have 65,535 connections at most, 32768 to 61000 of them by default; then its ports are used up.",
        "一台机器最多只能有 65535 个连接，默认可用端口是 32768～61000；用完就再也建不了连接了。",
    ),
    source=Words("several articles", "多篇文章"),
    lesson=Words(
        "The range is a limit of each (source address, destination address, destination port), and only for the side that "
        "connects. When connect() says EADDRNOTAVAIL towards one destination, all others still work. The default range of "
        "28,232 ports and 60 s of TIME_WAIT bear 470 new connections a second to one destination. Keep connections open, "
        "let the other side close first, add addresses or ports, or set tcp_tw_reuse = 1. A program that calls bind() for "
        "its source address must set IP_BIND_ADDRESS_NO_PORT, or every port it takes is taken for all destinations, "
        "with SO_REUSEADDR too.",
        "端口范围的限制是针对每一组（源地址、目的地址、目的端口）的，而且只限制主动连接的一方。对某个目标 connect() 报 EADDRNOTAVAIL 时，"
        "连其他目标完全不受影响。默认 28232 个端口加上 60 秒的 TIME_WAIT，对同一目标每秒最多新建 470 个连接。"
        "对策：使用长连接、让对方先关闭、增加地址或端口、或设 tcp_tw_reuse = 1。程序若要用 bind() 指定源地址，务必设置 IP_BIND_ADDRESS_NO_PORT，"
        "否则每个端口都会被所有目标共同占用（设了 SO_REUSEADDR 也一样），端口耗尽就成真了。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(
        Knob("ports", 10, "how many local ports there are"),
        Knob("bind", False, "call bind() with the source address first, without IP_BIND_ADDRESS_NO_PORT"),
        Knob("rate", 600.0, "seconds for which a steady rate is kept up; 0: not at all", kernel=0.0),
    ),
    counter={"bind": True},
    flips_to=Verdict.HOLDS,
    picture=None,
    kernel_s=3.0,
)
