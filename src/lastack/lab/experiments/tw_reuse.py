"""What tcp_tw_reuse does, and for whom."""

from __future__ import annotations

from lastack.errors import CallError
from lastack.lab.bench import LOOPBACK, Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed, opened
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos

_PORTS = "40000 40001"
_STEP = 50 * MILLISECOND


def run(lab: Lab) -> Outcome:
    """Use up two ports, and see after how long connect() gets one again; the same where the server closed first."""
    patience = lab.seconds("patience")
    took: dict[str, float | str] = {}
    for title, reuse, stamps, over in (
        ("tcp_tw_reuse = 0", 0, 1, ""),
        ("tcp_tw_reuse = 1", 1, 1, ""),
        ("tcp_tw_reuse = 1 without timestamps", 1, 0, ""),
        ("tcp_tw_reuse = 2", 2, 1, ""),
        ("tcp_tw_reuse = 2 over loopback", 2, 1, LOOPBACK),
    ):
        client: dict[str, int | str] = {"ip_local_port_range": _PORTS, "tcp_tw_reuse": reuse}
        with lab.scene(title, client=client, tcp_timestamps=stamps, tcp_rfc1337=STEADY) as bench:
            took[title] = _until_connected(bench, over, patience)
    with lab.scene(
        "the server closed first, tcp_tw_reuse = 1", server={"tcp_tw_reuse": 1}, tcp_rfc1337=STEADY
    ) as bench:
        left = _on_the_server(bench, patience)
    facts = (
        *(
            Fact(f"{title}: until connect() gets a port", value, "" if isinstance(value, str) else "s", near=0.3)
            for title, value in took.items()
        ),
        Fact("TIME_WAIT left on a server with tcp_tw_reuse = 1", left),
    )
    got = [isinstance(value, float) for value in took.values()]
    verdict = Verdict.FALSE if not any(got) else Verdict.HOLDS if all(got) and not left else Verdict.ONLY_IF
    return Outcome(verdict, facts)


def _until_connected(bench: Bench, over: str, patience: Nanos) -> float | str:
    """Seconds from the first TIME_WAIT until connect() gets one of the two ports again."""
    server = bench.client if over else bench.server
    listener = server.listen(80)
    to = (over or server.address, 80)
    pairs = [opened(bench, listener, bench.client, to) for _ in range(2)]
    closed(bench, *pairs[0])
    began = bench.now
    closed(bench, *pairs[1])
    again: Sock | None = None
    while again is None and bench.now < began + patience:
        try:
            again = bench.client.connect(*to)
        except CallError:
            bench.wait(_STEP)
    if again is None:
        return f"not within {patience / SECOND:g} s"
    took = (bench.now - began) / SECOND
    bench.until(listener.accept, 10 * SECOND)
    return took


def _on_the_server(bench: Bench, patience: Nanos) -> int:
    """How many of two TIME_WAIT a server still has when clients have come again."""
    listener = bench.server.listen(80)
    for _ in range(2):
        here, there = opened(bench, listener, bench.client, (bench.server.address, 80))
        closed(bench, there, here)
    bench.wait(patience)
    for _ in range(2):
        opened(bench, listener, bench.client, (bench.server.address, 80))
    return bench.server.count(State.TIME_WAIT)


EXPERIMENT = Experiment(
    name="tw-reuse",
    chapter="time-wait",
    claim=Words(
        "tcp_tw_reuse = 1 lets new connections take over what is in TIME_WAIT.",
        "开启 tcp_tw_reuse = 1 后，新连接可以重用处于 TIME_WAIT 的连接。",
    ),
    source=Words(
        "nearly every list of sysctls; often meant for servers", "几乎每份内核参数清单都有，而且常被用在服务器上"
    ),
    lesson=Words(
        "It is for the side that connects: a proxy, a crawler, a client of a database. There connect() may take a port "
        "whose TIME_WAIT is a second old (tcp_tw_reuse_delay), if both ends use timestamps, and a range of 28,232 ports "
        "then carries about 28,000 connections a second to one destination instead of 470. On a server that accepts it "
        "changes nothing. The default, 2, allows it over loopback only.",
        "它只对主动发起连接的一方有用：反向代理、爬虫、数据库客户端。在双方都启用时间戳的前提下，connect() 可以拿走 TIME_WAIT 已满一秒的端口"
        "（tcp_tw_reuse_delay），28232 个端口对同一目标每秒可建约 28000 个连接，而不是 470 个。对只 accept 的服务器毫无作用。"
        "默认值 2 表示只在回环地址上允许。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(Knob("patience", 50.0, "seconds for which connect() is tried again and again", kernel=4.0),),
    counter={"tcp_timestamps": 0},
    flips_to=Verdict.FALSE,
    condition=Words(
        "both ends use timestamps, the host is the one that connects, and TIME_WAIT is a second old",
        "双方都启用时间戳，本机是主动发起连接的一方，而且 TIME_WAIT 已满一秒",
    ),
    picture=(1, 0),
    kernel_s=20.0,
)
