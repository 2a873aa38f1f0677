"""What close() does with SO_LINGER {1, 0}, and what it costs."""

from __future__ import annotations

from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import all_read, lane, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

_SIZE = 20_000


def run(lab: Lab) -> Outcome:
    """Close an idle connection, one whose data are still under way, and one that is being sent to."""
    options = {"so_linger": 0} if lab.flag("linger") else {}
    with lab.scene("close() of an idle connection", delay=20 * MILLISECOND) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        before = len(bench.packets())
        here.set(**options)
        here.close()
        bench.wait(100 * MILLISECOND)
        error = all_read(bench, there, SECOND).end
        there.close()
        bench.wait(200 * MILLISECOND)
        seen, lanes = segments(bench, before), (lane(bench, bench.client), lane(bench, bench.server))
        waits = bench.client.count(State.TIME_WAIT) + bench.server.count(State.TIME_WAIT)
    with lab.scene("close() right after send()", delay=100 * MILLISECOND) as bench:
        # A small window keeps the ladder short.
        listener = bench.server.listen(80, so_rcvbuf=4_096)
        here = bench.client.connect(bench.server.address, 80)
        there = bench.until(listener.accept)
        here.set(**options)
        taken = here.send(b"a" * _SIZE)
        here.close()
        bench.wait(500 * MILLISECOND)
        read = all_read(bench, there, 10 * SECOND)
    with lab.scene("close() while the other side sends", delay=100 * MILLISECOND) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        here.set(**options)
        queued = there.send(b"a" * _SIZE)
        here.close()
        bench.wait(500 * MILLISECOND)
        refused = there.attempt(lambda: there.send(b"a"))
    facts = (
        Fact("segments of the close", seen),
        Fact("states of the side that closes", lanes[0]),
        Fact("states of the other side", lanes[1]),
        Fact("sides in TIME_WAIT afterwards", waits),
        Fact("what the other program reads", error),
        Fact("octets that send() took", taken, "octets"),
        Fact("octets of them that the other program could read", read.octets, "octets"),
        Fact("octets lost", taken - read.octets, "octets"),
        Fact("what it reads after them", read.end),
        Fact("octets that the other program has just sent, and nobody reads", queued, "octets"),
        Fact("error of its next send()", refused),
    )
    told = seen == ("client RST,ACK",) and waits == 0 and error == "ECONNRESET" and read.octets < taken
    return Outcome(Verdict.HOLDS if told else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="linger-zero",
    chapter="close",
    claim=Words(
        "With SO_LINGER {1, 0} close() sends a RST, skips the four segments and TIME_WAIT, and is too violent.",
        "设置 SO_LINGER {1, 0} 之后，close() 直接发 RST，跳过四次挥手和 TIME_WAIT，但过于粗暴。",
    ),
    source=Words("several articles", "几篇文章"),
    lesson=Words(
        "It is true in every part. What send() has taken and TCP not yet sent is thrown away (here 17,104 of 20,000 "
        "octets), nothing is repeated if it is lost, the other program reads ECONNRESET in place of an end of file, and what it "
        "was just sending is lost as after any close(). Use it for a connection that you have given up anyhow (an attacker, a peer that does not answer), never to "
        "have fewer TIME_WAIT.",
        "句句属实。send() 已经收下而 TCP 还没有发出的数据被丢弃（这里是 20,000 字节中的 17,104 字节），路上丢了也不再重传，"
        "对方程序读到的是 ECONNRESET 而不是 EOF，它正在发送的数据也没人读了（任何 close() 都这样）。它只适合反正要放弃的连接（攻击者、没有响应的对端），"
        "绝不要用它来减少 TIME_WAIT。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(Knob("linger", True, "whether SO_LINGER {1, 0} is set before close()"),),
    counter={"linger": False},
    flips_to=Verdict.FALSE,
    picture=(1, 0),
)
