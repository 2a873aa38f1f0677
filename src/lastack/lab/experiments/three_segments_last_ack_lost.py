"""Whether the loss of the last ACK is noticed also where a close has three segments."""

from __future__ import annotations

from typing import NamedTuple

from lastack.drive.faults import bare_ack, fin
from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import LATE, instants, seconds, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos

_TRIES = 5
"""A busy machine may be too late for the ACK to ride on the FIN."""


class _Seen(NamedTuple):
    """A close whose last ACK was lost: its segments, when the FIN was repeated, and where its sender ended."""

    segments: tuple[str, ...]
    repeated: Nanos | None
    end: State


def run(lab: Lab) -> Outcome:
    """Lose the last ACK of a close with four segments, and of one with three."""
    with lab.scene("four segments, the last ACK is lost", delay=100 * MILLISECOND) as bench:
        four = _close(bench, 80, lab.seconds("think"))
    with lab.scene("three segments, the last ACK is lost", delay=100 * MILLISECOND) as bench:
        tries = (_close(bench, port, 0) for port in range(80, 80 + _TRIES))
        three = next(seen for seen in tries if seen.segments[1] == "server FIN,ACK")
    facts = (
        Fact("segments, closed with four", four.segments),
        Fact("FIN repeated after, closed with four", seconds(four.repeated), "s", LATE),
        Fact("state of the server at the end, closed with four", four.end.name),
        Fact("segments, closed with three", three.segments),
        Fact("FIN repeated after, closed with three", seconds(three.repeated), "s", LATE),
        Fact("state of the server at the end, closed with three", three.end.name),
    )
    told = three.segments[-2:] == ("server FIN,ACK", "client ACK") and three.end is State.CLOSED
    return Outcome(Verdict.FALSE if told and three.repeated else Verdict.HOLDS, facts)


def _close(bench: Bench, port: int, think: Nanos) -> _Seen:
    here, there = bench.connection(port)
    bench.exchange(here, there)
    before = len(bench.packets())
    here.shutdown()
    bench.until(lambda: there.receive() == b"")
    bench.wait(think)
    bench.forth.lose(bare_ack)
    there.close()
    bench.ended(there, 5 * SECOND)
    fins = instants(bench, bench.server, fin)
    first = next(at for at, host, packet, _ in bench.packets()[before:] if host == bench.server.name and fin(packet))
    return _Seen(segments(bench, before), fins[-1] - first if fins[-1] > first else None, there.state)


EXPERIMENT = Experiment(
    name="three-segments-last-ack-lost",
    chapter="close",
    claim=Words(
        "A close needs four segments because with three a lost last ACK could not be noticed.",
        "之所以要四次挥手，是因为如果只有三次，最后一个 ACK 丢了就没法发现。",
    ),
    source=Words("one of the articles, as its reason for four", "其中一篇文章，作为需要四次的理由"),
    lesson=Words(
        "Three segments are four with the middle two in one; the last ACK is there in both. Whoever sent the last FIN repeats "
        "it until it is acknowledged (first after 0.2 s and one or two round trips), and TIME_WAIT on the other side answers. What tells is "
        "this repeat and this wait, not the count: with TIME_WAIT switched off (--set tcp_max_tw_buckets=0) the repeated FIN "
        "gets a RST. The true reason for four: each direction ends when its own program says so.",
        "三次挥手就是把中间两次合并成一个报文段，最后的 ACK 两种情形都有。发出最后一个 FIN 的一方会重传，直到得到确认"
        "（第一次在 0.2 秒加一到两个往返时间之后），而对面的 TIME_WAIT 会回答。起作用的是重传和等待，而不是次数："
        "关掉 TIME_WAIT（--set tcp_max_tw_buckets=0），重传的 FIN 得到的就是 RST。需要四次的真正原因是：每个方向由自己的程序决定何时结束。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(Knob("think", 0.3, "seconds between the end of file and close() where the close has four segments"),),
    counter={"tcp_max_tw_buckets": 0},
    flips_to=Verdict.HOLDS,
    picture=(1, 0),
)
