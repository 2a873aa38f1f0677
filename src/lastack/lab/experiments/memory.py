"""How much memory TIME_WAIT takes."""

from __future__ import annotations

from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Value, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND

_MEGABYTE = 1_000_000


def run(lab: Lab) -> Outcome:
    """Make many TIME_WAIT on a host's own loopback, and see what each takes."""
    made = lab.number("made")
    with lab.scene(f"{made:,} connections of a host to itself, all in TIME_WAIT") as bench:
        host = bench.server
        listener = host.listen(8080, backlog=128)
        for _ in range(made):
            here = host.connect(host.address, 8080)
            there = bench.until(listener.accept, SECOND)
            here.close()
            there.receive()
            there.close()
        bench.within(10 * SECOND, lambda: host.count(State.TIME_WAIT) >= made)
        waiting = host.count(State.TIME_WAIT)
        wait, port, socket = host.memory()
        limit = int(host.setting("tcp_max_tw_buckets") or 0)
    many = lab.number("many")
    total = min(many, limit) * wait / _MEGABYTE
    facts = (
        Fact("TIME_WAIT made", waiting),
        Fact("one TIME_WAIT", wait, "octets", near=None),
        Fact("one more local port, on the side that connects", *_known(port), near=None),
        Fact("one open socket with empty buffers", *_known(socket), near=None),
        Fact("memory of 100,000 TIME_WAIT", 100_000 * wait / _MEGABYTE, "MB", near=None),
        Fact("the most that tcp_max_tw_buckets lets there be", limit * wait / _MEGABYTE, "MB", near=None),
        Fact(f"memory of a server that is to hold {many:,} TIME_WAIT", total, "MB", near=None),
    )
    return Outcome(Verdict.HOLDS if total > lab.number("budget") else Verdict.FALSE, facts)


def _known(octets: int | None) -> tuple[Value, str]:
    return ("not told", "") if octets is None else (octets, "octets")


EXPERIMENT = Experiment(
    name="memory",
    chapter="time-wait",
    claim=Words("Many TIME_WAIT eat up the server's memory.", "大量的 TIME_WAIT 会耗尽服务器的内存。"),
    source=Words("several articles", "多篇文章"),
    lesson=Words(
        "A TIME_WAIT is not a socket any more but 256 octets (an open one takes 3.8 KB; the engine's rows some 70 octets): "
        "100,000 of them are 26 MB, and a server that closes 1,000 connections a second holds 60,000, or 15 MB. Where the "
        "host has connected, each also keeps its local port, another 256 octets. The default of tcp_max_tw_buckets, "
        "131,072 here, ends it at 34 MB. Memory is no reason to fight TIME_WAIT.",
        "TIME_WAIT 已经不是完整的套接字，每个只占 256 字节（打开的连接约 3.8 KB；引擎的一行约 70 字节）：10 万个是 26 MB；"
        "每秒关闭 1000 个连接的服务器同时有 6 万个，约 15 MB。如果是本机主动发起的连接，每个还占着一个本地端口，另需 256 字节。"
        "而且 tcp_max_tw_buckets 的默认值（这台机器是 131072）把上限封在 34 MB。内存不是对付 TIME_WAIT 的理由。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(
        Knob("made", 1000, "how many TIME_WAIT are made to be measured", kernel=500),
        Knob("many", 60_000, "how many TIME_WAIT a server has: 60 for every connection that it closes in a second"),
        Knob("budget", 100, "MB that may be called much"),
    ),
    counter={"many": 10_000_000, "tcp_max_tw_buckets": 20_000_000},
    flips_to=Verdict.HOLDS,
    picture=None,
    kernel_s=5.0,
)
