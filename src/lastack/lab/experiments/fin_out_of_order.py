"""What a FIN does that arrives before the data sent ahead of it."""

from __future__ import annotations

from typing import NamedTuple

from lastack.drive.faults import text
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import LATE, Read, all_read, seconds
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos

_DATA = b"the last words" * 50


class _Seen(NamedTuple):
    """What the server saw: its state when the first thing arrived, what it read, and how late the end of it was."""

    waiting: State
    read: Read
    after: Nanos
    queued: int


def run(lab: Lab) -> Outcome:
    """Hold the last data back so that the FIN behind them arrives first; then without holding them back."""
    overtaken = _play(lab, "the FIN overtakes the last data", lab.seconds("held"))
    plain = _play(lab, "the FIN comes after the last data", 0)
    facts = (
        Fact("state of the server when the FIN is there before the data", overtaken.waiting.name),
        Fact("octets read there", overtaken.read.octets, "octets"),
        Fact("then", overtaken.read.end),
        Fact("TCPOFOQueue: segments that had to wait", overtaken.queued),
        Fact("end of file after close(), FIN before the data", seconds(overtaken.after), "s", LATE),
        Fact("end of file after close(), data before the FIN", seconds(plain.after), "s", None),
        Fact("octets read where nothing was overtaken", plain.read.octets, "octets"),
    )
    held = (
        overtaken.waiting is State.ESTABLISHED
        and overtaken.read.octets == plain.read.octets == len(_DATA)
        and overtaken.read.end == plain.read.end == "end of file"
        and overtaken.queued == 1
    )
    return Outcome(Verdict.HOLDS if held else Verdict.FALSE, facts)


def _play(lab: Lab, title: str, held: Nanos) -> _Seen:
    with lab.scene(title, delay=150 * MILLISECOND) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        if held:
            bench.forth.hold(held, text)
        here.send(_DATA)
        closed = bench.now
        if lab.flag("aborts") and held:
            here.abort()
        else:
            here.close()
        bench.within(
            2 * SECOND, lambda: bench.server.counters().get("TCPOFOQueue") or there.state is not State.ESTABLISHED
        )
        waiting = there.state
        read = all_read(bench, there, 5 * SECOND)
        return _Seen(waiting, read, bench.now - closed, bench.server.counters().get("TCPOFOQueue", 0))


EXPERIMENT = Experiment(
    name="fin-out-of-order",
    chapter="close",
    claim=Words(
        "A FIN that overtakes data waits for it: the end of file is read after the last octet, never before.",
        "FIN 如果在路上超过了数据，就必须等数据到齐：EOF 总在最后一个字节之后被读到，绝不会提前。",
    ),
    source=Words("one of the articles", "其中一篇文章"),
    lesson=Words(
        "A FIN has a sequence number like an octet, so it is put in its place like one. An end of file therefore proves "
        "that everything before it has arrived; a RST proves nothing, it overtakes and destroys (--set aborts=true --set held=1). "
        "Where it matters whether all was received, end with a FIN and read to the end of file.",
        "FIN 像一个字节一样占有序号，所以也像字节一样按序排好。因此读到 EOF 就证明之前的一切都到了；RST 什么也证明不了，"
        "它会超车并且毁掉数据（--set aborts=true --set held=1）。如果在乎是否收全，就用 FIN 结束，并一直读到 EOF。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(
        Knob("held", 0.25, "seconds by which the last data are held back"),
        Knob("aborts", False, "whether the client aborts (SO_LINGER {1, 0}) where its data are held back"),
    ),
    counter={"aborts": True, "held": 1.0},
    flips_to=Verdict.FALSE,
)
