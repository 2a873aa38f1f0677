"""How long keepalive takes to give up a peer that has vanished without a word."""

from __future__ import annotations

from typing import NamedTuple

from lastack.drive.node import complaint
from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.keepalive import KNOBS, noticed, patience, settings, watched
from lastack.lab.lab import Lab
from lastack.lab.reading import segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import MILLISECOND, SECOND
from lastack.wire.icmp import Problem


class _End(NamedTuple):
    """How a connection ended: after how many seconds, with which error, how many probes, whether with a RST."""

    took: float
    error: str
    probes: int
    reset: bool


def run(lab: Lab) -> Outcome:
    """Cut the wire of an idle connection, and wait for the error; once more with a router that says why."""
    with lab.scene("the wire is cut", server=settings(lab)) as bench:
        cut = _wait(lab, bench)
    with lab.scene("the wire is cut, and a router says that the host is unreachable", server=settings(lab)) as bench:
        told = _wait(lab, bench, router=True)
        ignored = bench.server.counters().get("OutOfWindowIcmps", 0)
    facts = (
        Fact("time to notice", cut.took, "s", near=0.2),
        Fact("tcp_keepalive_time + tcp_keepalive_intvl x tcp_keepalive_probes", patience(lab) / SECOND, "s"),
        Fact("probes", cut.probes),
        Fact("RST at the end, to nobody", cut.reset),
        Fact("the error", cut.error),
        Fact("the error where a router says that the host is unreachable", told.error),
        Fact("what the router says is ignored (OutOfWindowIcmps)", ignored > 0),
    )
    in_time = abs(cut.took * SECOND / patience(lab) - 1) < 0.2
    right = cut.error == "ETIMEDOUT" and cut.probes == lab.number("probes") and in_time
    return Outcome(Verdict.HOLDS if right else Verdict.FALSE, facts)


def _wait(lab: Lab, bench: Bench, router: bool = False) -> _End:
    """Let the client vanish, and wait until the server has noticed, or should have."""
    [(_, there)] = watched(bench, lab.flag("keepalive"))
    begin = bench.now
    bench.back.fate.up = False
    before = len(bench.packets())
    if router and bench.within(patience(lab), lambda: len(bench.packets()) > before) is not None:
        probe = bench.sent_by(bench.server)[-1]
        unreachable = complaint(probe, Problem.HOST_UNREACHABLE, probe.destination)
        if unreachable is not None:
            bench.inject(unreachable, bench.client)
    took, error = noticed(bench, there, begin, 2 * patience(lab))
    bench.wait(200 * MILLISECOND)
    told = segments(bench, before)
    return _End(took, error, told.count("server ACK"), told[-1:] == ("server RST,ACK",))


EXPERIMENT = Experiment(
    name="keepalive-unreachable",
    chapter="close-wait",
    claim=Words(
        "If the peer is gone, keepalive probes it every 75 seconds after the two hours, and ends the connection when "
        "none is answered: 2 h 11 min 15 s after the last sign of life.",
        "如果对端已经消失，两小时之后每隔 75 秒发送一个保活探测报文，全部没有回应就关闭连接：距最后一次收到对方的报文共 2 小时 11 分 15 秒。",
    ),
    source=Words(
        "the articles about the keepalive timer; some say ten probes", "讲保活计时器的文章（有的说探测 10 次）"
    ),
    lesson=Words(
        "On Linux it is nine probes (not ten): 7200 + 9 x 75 = 7875 s, then ETIMEDOUT and a RST that nobody hears. "
        "Nobody wants to wait that long: TCP_KEEPIDLE 60, TCP_KEEPINTVL 10, TCP_KEEPCNT 3 on the socket make it 90 s. "
        "Beware: while data of ours is unacknowledged no probe is sent; then the retransmissions decide (tcp_retries2, "
        "about 15 minutes), or TCP_USER_TIMEOUT, which also takes the place of the number of probes. And do not count on "
        "EHOSTUNREACH, which books promise where a router answers a probe with ICMP: a probe's sequence number is outside "
        "the window, and Linux ignores what is said of it (OutOfWindowIcmps).",
        "Linux 默认探测 9 次（不是 10 次）：7200 + 9 × 75 = 7875 秒，然后程序得到 ETIMEDOUT，并发出一个没人收到的 RST。"
        "没有人愿意等这么久：在 socket 上设置 TCP_KEEPIDLE=60、TCP_KEEPINTVL=10、TCP_KEEPCNT=3 就是 90 秒。"
        "注意：还有未确认的数据时不会发送保活探测，这时由重传决定（tcp_retries2，约 15 分钟），或者由 TCP_USER_TIMEOUT 决定；"
        "设置了后者，探测次数也不再起作用。另外，不少书上说路由器对探测报文回应 ICMP 时程序会得到 EHOSTUNREACH，Linux 上并非如此："
        "探测报文的序号在窗口之外，内核会忽略对它的 ICMP 报错（OutOfWindowIcmps）。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(*KNOBS, Knob("keepalive", True, "the server's program has set SO_KEEPALIVE")),
    counter={"keepalive": False},
    flips_to=Verdict.FALSE,
    kernel_s=11.0,
)
