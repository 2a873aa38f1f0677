"""What becomes of a close whose FIN is lost."""

from __future__ import annotations

from lastack.drive.faults import fin
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import LATE, instants, lane, seconds
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND


def run(lab: Lab) -> Outcome:
    """Lose the first FINs of the client, and wait for the end of file or for the client's giving up."""
    with lab.scene("the client's FIN is lost, again and again", delay=100 * MILLISECOND) as bench:
        here, there = bench.connection()
        bench.exchange(here, there)
        bench.forth.lose(fin, times=lab.number("losses"))
        here.close()
        closed = bench.now
        heard = bench.until(
            lambda: "told" if there.receive() == b"" else "" if here.state is not State.CLOSED else "given up"
        )
        waited = bench.now - closed
        other = there.state
        if heard == "told":
            there.close()
        bench.wait(500 * MILLISECOND)
        sent = instants(bench, bench.client, fin)
        states = lane(bench, bench.client), lane(bench, bench.server)
    told = heard == "told" and states[0][-1:] == ("TIME_WAIT",) and states[1][-1:] == ("CLOSED",)
    facts = [
        Fact("FINs that the client sent", len(sent), near=0.0 if told else None),
        *(
            Fact(f"FIN repeated, number {number}, after", seconds(at - sent[0]), "s", LATE)
            for number, at in enumerate(sent[1:3], 1)
        ),
        Fact("the server heard of the close", heard == "told"),
        Fact("the server heard or the client gave up after", seconds(waited), "s", LATE),
        Fact("state of the server then", other.name),
    ]
    return Outcome(Verdict.HOLDS if told else Verdict.FALSE, tuple(facts))


EXPERIMENT = Experiment(
    name="fin-lost",
    chapter="close",
    claim=Words(
        "If a FIN is lost, its sender repeats it, and nothing is lost but time.",
        "FIN 丢了，发送方会重传，除了时间什么也不会损失。",
    ),
    source=Words("several articles", "几篇文章"),
    lesson=Words(
        "The first repeat comes after 0.2 s and one or two round trips (tail loss probe), the second after as long again, the next ones in "
        "doubling steps, all by the kernel: the program has long gone. It gives up after tcp_orphan_retries (0 means 8: about 105 s where the round trip is short), "
        "and then the other side is never told: its connection stays ESTABLISHED until it sends something or keepalive "
        "asks. So lower tcp_orphan_retries only where the other side has a time-out of its own.",
        "第一次重传在 0.2 秒加一到两个往返时间之后（尾部丢失探测 TLP），第二次再隔同样长，以后间隔加倍；这些都由内核完成，程序早已不在了。"
        "重传到 tcp_orphan_retries 次为止（0 表示 8 次，往返时间短时约 105 秒），之后对方永远不会知道：它的连接一直停在 ESTABLISHED，"
        "直到自己发送数据或者 keepalive 去探测。所以只有当对方有自己的超时时，才可以调小 tcp_orphan_retries。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(Knob("losses", 2, "how many FINs of the client are lost one after the other"),),
    counter={"losses": 99, "tcp_orphan_retries": 1},
    flips_to=Verdict.FALSE,
)
