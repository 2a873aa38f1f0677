"""Whether a close ends sooner when the first FIN is acknowledged at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lastack.drive.faults import every, fin
from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import seconds
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import MILLISECOND, SECOND, Nanos

_LEAST = 3
_MOST = 8
"""So many connections of each kind: a busy machine only ever adds to a time, and to a count of segments."""
_SOON: Nanos = 20 * MILLISECOND
"""An ACK within this time is not delayed; what differs by less is no gain."""


class _Close(NamedTuple):
    """A close: its segments, and its times.

    `acked`: from the first FIN, or from the program's asking for it, to its ACK. `heard`: from the FIN to the end of
    file. `rest`: from the second FIN to the end.
    """

    segments: int
    acked: Nanos
    heard: Nanos
    rest: Nanos

    @property
    def ended(self) -> Nanos:
        """The end of the close, the program's thinking left out."""
        return self.heard + self.rest


def run(lab: Lab) -> Outcome:
    """Close some connections with the delayed ACK and some with TCP_QUICKACK, the program thinking or not."""
    think = lab.seconds("think")
    late, vain, soon = _play(
        lab,
        "delayed; TCP_QUICKACK set before the FIN comes; set on reading the end of file",
        think,
        ("", "before", "after"),
        lambda closes: closes[2].acked < _SOON,
    )
    joined, parted = _play(
        lab,
        "the program closes at once: delayed; TCP_QUICKACK set on reading the end of file",
        0,
        ("", "after"),
        lambda closes: closes[0].segments == 3,
    )
    acked = [min(close.acked for close in closes) for closes in (late, vain, soon)]
    # Sooner is what is so every time: the slowest of the one kind before the quickest of the other.
    gained = min(close.ended for close in late) - max(close.ended for close in soon)
    sooner = acked[0] - acked[2] > _SOON if lab.flag("lingers") else gained > _SOON
    facts = (
        Fact("the ACK of the FIN is delayed", acked[0] > _SOON),
        Fact("it is so too with TCP_QUICKACK set before the FIN", acked[1] > _SOON),
        Fact("it is so too with TCP_QUICKACK set on reading the end of file", acked[2] > _SOON),
        Fact("ACK of the FIN, delayed, after", seconds(acked[0]), "s", None),
        Fact("ACK of the FIN, at once, after", seconds(acked[2]), "s", None),
        Fact("end of the close, program's time left out, delayed", seconds(min(one.ended for one in late)), "s", None),
        Fact("end of the close, program's time left out, at once", seconds(min(one.ended for one in soon)), "s", None),
        Fact("the close ends sooner by 20 ms or more", gained > _SOON),
        Fact("segments, delayed, where the program closes at once", min(close.segments for close in joined)),
        Fact("segments, at once, where the program closes at once", min(close.segments for close in parted)),
    )
    return Outcome(Verdict.HOLDS if sooner else Verdict.FALSE, facts)


def _play(
    lab: Lab, title: str, think: Nanos, ways: tuple[str, ...], seen: Callable[[tuple[_Close, ...]], bool]
) -> list[tuple[_Close, ...]]:
    """Close in these ways by turns, until it was once as it can be on an idle machine: the closes of each way."""
    rounds: list[tuple[_Close, ...]] = []
    with lab.scene(title) as bench:
        while len(rounds) < _LEAST or (len(rounds) < _MOST and not any(map(seen, rounds))):
            port = 80 + len(rounds) * len(ways)
            rounds.append(tuple(_close(bench, port + place, think, way) for place, way in enumerate(ways)))
    return list(zip(*rounds, strict=True))


def _close(bench: Bench, port: int, think: Nanos, quick: str) -> _Close:
    here, there = bench.connection(port)
    bench.exchange(here, there)
    before = len(bench.packets())
    if quick == "before":
        there.set(tcp_quickack=True)
    here.close()
    bench.until(lambda: there.receive() == b"")
    heard = bench.now
    if quick == "after":
        there.set(tcp_quickack=True)
    bench.wait(think)
    there.close()
    bench.ended(there, 5 * SECOND)
    packets = bench.packets()[before:]
    begin = packets[0][0]
    answer, second = (
        next(at for at, host, packet, _ in packets if host == bench.server.name and where(packet))
        for where in (every, fin)
    )
    # Where the option makes the ACK leave it is counted from there: how soon the program sets it is its own affair.
    asked = heard if quick == "after" else begin
    return _Close(len(packets), answer - asked, heard - begin, packets[-1][0] - second)


EXPERIMENT = Experiment(
    name="delayed-ack",
    chapter="close",
    claim=Words(
        "The FIN should be acknowledged at once (delayed ACK off, TCP_QUICKACK): the connection is closed sooner.",
        "收到 FIN 应当立刻回 ACK（关闭延迟确认、TCP_QUICKACK），这样连接关闭得更快。",
    ),
    source=Words("one of the articles", "其中一篇文章"),
    lesson=Words(
        "The end of a close waits for the other program's close(), not for the ACK: FIN_WAIT_1 only gets 40 ms shorter, "
        "and FIN_WAIT_2 as much longer. Make the program close sooner instead; where it does so at once, a quick ACK only "
        "costs a fourth segment. Linux delays the ACK of a FIN even with TCP_QUICKACK, unless that is set after the FIN has come; "
        "the quickack of a route (ip route ... quickack 1) does switch the delay off. "
        "One case gains: a close() that blocks because of SO_LINGER with a time waits for just this ACK (--set lingers=true).",
        "关闭何时结束取决于对方程序何时 close()，而不是那个 ACK：立刻确认只是让 FIN_WAIT_1 短了 40 毫秒，FIN_WAIT_2 长了 40 毫秒。"
        "不如让程序早些 close()；如果它本来就马上关闭，立刻确认只会多出第四个报文段。在 Linux 上，事先设置的 TCP_QUICKACK 对 FIN 的 ACK 不起作用，"
        "要在 FIN 到达之后再设一次；路由上的 quickack（ip route ... quickack 1）则确实能关闭延迟确认。唯一有好处的情形：设了带时间的 SO_LINGER，"
        "阻塞的 close() 等的正是这个 ACK（--set lingers=true）。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(
        Knob("think", 0.15, "seconds between the end of file and the other program's close()"),
        Knob("lingers", False, "judge by the ACK of the FIN, which is what a close() with SO_LINGER {1, 5} waits for"),
    ),
    counter={"lingers": True},
    flips_to=Verdict.HOLDS,
    kernel_s=5.0,
    picture=(0, 2),
)
