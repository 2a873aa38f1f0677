"""What becomes of a close whose last ACK is lost."""

from __future__ import annotations

from lastack.drive.faults import bare_ack, fin, rst
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import LATE, instants, lane, seconds
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

_DELAY = 80 * MILLISECOND


def run(lab: Lab) -> Outcome:
    """Lose the last ACK several times, and see how long TIME_WAIT lasts after the last repeated FIN."""
    with lab.scene("the last ACK is lost, again and again", delay=_DELAY) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        here.shutdown()
        bench.until(lambda: there.receive() == b"")
        bench.until(lambda: here.state is State.FIN_WAIT_2)
        bench.forth.lose(bare_ack, times=lab.number("losses"))
        there.close()
        bench.until(lambda: here.state is not State.FIN_WAIT_2)
        entered = bench.now
        bench.ended(there, 30 * SECOND)
        bench.ended(here, 100 * SECOND)
        fins = instants(bench, bench.server, fin)
        acks = instants(bench, bench.client, lambda packet: bare_ack(packet) or rst(packet))[-len(fins) :]
        resets = sum(map(rst, bench.sent_by(bench.client)))
        at_once = all(answer - asked < _DELAY + SECOND // 2 for asked, answer in zip(fins, acks, strict=True))
        whole, rest = bench.now - entered, bench.now - fins[-1] - _DELAY
        other = lane(bench, bench.server)
    facts = [
        Fact("FINs of the server", len(fins)),
        Fact("RSTs that answered them", resets),
        Fact("each was answered at once", at_once),
        Fact("states of the server", other),
        Fact("between the first FIN and the last", seconds(fins[-1] - fins[0]), "s", LATE),
    ]
    if not resets:
        facts.append(Fact("time in TIME_WAIT from the last FIN on", seconds(rest), "s", 0.05))
        facts.append(Fact("time in TIME_WAIT in all", seconds(whole), "s", 0.1))
    held = resets == 0 and at_once and rest > 59.5 * SECOND and whole > rest
    return Outcome(Verdict.HOLDS if held else Verdict.FALSE, tuple(facts))


EXPERIMENT = Experiment(
    name="last-ack-lost",
    chapter="close",
    claim=Words(
        "If the last ACK is lost, the other side repeats its FIN; TIME_WAIT acknowledges it again, and the two MSL start "
        "anew.",
        "如果最后一个 ACK 丢了，对方会重传 FIN；TIME_WAIT 的一方再次确认，2MSL 重新开始计时。",
    ),
    source=Words("all five articles, as the first reason for TIME_WAIT", "五篇文章都把它作为 TIME_WAIT 的第一个理由"),
    lesson=Words(
        "This is what TIME_WAIT is for. A FIN that is repeated within the 60 s is answered at once, and the 60 s begin "
        "again with each. Without TIME_WAIT (--set tcp_max_tw_buckets=0) the repeated FIN is answered with RST, and the "
        "other side cannot know whether its last data arrived; so do not switch TIME_WAIT off, let it be.",
        "TIME_WAIT 就是为此存在的。60 秒之内重传的 FIN 会立即得到确认，并且每来一次，60 秒就从头算起。"
        "没有 TIME_WAIT（--set tcp_max_tw_buckets=0），重传的 FIN 得到的是 RST，对方就无从知道最后的数据到了没有。"
        "所以不要关掉 TIME_WAIT，让它待着。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(Knob("losses", 4, "how many last ACKs are lost one after the other"),),
    counter={"tcp_max_tw_buckets": 0},
    flips_to=Verdict.FALSE,
    kernel_s=67.0,
)
