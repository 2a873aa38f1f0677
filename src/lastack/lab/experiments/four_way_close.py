"""What the four segments of a close are, and the states on either side."""

from __future__ import annotations

from itertools import pairwise

from lastack.drive.faults import fin
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import lane, seconds, segments, spent
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND
from lastack.wire.flags import FIN
from lastack.wire.seq import distance

_TOLD = ("client FIN,ACK", "server ACK", "server FIN,ACK", "client ACK")
_CLOSER = ("FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
_OTHER = ("CLOSE_WAIT", "LAST_ACK", "CLOSED")


def run(lab: Lab) -> Outcome:
    """Close; let the other program close some time after it has read the end of file."""
    with lab.scene("the client closes, the server's program closes later", delay=20 * MILLISECOND) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        before = len(bench.packets())
        here.close()
        bench.until(lambda: there.receive() == b"")
        bench.wait(lab.seconds("think"))
        if lab.flag("closes"):
            there.close()
        bench.wait(500 * MILLISECOND)
        seen, closer, other = segments(bench, before), lane(bench, bench.client), lane(bench, bench.server)
        closing = [packet.segment for _, _, packet, _ in bench.packets()[before:] if packet.segment is not None]
        steps = [
            distance(one.seq, following.ack)
            for one, following in pairwise(closing)
            if one.flags & FIN and not following.flags & FIN
        ]
        half = spent(bench, bench.client, State.FIN_WAIT_2)
        open_fins = sum(map(fin, bench.sent_by(bench.server)))
    told = seen == _TOLD and closer == _CLOSER and other == _OTHER and steps == [1, 1]
    facts = (
        Fact("segments of the close", seen),
        Fact("states of the side that closes first", closer),
        Fact("states of the other side", other),
        Fact("by how much the ACK of a FIN exceeds the FIN's sequence number", max(steps)),
        Fact("FINs of the server", open_fins),
        Fact("time in FIN_WAIT_2", seconds(half), "s", None),
    )
    return Outcome(Verdict.HOLDS if told else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="four-way-close",
    chapter="close",
    claim=Words(
        "A connection is closed by FIN, ACK, FIN, ACK; a FIN takes one sequence number, so its ACK is seq + 1; the "
        "side that closes first goes through FIN_WAIT_1, FIN_WAIT_2 and TIME_WAIT, the other through CLOSE_WAIT and "
        "LAST_ACK to CLOSED.",
        "四次挥手就是 FIN、ACK、FIN、ACK；FIN 占一个序号，所以对它的确认号是 seq+1；主动关闭方依次经过 FIN_WAIT_1、"
        "FIN_WAIT_2、TIME_WAIT，被动关闭方经过 CLOSE_WAIT、LAST_ACK 到 CLOSED。",
    ),
    source=Words("all five articles", "五篇文章都这样说"),
    lesson=Words(
        "The two ACKs are TCP's own, each FIN waits for a program. The third segment leaves when the other program calls "
        "close(), and not before: until then one side stays in CLOSE_WAIT and the other in FIN_WAIT_2. If a close hangs half way, look "
        "for the program that has not closed its socket, not for a setting (try --set closes=false).",
        "两个 ACK 由内核自己发出，而每个 FIN 都要等程序。第三次挥手要等对方的程序调用 close() 才会发出：在那之前一边停在 CLOSE_WAIT，"
        "另一边停在 FIN_WAIT_2。如果挥手停在半路，要找的是没有关闭套接字的程序，而不是某个内核参数"
        "（试试 --set closes=false）。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(
        Knob("think", 0.3, "seconds between the end of file and the other program's close()"),
        Knob("closes", True, "whether the other program calls close() at all"),
    ),
    counter={"closes": False},
    flips_to=Verdict.FALSE,
)
