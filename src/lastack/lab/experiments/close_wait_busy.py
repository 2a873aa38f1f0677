"""Whether many CLOSE_WAIT come from a busy server, and how those differ from a leak."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND

_REQUEST = b"GET /slow"


class _Load(NamedTuple):
    """How many CLOSE_WAIT there were at most, what was in their queues then, how many after each request, and at last."""

    most: int
    unread: int
    unaccepted: int
    course: tuple[str, ...]
    left: int
    left_unread: int


def run(lab: Lab) -> Outcome:
    """Let impatient clients give up on a slow worker; once it closes what it comes to, once it forgets to."""
    with lab.scene("a slow worker, that closes what it comes to") as bench:
        busy = _serve(bench, lab, forgotten=0)
    with lab.scene("a slow worker, whose error path has no close()") as bench:
        leaky = _serve(bench, lab, forgotten=lab.number("forgotten"))
    facts = (
        Fact("CLOSE_WAIT when the clients have given up", busy.most),
        Fact("octets unread in them (Recv-Q)", busy.unread),
        Fact("of them not accepted yet", busy.unaccepted),
        Fact("CLOSE_WAIT after each request, busy", busy.course),
        Fact("CLOSE_WAIT after each request, forgetful", leaky.course),
        Fact("left when the load is over, busy", busy.left),
        Fact("left when the load is over, forgetful", leaky.left),
        Fact("octets unread in those (Recv-Q)", leaky.left_unread),
    )
    if not busy.most or busy.left:
        return Outcome(Verdict.FALSE, facts)
    if not leaky.left:
        return Outcome(Verdict.HOLDS, facts)
    return Outcome(Verdict.ONLY_IF, facts)


def _serve(bench: Bench, lab: Lab, forgotten: int) -> _Load:
    """One worker for clients that give up sooner than it gets to them; so many of them it forgets to close."""
    count = lab.number("clients")
    listener = bench.server.listen(80)
    clients = [bench.client.connect(bench.server.address, 80) for _ in range(count)]
    bench.until(lambda: bench.client.count(State.ESTABLISHED, 80) == count, 10 * SECOND)
    for client in clients:
        client.send(_REQUEST)
    served: list[Sock] = [bench.until(listener.accept, 10 * SECOND)]
    bench.wait(lab.seconds("patience"))
    for client in clients:
        client.close()
    bench.until(lambda: bench.server.count(State.CLOSE_WAIT, 80) == count, 10 * SECOND)
    crowd = bench.server.sockets()
    course = []
    for number in range(count):
        bench.wait(lab.seconds("work"))
        bench.until(partial(_at_end, served[-1]), 10 * SECOND)
        if number >= forgotten:
            served[-1].close()
        course.append(str(bench.server.count(State.CLOSE_WAIT, 80)))
        if number < count - 1:
            served.append(bench.until(listener.accept, 10 * SECOND))
    bench.wait(lab.seconds("after"))
    left = [seen for seen in bench.server.sockets() if seen.state is State.CLOSE_WAIT]
    return _Load(
        len(crowd),
        sum(seen.recv_q for seen in crowd),
        sum(not seen.owned for seen in crowd),
        tuple(course),
        len(left),
        sum(seen.recv_q for seen in left),
    )


def _at_end(sock: Sock) -> bool:
    """Read what there is; whether the end of file was read."""
    while data := sock.receive():
        pass
    return data == b""


EXPERIMENT = Experiment(
    name="close-wait-busy",
    chapter="close-wait",
    claim=Words(
        "Many CLOSE_WAIT mean that the server is busy reading or writing: look at its thread pool.",
        "大量 CLOSE_WAIT 说明服务器忙于读写、来不及关闭，应该检查线程池。",
    ),
    source=Words("one of the five articles", "五篇文章之一"),
    lesson=Words(
        "Clients that give up before a worker gets to them do wait in CLOSE_WAIT, and each goes away when its turn comes: "
        "more workers, or a time limit before the work begins, help. Two looks a minute apart tell the two kinds apart: "
        "a busy server shows other ports each time and a Recv-Q with the request and the FIN in it; a leak shows the "
        "same ports, ever more of them, and Recv-Q 0 where the program has read to the end. For a leak no thread pool "
        "helps.",
        "客户端等不及先断开，轮到它之前确实会停在 CLOSE_WAIT；每一条轮到之后就消失：增加工作线程、或在开始处理前先检查超时，都有用。"
        "隔一分钟看两次就能分清：忙的服务器每次看到的端口不同，Recv-Q 里有请求和 FIN；泄漏则是同样的端口越积越多，"
        "程序已经读到 EOF 的，Recv-Q 为 0。如果是泄漏，调线程池没有用。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(
        Knob("clients", 6, "clients that ask at the same time"),
        Knob("work", 0.5, "seconds that the only worker takes for a request", kernel=0.2),
        Knob("patience", 0.2, "seconds after which a client closes"),
        Knob("after", 3600.0, "seconds to wait when the load is over", kernel=1.0),
        Knob("forgotten", 4, "connections that the second program does not close"),
    ),
    counter={"forgotten": 0},
    flips_to=Verdict.HOLDS,
    condition=Words(
        "they go away by themselves when the load is over, and have something unread in Recv-Q; those that stay, with "
        "Recv-Q 0, were forgotten by the program",
        "压力过去之后它们会自己消失，并且 Recv-Q 里有未读数据；一直不消失、Recv-Q 为 0 的，是程序忘了关闭",
    ),
    kernel_s=5.0,
    picture=(0, 5),
)
