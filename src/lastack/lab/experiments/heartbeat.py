"""How soon a dead peer is noticed: by keepalive, by an application's heartbeat, by TCP_USER_TIMEOUT."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from lastack.lab.bench import Bench, Option
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.keepalive import KNOBS, patience, settings
from lastack.lab.lab import Lab
from lastack.lab.reading import ONE_DOUBLING
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import MILLISECOND, SECOND, Nanos

_PING = b"ping"
_FAR: Nanos = 25 * MILLISECOND
"""One way: far enough that it is not by chance after how many retransmissions the model of tcp_retries2 is over."""


class _Watch(NamedTuple):
    """A way to watch a peer: the socket's options, whether the program sends pings, and how long it waits for a pong."""

    title: str
    options: dict[str, Option]
    pings: bool = False
    deadline: Nanos | None = None


def run(lab: Lab) -> Outcome:
    """Five programs watch a peer, each its own way, and the wire is cut; then the peer's program hangs."""
    watches = _watches(lab)
    sysctls = {**settings(lab), "tcp_retries2": lab.number("retries2")}
    order = "; ".join(watch.title for watch in watches)
    with lab.scene(f"the peer's machine is gone; in this order: {order}", delay=_FAR, server=sysctls) as bench:
        gone = _play(bench, lab, watches, 2 * patience(lab), cut=True)
    default, tuned, deadline, no_deadline, _ = gone
    with lab.scene(
        "the peer's program hangs, its machine is up; in the same order", delay=_FAR, server=sysctls
    ) as bench:
        hung = _play(bench, lab, watches, 3 * _tuned(lab) // 2, cut=False)
    facts = (
        *(
            Fact(f"{watch.title}: noticed after", took, "s", near=ONE_DOUBLING if watch.pings else 0.25)
            for watch, took in zip(watches, gone, strict=True)
        ),
        *(Fact(f"{watch.title}: a hung program noticed", took >= 0) for watch, took in zip(watches, hung, strict=True)),
    )
    if not 0 < deadline < min(default, tuned) or hung[2] < 0:
        return Outcome(Verdict.FALSE, facts)
    if no_deadline < tuned:
        return Outcome(Verdict.HOLDS, facts)
    return Outcome(Verdict.ONLY_IF, facts)


def _watches(lab: Lab) -> tuple[_Watch, ...]:
    tuned: dict[str, Option] = {
        "tcp_keepidle": lab.number("tuned_idle"),
        "tcp_keepintvl": lab.number("tuned_interval"),
        "tcp_keepcnt": lab.number("tuned_probes"),
    }
    timeout: dict[str, Option] = {"tcp_user_timeout": 1000 * lab.number("user_timeout")}
    return (
        _Watch("keepalive, the system's settings", {"so_keepalive": True}),
        _Watch("keepalive, tuned on the socket", {**tuned, "so_keepalive": True}),
        _Watch("heartbeat with a deadline", {}, True, lab.seconds("deadline")),
        _Watch("heartbeat that waits for an error", {}, True),
        _Watch("heartbeat with TCP_USER_TIMEOUT", timeout, True),
    )


def _tuned(lab: Lab) -> Nanos:
    return lab.seconds("tuned_idle") + lab.number("tuned_probes") * lab.seconds("tuned_interval")


def _play(bench: Bench, lab: Lab, watches: tuple[_Watch, ...], at_most: Nanos, cut: bool) -> tuple[float, ...]:
    """After how many seconds each program notices, -1 where it has not."""
    pairs = bench.connections(len(watches))
    for here, there in pairs:
        bench.exchange(there, here, _PING, b"pong")
    for (_, there), watch in zip(pairs, watches, strict=True):
        there.set(**watch.options)
    if cut:
        bench.cut()
    begin = bench.now
    every, end = lab.seconds("every"), begin + at_most
    first = ping = begin + every
    found: dict[str, Nanos] = {}
    left = [(watch, there) for watch, (_, there) in zip(watches, pairs, strict=True)]

    def noticed() -> bool:
        for watch, there in left:
            late = watch.deadline is not None and bench.now >= first + watch.deadline
            if there.error is not None or (late and there.receive() is None):
                found[watch.title] = bench.now - begin
        left[:] = [pair for pair in left if pair[0].title not in found]
        return not left

    while left and bench.now < end:
        deadlines = [first + watch.deadline for watch, _ in left if watch.deadline is not None]
        bench.within(min([ping, end, *deadlines]) - bench.now, noticed)
        noticed()
        if bench.now >= ping:
            for watch, there in left:
                if watch.pings:
                    there.attempt(partial(there.send, _PING))
            ping += every
    return tuple(found[watch.title] / SECOND if watch.title in found else -1.0 for watch in watches)


EXPERIMENT = Experiment(
    name="heartbeat",
    chapter="close-wait",
    claim=Words(
        "An application's own heartbeat finds a dead peer sooner than TCP's keepalive.",
        "应用层心跳比 TCP 的 keepalive 更快发现对端已经失效。",
    ),
    source=Words("said wherever keepalive's two hours are deplored", "凡是嫌 keepalive 两小时太长的文章都这样说"),
    lesson=Words(
        "Time to notice a vanished machine: keepalive by default 2 h 11 min 15 s; tuned on the socket (60, 10, 3) 90 s; a "
        "heartbeat every 30 s with 10 s for the answer 40 s; the same with TCP_USER_TIMEOUT 20 s 50 s; but a heartbeat that "
        "only waits for an error more than 15 minutes, for tcp_retries2 decides then. So it is not the heartbeat but its "
        "deadline. What keepalive and TCP_USER_TIMEOUT can never notice is a program that hangs on a living machine: its "
        "kernel goes on acknowledging. A heartbeat's deadline does.",
        "对端机器突然消失后多久能发现：默认 keepalive 要 2 小时 11 分 15 秒；在 socket 上调成 60/10/3 是 90 秒；"
        "每 30 秒一次心跳、限 10 秒应答是 40 秒；心跳配合 TCP_USER_TIMEOUT 20 秒是 50 秒；"
        "但如果心跳只是等发送报错，则由 tcp_retries2 决定，要 15 分钟以上。所以关键不在心跳本身，而在应答的期限。"
        "keepalive 和 TCP_USER_TIMEOUT 永远发现不了的是“机器还在、程序卡死”：对端内核照样确认；有期限的心跳能发现。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(
        KNOBS[0]._replace(kernel=6),
        KNOBS[1]._replace(kernel=2),
        KNOBS[2]._replace(kernel=2),
        Knob("tuned_idle", 60, "TCP_KEEPIDLE of the tuned socket: seconds", kernel=2),
        Knob("tuned_interval", 10, "TCP_KEEPINTVL of the tuned socket: seconds", kernel=1),
        Knob("tuned_probes", 3, "TCP_KEEPCNT of the tuned socket", kernel=2),
        Knob("every", 30.0, "seconds between heartbeats", kernel=1.0),
        Knob("deadline", 10.0, "seconds that the answer to a heartbeat may take", kernel=1.0),
        Knob("user_timeout", 20, "TCP_USER_TIMEOUT: seconds", kernel=3),
        Knob("retries2", 15, "tcp_retries2: how often data is repeated to a peer that is silent", kernel=4),
    ),
    counter={"retries2": 0},
    flips_to=Verdict.HOLDS,
    condition=Words(
        "the program gives the answer a deadline: one that waits for send() to fail waits for all retransmissions",
        "程序给应答规定了期限：如果只是等 send() 报错，就要等到全部重传用完",
    ),
    kernel_s=20.0,
    picture=(0, 3),
)
