"""What becomes of data that arrive after close()."""

from __future__ import annotations

from lastack.drive.faults import rst
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import lane, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import MILLISECOND, SECOND


def run(lab: Lab) -> Outcome:
    """Send to a socket that was closed a while ago, and to one that was closed while the data were under way."""
    with lab.scene("the server sends when the client has closed", delay=20 * MILLISECOND) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        here.shutdown() if lab.flag("keeps") else here.close()
        bench.until(lambda: there.receive() == b"")
        bench.wait(200 * MILLISECOND)
        before = len(bench.packets())
        first = there.attempt(lambda: there.send(b"more"))
        bench.ended(there, SECOND)
        second = there.attempt(lambda: there.send(b"and more"))
        bench.wait(100 * MILLISECOND)
        # A busy machine may be so late that the data are repeated before the answer is there.
        seen = tuple(dict.fromkeys(segments(bench, before)))
        lanes = lane(bench, bench.client), lane(bench, bench.server)
    with lab.scene("the client closes while data are under way", delay=100 * MILLISECOND) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        there.send(b"more")
        here.shutdown() if lab.flag("keeps") else here.close()
        bench.wait(SECOND)
        resets = sum(map(rst, bench.sent_by(bench.client)))
        counted = bench.client.counters().get("TCPAbortOnData", 0)
    facts = (
        Fact("error of the first send() after the end of file", first or "none"),
        Fact("error of the second", second or "none"),
        Fact("kinds of segments from then on", seen[:2]),
        Fact("states of the side that closed", lanes[0]),
        Fact("states of the side that sends", lanes[1]),
        Fact("the client answers data that were under way with RST", resets > 0),
        Fact("TCPAbortOnData of the client there", counted),
    )
    answered = seen[:2] == ("server ACK,data", "client RST") and not first and second == "EPIPE" and resets > 0
    return Outcome(Verdict.HOLDS if answered else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="data-after-close",
    chapter="close",
    claim=Words(
        "Data for a closed socket are answered with a RST; the sender's first write still succeeds, and only one "
        "after the RST has come fails.",
        "数据到达时套接字已经关闭，就会得到 RST 作为回答；发送方的第一次写仍然成功，RST 到达之后的写才会失败。",
    ),
    source=Words(
        "not told in the articles; RFC 9293, 3.10.7.1 and RFC 1122, 4.2.2.13",
        "文章里没有讲；见 RFC 9293 第 3.10.7.1 节、RFC 1122 第 4.2.2.13 节",
    ),
    lesson=Words(
        "An end of file does not tell whether the other side has closed or only ended its sending: on the wire both are "
        "the same FIN. So a send() that succeeded proves nothing; what must be known to have arrived needs an answer of the "
        "other program. Expect EPIPE (and SIGPIPE: use MSG_NOSIGNAL, or ignore the signal) or ECONNRESET at any call.",
        "EOF 并不能说明对方是关闭了套接字还是只结束了发送：线路上两者都是同一个 FIN。所以 send() 成功什么也证明不了；"
        "必须确认到达的东西，要靠对方程序的应答。任何调用都可能返回 EPIPE（以及 SIGPIPE：用 MSG_NOSIGNAL 或忽略该信号）"
        "或 ECONNRESET，要有准备。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(Knob("keeps", False, "whether the client only ends its sending: shutdown(SHUT_WR) in place of close()"),),
    counter={"keeps": True},
    flips_to=Verdict.FALSE,
)
