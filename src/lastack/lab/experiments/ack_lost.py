"""What becomes of a close where the ACK of the first FIN is lost."""

from __future__ import annotations

from lastack.drive.faults import bare_ack, fin
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import LATE, instants, lane, seconds
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

_ORDERLY = (("FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"), ("CLOSE_WAIT", "LAST_ACK", "CLOSED"))


def run(lab: Lab) -> Outcome:
    """Lose the ACK while the other program still thinks, and once more where it closes right after the loss."""
    with lab.scene("the ACK is lost, the server's program still thinks", delay=100 * MILLISECOND) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        bench.back.lose(bare_ack, times=lab.number("losses"))
        here.close()
        bench.until(lambda: there.receive() == b"")
        bench.until(lambda: here.state in {State.FIN_WAIT_2, State.CLOSED})
        known, other = here.state, there.state
        there.close()
        bench.ended(there, 5 * SECOND)
        fins = instants(bench, bench.client, fin)
        lanes = lane(bench, bench.client), lane(bench, bench.server)
    with lab.scene("the ACK is lost, the server's FIN follows at once", delay=100 * MILLISECOND) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        bench.back.lose(bare_ack, times=lab.number("losses"))
        here.close()
        bench.until(lambda: there.receive() == b"")
        bench.until(lambda: bench.back.lost)
        there.close()
        bench.ended(there, 5 * SECOND)
        carried = len(instants(bench, bench.client, fin))
        end = here.state
    facts = (
        Fact("FINs of the client where the server thinks", len(fins), near=0.0 if known is State.FIN_WAIT_2 else None),
        Fact("its FIN was repeated after", seconds(fins[1] - fins[0] if len(fins) > 1 else None), "s", LATE),
        Fact("state of the client when that is over", known.name),
        Fact("state of the server meanwhile", other.name),
        Fact("states of the client", lanes[0]),
        Fact("states of the server", lanes[1]),
        Fact("FINs of the client where the server's FIN follows at once", carried),
        Fact("state of the client there", end.name),
    )
    held = lanes == _ORDERLY and len(fins) == lab.number("losses") + 1 and end is State.TIME_WAIT
    return Outcome(Verdict.HOLDS if held else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="ack-lost",
    chapter="close",
    claim=Words(
        "If the ACK of the first FIN is lost, the FIN is repeated and acknowledged again; the close goes on as if "
        "nothing had been.",
        "如果对第一个 FIN 的 ACK 丢了，FIN 会重传并再次得到确认，关闭过程照常进行。",
    ),
    source=Words("several articles", "几篇文章"),
    lesson=Words(
        "An ACK is never repeated by itself; it is asked for again by the repeated FIN, and the receiver's program reads "
        "its end of file once only. If the server's own FIN comes before that repeat, it carries the same "
        "acknowledgment and nothing at all is repeated. Nothing to do here: these ACKs need no tuning.",
        "ACK 自己从不重传；是重传的 FIN 把它再要一次，接收方的程序只会读到一次 EOF。如果服务器自己的 FIN 赶在重传之前到达，"
        "它带着同样的确认号，就什么都不用重传。这里没有什么需要调优。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(Knob("losses", 1, "how many bare ACKs of the server are lost one after the other"),),
    counter={"losses": 99, "tcp_orphan_retries": 1},
    flips_to=Verdict.FALSE,
    picture=(1, 0),
)
