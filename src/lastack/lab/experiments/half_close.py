"""Whether each direction of a connection is closed on its own."""

from __future__ import annotations

from lastack.drive.faults import rst
from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import all_read, lane
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

_REQUEST = b"the whole question" * 100


def run(lab: Lab) -> Outcome:
    """Ask, end the asking side, and let the other send a long answer after it has read the end of file."""
    size = lab.number("answer")
    with lab.scene("the client ends its side, then the answer begins", delay=100 * MILLISECOND) as bench:
        here, there = bench.connection()
        here.send(_REQUEST)
        if lab.flag("keeps"):
            here.shutdown()
        else:
            here.close()
        asked = all_read(bench, there, 10 * SECOND).octets
        bench.wait(200 * MILLISECOND)
        state = there.state
        error, got, ended = _answer(bench, here, there, size, lab.flag("keeps"))
        there.close()
        bench.wait(500 * MILLISECOND)
        closer, other = lane(bench, bench.client), lane(bench, bench.server)
        resets = sum(map(rst, bench.sent_by(bench.client)))
    whole = got == size and ended and asked == len(_REQUEST) and state is State.CLOSE_WAIT
    facts = (
        Fact("octets of the question read before its end of file", asked, "octets"),
        Fact("state of the server while it answers", state.name),
        Fact("octets of the answer that were read", got, "octets"),
        Fact("the end of file came after them", ended),
        Fact("error of the server", error or "none"),
        Fact("RSTs of the client", min(resets, 1)),
        Fact("states of the client", closer),
        Fact("states of the server", other),
    )
    return Outcome(Verdict.HOLDS if whole else Verdict.FALSE, facts)


def _answer(bench: Bench, here: Sock, there: Sock, size: int, reads: bool) -> tuple[str, int, bool]:
    """Send so much: the error that the sender met, the octets that were read, and whether the end of file was."""
    left, got, ended, error = size, 0, False, ""

    def step() -> bool:
        nonlocal left, got, ended, error
        if not error and left:

            def send() -> None:
                nonlocal left
                left -= there.send(b"a" * min(left, 16_384))

            error = there.attempt(send)
            if not left:
                there.shutdown()
        if reads and not ended:
            data = here.receive()
            got += len(data or b"")
            ended = data == b""
        return ended or error != ""

    bench.within(10 * SECOND, step)
    return error, got, ended


EXPERIMENT = Experiment(
    name="half-close",
    chapter="close",
    claim=Words(
        "Each direction is closed on its own: after its FIN a side can still receive, and the end of file comes after "
        "all the data.",
        "两个方向各自关闭：一方发出 FIN 之后仍然可以接收数据，而且文件结束（EOF）总在全部数据之后到达。",
    ),
    source=Words("all five articles, as the reason for four segments", "五篇文章都用它来解释为什么是四次"),
    lesson=Words(
        "This is what shutdown(SHUT_WR) does; close() ends both directions for the program, and an answer that arrives "
        "after it is met with RST, although on the wire both begin with the same FIN. Use shutdown() where you have "
        "said everything and want the answer, then read to the end of file, then close().",
        "这是 shutdown(SHUT_WR) 的行为。close() 对程序来说同时结束两个方向，之后才到的应答会被 RST 拒绝，"
        "尽管在线路上两者都以同样的 FIN 开始。话说完了但还要等应答，就用 shutdown()，读到 EOF，再 close()。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(
        Knob("answer", 8_000, "octets of the answer"),
        Knob("keeps", True, "whether the client calls shutdown(SHUT_WR) (else close())"),
    ),
    counter={"keeps": False},
    flips_to=Verdict.FALSE,
)
