"""An experiment of one's own, on whether a keepalive probe reaches the program at the other end.

lastack lab run examples/experiment.py                    # with root on the kernel too
lastack lab run examples/experiment.py --set speaks=yes   # its verdict flips
python examples/experiment.py                             # the same from Python
"""

from __future__ import annotations

import lastack
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import SECOND


def run(lab: Lab) -> Outcome:
    """Let keepalive probe a peer whose program sleeps, and see what that program can read."""
    with lab.scene("an idle connection with keepalive") as bench:
        here, there = bench.connection(so_keepalive=True, tcp_keepidle=1, tcp_keepintvl=1)
        if lab.flag("speaks"):
            here.send(b"are you there?")
        bench.wait(3 * SECOND)
        probes = bench.client.counters().get("TCPKeepAlive", 0)
        read = there.receive()
    facts = (Fact("the other program can read something", bool(read)), Fact("probes were sent", probes > 0))
    return Outcome(Verdict.HOLDS if read else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="keepalive-is-heard",
    chapter="close-wait",
    claim=Words(
        "A keepalive probe tells the program at the other end that we are there.", "保活探测会通知对端的程序。"
    ),
    source=Words("an example", "示例"),
    lesson=Words("The other kernel answers; its program hears nothing.", "由对端内核应答，对端程序什么也不知道。"),
    run=run,
    expected=Verdict.FALSE,
    counter={"speaks": True},
    flips_to=Verdict.HOLDS,
    knobs=(Knob("speaks", False, "whether our program says something itself"),),
)

if __name__ == "__main__":
    row = lastack.experiment(EXPERIMENT)
    assert row.verdict is not None
    print(f"{row.about.claim.en} {row.verdict.value}")
