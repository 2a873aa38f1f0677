"""What a shorter TIME_WAIT risks, in numbers."""

from __future__ import annotations

from math import log
from typing import Final

from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import closed, opened
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import SECOND, Nanos
from lastack.stack.dice import Dice
from lastack.wire.packet import Packet

_WAITS: Final = (0, 1, 10, 30, 60)
_DELAYS: Final = (2, 5, 20, 50)
"""Seconds."""
_NUMBER = 1000
_OLD = b"order 2;"
_WINDOW = 1 << 16


def run(lab: Lab) -> Outcome:
    """For each length of TIME_WAIT and each delay, use a four-tuple twice at random times, many times over."""
    dice, trials = lab.dice(), lab.number("trials")
    gap, life = lab.seconds("gap"), lab.seconds("life")
    accepted: dict[tuple[int, int], int] = {}
    for wait in _WAITS:
        client: dict[str, int | str] = {"ip_local_port_range": "40000 40000", "time_wait_ms": wait * 1000}
        with lab.scene(f"TIME_WAIT of {wait} s", client=client, tcp_timestamps=0) as bench:
            play = _Play(bench)
            for delay in _DELAYS:
                accepted[wait, delay] = sum(
                    play.trial(delay * SECOND, wait * SECOND, _random(dice, gap), _random(dice, life))
                    for _ in range(trials)
                )
    late = ", ".join(map(str, _DELAYS))
    facts = (
        *(
            Fact(
                f"the numbers overlap, TIME_WAIT of {wait} s: a segment {late} s late gets in, tries of {trials}",
                ", ".join(str(accepted[wait, delay]) for delay in _DELAYS),
            )
            for wait in _WAITS
        ),
        Fact("with random initial numbers, and a window of 64 KiB, only one in", (1 << 32) // _WINDOW),
    )
    hit = {key for key, count in accepted.items() if count}
    verdict = (
        Verdict.HOLDS if not hit else Verdict.ONLY_IF if all(wait < delay for wait, delay in hit) else Verdict.FALSE
    )
    return Outcome(verdict, facts)


class _Play:
    """Two connections of the same four-tuple and with the same sequence numbers, again and again."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._listener = bench.server.listen(80)
        self._passed: dict[bytes, Packet] = {}
        """The last packet of the client with each text."""
        self._due: Nanos | None = None
        """When the old order comes again."""
        # A fault that never strikes sees all that passes.
        bench.forth.lose(self._see)

    def _see(self, packet: Packet) -> bool:
        assert packet.segment is not None
        self._passed[packet.segment.payload] = packet
        return False

    def trial(self, delay: Nanos, wait: Nanos, gap: Nanos, life: Nanos) -> bool:
        """Whether the new connection, which begins `gap` after the TIME_WAIT and lasts `life`, is given the old order."""
        bench = self._bench
        here, there = self._opened()
        for order in (b"order 1;", _OLD):
            here.send(order)
            bench.until(there.receive)
        self._due = bench.now + delay
        closed(bench, here, there)
        self._go_on(wait)
        bench.ended(here)
        self._go_on(gap)
        here, there = self._opened()
        here.send(b"order 7;")
        read = bench.until(there.receive)
        self._go_on(life)
        read += there.receive() or b""
        self._due = None
        here.abort()
        there.abort()
        bench.wait(SECOND)
        return _OLD in read

    def _opened(self) -> tuple[Sock, Sock]:
        to = (self._bench.server.address, 80)
        return opened(self._bench, self._listener, self._bench.client, to, tcp_queue_seq=_NUMBER)

    def _go_on(self, duration: Nanos) -> None:
        """Let time pass, and the old order come when it is due."""
        bench = self._bench
        end = bench.now + duration
        if self._due is not None and self._due <= end:
            bench.wait(max(self._due - bench.now, 0))
            self._due = None
            # What acknowledges fits, too: the last thing that the client has sent says what.
            last = max(self._passed.values(), key=lambda packet: packet.arrives).segment
            old = self._passed[_OLD]
            assert last is not None and old.segment is not None
            late = old.segment.copy()
            late.ack = last.ack
            bench.inject(old.with_segment(late), bench.client)
        bench.wait(end - bench.now)


def _random(dice: Dice, mean: Nanos) -> Nanos:
    """A time of that mean, exponentially distributed."""
    return round(-mean * log(1 - dice.below(1 << 32) / (1 << 32)))


EXPERIMENT = Experiment(
    name="shorter-msl",
    chapter="time-wait",
    claim=Words(
        "A shorter TIME_WAIT, of 30 s for example, would be safe too.",
        "TIME_WAIT（或 MSL）短一些，比如 30 秒，也一样安全。",
    ),
    source=Words("several articles, as a remedy", "多篇文章把它列为解决办法"),
    lesson=Words(
        "The mainline kernel of Linux has no setting for it; where there is one, this is the table: a TIME_WAIT as "
        "long as the latest segment lets nothing in; a shorter one lets in up to half of those that are later, if "
        "the four-tuple is used again soon and the numbers overlap. With random numbers that is one in 65,536 for "
        "a window of 64 KiB; Linux's clocked ones overlap after a connection faster than 15.6 MB/s. On today's "
        "networks segments later than a few seconds are rare, and with timestamps one second does, which is what "
        "tcp_tw_reuse waits for. It brings little all the same: to have fewer TIME_WAIT, close less often.",
        "Linux 主线内核没有这个设置；在可以设置的系统上，"
        "结果就是这张表：只要 TIME_WAIT 不短于报文段最长的迟到时间，就什么也混不进来；更短的话，"
        "如果四元组很快被重用而且序列号重叠，迟到的报文段最多有一半能混进去。序列号随机时，"
        "64 KiB 的窗口重叠的概率是 1/65536；Linux 按时钟递增的初始序列号，"
        "要在速度超过 15.6 MB/s 的连接之后才会重叠。如今的网络上很少有报文段迟到几秒以上；启用时间戳后 1 秒就够，"
        "tcp_tw_reuse 等的就是这一秒。但调短它收效甚微：想减少 TIME_WAIT，还是应该少关闭几次连接。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(
        Knob("trials", 50, "how often each pair of numbers is tried"),
        Knob("gap", 5.0, "seconds between the end of TIME_WAIT and the next connection of the four-tuple, in the mean"),
        Knob("life", 10.0, "seconds that this one lasts, in the mean"),
    ),
    counter={"tcp_timestamps": 1},
    flips_to=Verdict.HOLDS,
    condition=Words(
        "no segment is ever later than the TIME_WAIT is long, or both ends use timestamps",
        "没有任何报文段会迟到得比 TIME_WAIT 还久，或者双方都启用时间戳",
    ),
    side="sim",
    only="on Linux the length of TIME_WAIT is a constant of the kernel",
    picture=None,
)
