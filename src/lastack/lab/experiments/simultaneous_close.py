"""What happens when both sides close at once."""

from __future__ import annotations

from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import lane, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND

_BOTH = ("FIN_WAIT_1", "CLOSING", "TIME_WAIT")
_DELAY = 300 * MILLISECOND


def run(lab: Lab) -> Outcome:
    """Close one end, and the other so long after that."""
    with lab.scene("both close before either has heard of it", delay=_DELAY) as bench:
        here, there = bench.connection()
        bench.wait(3 * _DELAY)
        before = len(bench.packets())
        here.close()
        bench.wait(lab.seconds("apart"))
        there.close()
        bench.wait(4 * _DELAY)
        seen = segments(bench, before)
        lanes = [lane(bench, host) for host in (bench.client, bench.server)]
        waits = [host.count(State.TIME_WAIT) for host in (bench.client, bench.server)]
    facts = (
        Fact("segments of the close", seen),
        Fact("states of the client", lanes[0]),
        Fact("states of the server", lanes[1]),
        Fact("sides in TIME_WAIT afterwards", sum(waits)),
    )
    return Outcome(Verdict.HOLDS if lanes == [_BOTH, _BOTH] and waits == [1, 1] else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="simultaneous-close",
    chapter="close",
    claim=Words(
        "When both sides close at once their FINs cross: both go from FIN_WAIT_1 to CLOSING to TIME_WAIT, and there is "
        "no passive side.",
        "双方同时关闭时两个 FIN 在路上交错：双方都从 FIN_WAIT_1 进入 CLOSING 再进入 TIME_WAIT，没有被动关闭方。",
    ),
    source=Words("not told in the articles; RFC 9293, figure 13", "文章里没有讲；见 RFC 9293 图 13"),
    lesson=Words(
        "A close has an active and a passive side only if the second close() comes after the first FIN has arrived. "
        "Where both sides have the same idle time-out, both close within one another's travelling time now and then, "
        "and both keep a TIME_WAIT: give the client the shorter time-out, so that the waits stay with the clients.",
        "只有当第二个 close() 发生在第一个 FIN 到达之后，才有主动方和被动方之分。如果两端的空闲超时一样长，"
        "就会不时在一个单程时延之内同时关闭，于是两端都留下 TIME_WAIT：让客户端的超时更短，TIME_WAIT 就留在客户端。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(Knob("apart", 0.0, "seconds between the two close(); a FIN travels for 0.3 s"),),
    counter={"apart": 0.7},
    flips_to=Verdict.FALSE,
)
