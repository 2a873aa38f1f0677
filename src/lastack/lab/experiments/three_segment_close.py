"""Whether a close is always four segments."""

from __future__ import annotations

from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import MILLISECOND, Nanos

_TRIES = 5
"""A busy machine may be too late for the ACK to ride on the FIN."""


def run(lab: Lab) -> Outcome:
    """Close, let the other side close a while after it has read the end of file, and count."""
    with lab.scene("the answer to close() is close()") as bench:
        closes = []
        for port in range(80, 80 + _TRIES):
            closes.append(_close(bench, port, lab.seconds("think")))
            if len(closes[-1]) < 4:
                break
    fewest = min(closes, key=len)
    facts = (
        Fact("segments of the close", fewest),
        Fact("FINs among them", sum("FIN" in segment for segment in fewest)),
    )
    return Outcome(Verdict.FALSE if len(fewest) < 4 else Verdict.HOLDS, facts)


def _close(bench: Bench, port: int, think: Nanos) -> tuple[str, ...]:
    here, there = bench.connection(port)
    bench.exchange(here, there)
    before = len(bench.packets())
    here.close()
    bench.until(lambda: there.receive() == b"")
    bench.wait(think)
    there.close()
    bench.wait(300 * MILLISECOND)
    return segments(bench, before)


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
