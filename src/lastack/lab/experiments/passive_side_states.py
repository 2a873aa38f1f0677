"""In which state the passive side waits for the last ACK."""

from __future__ import annotations

from lastack.drive.faults import fin
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import LATE, lane, seconds, spent
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

_DATA = b"d" * 1_000_000


def run(lab: Lab) -> Outcome:
    """Close, and look at the other side until all is over; then once more where its FIN has to wait behind data."""
    with lab.scene("the server closes some time after the client", delay=100 * MILLISECOND) as bench:
        here, there = bench.connection()
        here.close()
        bench.until(lambda: there.receive() == b"")
        bench.wait(lab.seconds("think"))
        if lab.flag("closes"):
            there.close()
        bench.wait(500 * MILLISECOND)
        states = lane(bench, bench.server)
        waiting = [spent(bench, bench.server, state) for state in (State.CLOSE_WAIT, State.LAST_ACK)]
    with lab.scene("the server's FIN has to wait behind its data", delay=20 * MILLISECOND) as bench:
        here, there = bench.connection(so_rcvbuf=4_096)
        here.shutdown()
        bench.until(lambda: there.receive() == b"")
        there.send(_DATA)
        bench.wait(100 * MILLISECOND)
        if lab.flag("closes"):
            there.close()
        bench.wait(SECOND // 2)
        behind, fins = there.state, sum(map(fin, bench.sent_by(bench.server)))
    facts = (
        Fact("states of the passive side", states),
        Fact("time in CLOSE_WAIT", seconds(waiting[0]), "s", None),
        Fact("time in LAST_ACK, a round trip of 0.2 s", seconds(waiting[1]), "s", LATE),
        Fact("state where the FIN has to wait behind data", behind.name),
        Fact("FINs sent by then", fins),
    )
    return Outcome(Verdict.FALSE if "LAST_ACK" in states else Verdict.HOLDS, facts)


EXPERIMENT = Experiment(
    name="passive-side-states",
    chapter="close",
    claim=Words(
        "The passive side stays in CLOSE_WAIT until it receives the last ACK.",
        "被动关闭方一直停留在 CLOSE_WAIT，直到收到最后一个 ACK。",
    ),
    source=Words("one of the articles", "其中一篇文章"),
    lesson=Words(
        "CLOSE_WAIT ends with the program's close(), and LAST_ACK begins, even while the FIN still waits behind data. So the "
        "two tell different stories: many CLOSE_WAIT mean that your program does not close, many LAST_ACK that the other "
        "side or the network does not answer. Read the state before you look for the culprit.",
        "程序一调用 close()，CLOSE_WAIT 就结束了，进入 LAST_ACK，哪怕 FIN 还排在数据后面没有发出去。所以两者说明的问题不同："
        "CLOSE_WAIT 多，是自己的程序没有关闭；LAST_ACK 多，是对方或网络没有回应。先看清状态，再找原因。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(
        Knob("think", 0.3, "seconds between the end of file and the passive side's close()"),
        Knob("closes", True, "whether the passive side's program calls close() at all"),
    ),
    counter={"closes": False},
    flips_to=Verdict.HOLDS,
)
