"""Whether there is a way to free everything with the FIN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lastack.drive.faults import rst
from lastack.lab.bench import Option
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import all_read
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND


class _Way(NamedTuple):
    """A way to close: its name, the options of the socket, the sysctls of its host."""

    name: str
    options: Mapping[str, Option]
    settings: Mapping[str, int]


class _Seen(NamedTuple):
    """What a way left soon after and at the end, what the peer's program read, and the RSTs it cost."""

    soon: State
    late: State
    read: str
    resets: int


_WAYS = (
    _Way("plain close()", {}, {}),
    _Way("SO_LINGER {1, 0}", {"so_linger": 0}, {}),
    _Way("TCP_LINGER2 -1", {"tcp_linger2": -1}, {}),
    _Way("tcp_fin_timeout 1", {}, {"tcp_fin_timeout": 1}),
)


def run(lab: Lab) -> Outcome:
    """Close in every way there is, and see what is left of the socket and what the other side gets to know."""
    facts: list[Fact] = []
    found = False
    for way in _WAYS:
        seen = _play(lab, way)
        found = found or (seen.soon is State.CLOSED and seen.read == "end of file" and not seen.resets)
        facts += [
            Fact(f"{way.name}: soon after close()", seen.soon.name),
            Fact(f"{way.name}: when the other side has closed too", seen.late.name),
            Fact(f"{way.name}: what the other program reads", seen.read),
            Fact(f"{way.name}: RSTs", seen.resets),
        ]
    return Outcome(Verdict.HOLDS if found else Verdict.FALSE, tuple(facts))


def _play(lab: Lab, way: _Way) -> _Seen:
    with lab.scene(way.name, delay=20 * MILLISECOND, client=way.settings) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        here.set(**way.options)
        if lab.flag("peer_first"):
            there.shutdown()
            bench.until(lambda: here.receive() == b"")
        here.close()
        bench.wait(300 * MILLISECOND)
        soon = here.state
        bench.within(lab.seconds("think"), lambda: here.state is State.CLOSED)
        read = all_read(bench, there, SECOND)
        there.close()
        bench.wait(300 * MILLISECOND)
        resets = sum(map(rst, bench.sent_by(bench.client))) + sum(map(rst, bench.sent_by(bench.server)))
        return _Seen(soon, here.state, read.end, resets)


EXPERIMENT = Experiment(
    name="fast-close-option",
    chapter="close",
    claim=Words(
        "There is a TCP option for a fast close, which frees the resources together with the FIN.",
        "TCP 有一个“快速关闭”选项，发出 FIN 就可以立即释放资源。",
    ),
    source=Words("one of the articles", "其中一篇文章"),
    lesson=Words(
        "There is none. SO_LINGER {1, 0} frees at once, but sends a RST and no FIN; TCP_LINGER2 -1 frees when the FIN is "
        "acknowledged, with a RST; tcp_fin_timeout shortens the wait for the other side's FIN, which is then answered with a RST. What comes nearest is to let the other side close first (--set peer_first=true): then a plain close() is over "
        "one round trip after our FIN, with nothing lost.",
        "没有这样的选项。SO_LINGER {1, 0} 立即释放，但发的是 RST 而不是 FIN；TCP_LINGER2 为 -1 时 FIN 一得到确认就释放，"
        "同时发出 RST；tcp_fin_timeout 只是缩短等待对方 FIN 的时间，之后到的 FIN 得到的也是 RST。最接近的办法是让对方先关闭"
        "（--set peer_first=true）：这时普通的 close() 在我方 FIN 之后一个往返就结束，什么也不损失。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(
        Knob("think", 3.0, "seconds after which the other program closes as well, if nothing is left before"),
        Knob("peer_first", False, "whether the other side closes first"),
    ),
    counter={"peer_first": True},
    flips_to=Verdict.HOLDS,
    kernel_s=9.0,
    picture=(2, 0),
)
