"""When connect() and accept() return in the three-way handshake."""

from __future__ import annotations

from typing import NamedTuple

from lastack.drive.faults import bare_ack
from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND

_HANDSHAKE = ("client SYN", "server SYN,ACK", "client ACK")


class _Opening(NamedTuple):
    """After how many seconds connect() and accept() were done, and what had been sent when they were."""

    connected: float
    accepted: float
    sent: tuple[str, ...]


def run(lab: Lab) -> Outcome:
    """Open a connection over a long wire and note when each side has it; once more with the third segment lost."""
    with lab.scene("nothing is lost", delay=lab.seconds("delay")) as bench:
        plain = _open(lab, bench)
    with lab.scene("the third segment is lost", delay=lab.seconds("delay")) as bench:
        bench.forth.lose(bare_ack)
        lost = _open(lab, bench)
    facts = (
        Fact("segments when accept() is done", plain.sent),
        Fact("one way", lab.seconds("delay") / SECOND, "s"),
        Fact("connect() done after", plain.connected, "s", near=0.4),
        Fact("accept() done after", plain.accepted, "s", near=0.4),
        Fact("the third segment lost: connect() done after", lost.connected, "s", near=0.4),
        Fact("the third segment lost: accept() done after", lost.accepted, "s", near=0.4),
        Fact("segments when accept() is done then", lost.sent),
    )
    # The third segment is what accept() waits for and connect() does not: lost, it holds up the one alone.
    apart = lost.accepted - lost.connected > 2 * lab.seconds("delay") / SECOND
    right = plain.sent == _HANDSHAKE and plain.connected < plain.accepted and apart
    return Outcome(Verdict.HOLDS if right else Verdict.FALSE, facts)


def _open(lab: Lab, bench: Bench) -> _Opening:
    """Connect, and look at both ends until both have the connection."""
    listener = bench.server.listen(80, tcp_defer_accept=lab.number("defer_accept"))
    begin = bench.now
    here = bench.client.connect(bench.server.address, 80)
    bench.until(lambda: here.state is State.ESTABLISHED, 60 * SECOND)
    connected = bench.now
    bench.until(listener.accept, 60 * SECOND)
    accepted = bench.now
    return _Opening((connected - begin) / SECOND, (accepted - begin) / SECOND, segments(bench))


EXPERIMENT = Experiment(
    name="handshake",
    chapter="close-wait",
    claim=Words(
        "SYN, SYN+ACK, ACK: connect() returns when the second segment comes, accept() when the third has.",
        "三次握手是 SYN、SYN+ACK、ACK：客户端收到第二个报文段时 connect() 返回，服务器收到第三个之后 accept() 才能返回。",
    ),
    source=Words("the articles on the three-way handshake", "讲三次握手的文章"),
    lesson=Words(
        "So a connect() that succeeded says that a kernel answered, not that a program has accepted, or ever will. When the "
        "third segment is lost the client already believes in a connection that the server does not have yet: the "
        "SYN+ACK is repeated after a second, or the client's first data, which acknowledges too, completes the handshake. "
        "Set a time limit for the first answer, not for connect() alone. With TCP_DEFER_ACCEPT the third segment is not "
        "enough: accept() returns when data is there. (TCP Fast Open, where it may return with the first segment, is not "
        "played here.)",
        "所以 connect() 成功只说明对端内核回应了，并不说明对端程序已经（或者将会）accept。第三个报文段丢失时，客户端以为连接已经建立，"
        "服务器却还没有：要么一秒后服务器重传 SYN+ACK，要么客户端的第一个数据报文（也带着确认）完成握手。"
        "因此超时要设在“第一个应答”上，而不只是设在 connect() 上。设置了 TCP_DEFER_ACCEPT 时，第三个报文段还不够，"
        "有数据到了 accept() 才返回。（TCP Fast Open 可以在第一个报文段就返回，这里没有演示。）",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(
        Knob("delay", 0.1, "seconds from one host to the other", kernel=0.25),
        Knob("defer_accept", 0, "TCP_DEFER_ACCEPT of the listener: seconds"),
    ),
    counter={"defer_accept": 2},
    flips_to=Verdict.FALSE,
    kernel_s=3.5,
    picture=(1, 0),
)
