"""What answers a new SYN that reaches a connection in LAST_ACK."""

from __future__ import annotations

from lastack.drive.faults import fin
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import LATE, seconds, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

_DELAY = 100 * MILLISECOND


def run(lab: Lab) -> Outcome:
    """Leave the server in LAST_ACK, let the client forget everything, and connect again from the same port."""
    with lab.scene("the client has restarted and connects from the same port", delay=_DELAY) as bench:
        listener = bench.server.listen(80)
        here = bench.client.connect(bench.server.address, 80)
        there = bench.until(listener.accept)
        here.close()
        bench.until(lambda: there.receive() == b"")
        bench.back.lose(fin, times=0)
        there.close()
        bench.wait(2 * _DELAY)
        state = there.state
        bench.client.reboot()
        if lab.flag("forgets"):
            bench.server.reboot()
        before, begin = len(bench.packets()), bench.now
        again = bench.client.connect(bench.server.address, 80, (bench.client.address, here.four.local.port))
        bench.until(lambda: again.state in {State.ESTABLISHED, State.CLOSED}, 10 * SECOND)
        took = bench.now - begin
        end = again.state
        # The server's FINs go on, and are lost: they are no part of the new connection.
        seen = tuple(segment for segment in segments(bench, before) if "FIN" not in segment)
        counted = {name: bench.server.counters().get(name, 0) for name in ("TCPSYNChallenge", "TCPChallengeACK")}
    facts = (
        Fact("state of the server's end", state.name),
        Fact("segments of the new connection", seen),
        Fact("state of the new connection", end.name),
        Fact("decided after", seconds(took), "s", LATE),
        *(Fact(name, value) for name, value in counted.items()),
    )
    refused = "server RST,ACK" in seen[1:2]
    return Outcome(Verdict.HOLDS if refused else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="syn-to-last-ack",
    chapter="close",
    claim=Words(
        "A new SYN that reaches a connection in LAST_ACK is answered with a RST.",
        "处于 LAST_ACK 的连接收到新的 SYN，会回复 RST。",
    ),
    source=Words("one of the articles", "其中一篇文章"),
    lesson=Words(
        "RFC 793 asked for a RST where the SYN is in the window; since RFC 5961 the answer is an ACK of what LAST_ACK knows (a "
        "challenge ACK). It is the client that sends the RST, because "
        "that ACK makes no sense to it, and this ends the LAST_ACK. The client repeats its SYN a few milliseconds later "
        "(after 1 s before Linux 5.6) and is accepted. A restarted client that binds its old port need not wait, and nothing "
        "need be tuned.",
        "RFC 793 曾要求对落在窗口内的 SYN 回 RST；RFC 5961 之后，LAST_ACK 回的是 ACK（challenge ACK），内容是它所知道的序号。发 RST 的是客户端，因为这个 ACK 对它毫无意义，"
        "而这个 RST 正好结束了 LAST_ACK。客户端几毫秒后（Linux 5.6 之前是 1 秒后）重传的 SYN 就会被接受。"
        "因此重启后仍绑定原端口的客户端不必等待，也不用调优。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(Knob("forgets", False, "whether the server has restarted as well: no LAST_ACK, and nobody listens"),),
    counter={"forgets": True},
    flips_to=Verdict.HOLDS,
)
