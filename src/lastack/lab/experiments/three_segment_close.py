"""Whether a close is always four segments."""

from __future__ import annotations

from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import MILLISECOND
from lastack.wire.flags import FIN


def run(lab: Lab) -> Outcome:
    """Close, let the other side close a while after it has read the end of file, and count."""
    with lab.scene("the answer to close() is close()") as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        before = len(bench.packets())
        here.close()
        bench.until(lambda: there.receive() == b"")
        bench.wait(lab.seconds("think"))
        there.close()
        bench.wait(500 * MILLISECOND)
        closing = [packet.segment for _, _, packet, _ in bench.packets()[before:] if packet.segment is not None]
    count = len(closing)
    facts = (
        Fact("segments of the close", count),
        Fact("FINs among them", sum(segment.flags & FIN != 0 for segment in closing)),
    )
    return Outcome(Verdict.FALSE if count < 4 else Verdict.HOLDS, facts)


EXPERIMENT = Experiment(
    name="three-segment-close",
    chapter="close",
    claim=Words(
        "Closing a TCP connection always takes four segments.", "关闭一个 TCP 连接总是需要四次挥手（四个报文段）。"
    ),
    source=Words("all five articles", "五篇文章都这样说"),
    lesson=Words(
        "Two of the four can share a segment: a side that closes within the delayed-ACK time (40 ms and more on Linux) "
        "sends its ACK on its own FIN. Three segments in a capture are no loss.",
        "四个里有两个可以合并：如果被动方在延迟确认时间（Linux 上至少 40 毫秒）之内就关闭，它的 ACK 会搭在自己的 FIN 上。"
        "抓包里看到三个报文段并不是丢包。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(Knob("think", 0.0, "seconds between the end of file and the other side's close()"),),
    counter={"think": 0.3},
    flips_to=Verdict.HOLDS,
)
