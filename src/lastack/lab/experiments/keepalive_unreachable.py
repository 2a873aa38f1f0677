"""How long keepalive takes to give up a peer that has vanished without a word."""

from __future__ import annotations

from lastack.lab.experiment import Experiment, Knob
from lastack.lab.keepalive import KNOBS, noticed, patience, said, settings, watched
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import MILLISECOND, SECOND


def run(lab: Lab) -> Outcome:
    """Cut the wire of an idle connection, and wait for the error."""
    expected = patience(lab)
    with lab.scene("the wire is cut", server=settings(lab)) as bench:
        [(_, there)] = watched(bench, lab.flag("keepalive"))
        begin = bench.now
        bench.cut()
        took, error = noticed(bench, there, begin, 2 * expected)
        bench.wait(200 * MILLISECOND)
        told = said(bench, there, begin)
    probes = told.count("server ACK")
    facts = (
        Fact("time to notice", took, "s", near=0.2),
        Fact("tcp_keepalive_time + tcp_keepalive_intvl x tcp_keepalive_probes", expected / SECOND, "s"),
        Fact("probes", probes),
        Fact("RST at the end, to nobody", told[-1:] == ("server RST,ACK",)),
        Fact("the error", error),
    )
    right = error == "ETIMEDOUT" and probes == lab.number("probes") and abs(took * SECOND / expected - 1) < 0.2
    return Outcome(Verdict.HOLDS if right else Verdict.FALSE, facts)


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
        "about 15 minutes), or TCP_USER_TIMEOUT, which also takes the place of the number of probes.",
        "Linux 默认探测 9 次（不是 10 次）：7200 + 9 × 75 = 7875 秒，然后程序得到 ETIMEDOUT，并发出一个没人收到的 RST。"
        "没有人愿意等这么久：在 socket 上设置 TCP_KEEPIDLE=60、TCP_KEEPINTVL=10、TCP_KEEPCNT=3 就是 90 秒。"
        "注意：还有未确认的数据时不会发送保活探测，这时由重传决定（tcp_retries2，约 15 分钟），或者由 TCP_USER_TIMEOUT 决定；"
        "设置了后者，探测次数也不再起作用。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(*KNOBS, Knob("keepalive", True, "the server's program has set SO_KEEPALIVE")),
    counter={"keepalive": False},
    flips_to=Verdict.FALSE,
    kernel_s=5.5,
)
