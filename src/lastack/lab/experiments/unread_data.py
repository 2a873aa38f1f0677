"""What close() does while there are data that nobody has read."""

from __future__ import annotations

from lastack.drive.faults import fin, rst
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import all_read
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import MILLISECOND, SECOND

_REQUEST = b"r" * 1_000
_ANSWER = b"a" * 20_000


def run(lab: Lab) -> Outcome:
    """Answer a request of which only the beginning was read, and close."""
    with lab.scene(
        "the server answers and closes before it has read the whole request", delay=100 * MILLISECOND
    ) as bench:
        # A small window keeps the ladder short.
        here, there = bench.connection(so_rcvbuf=4_096)
        here.send(_REQUEST)
        bench.wait(300 * MILLISECOND)
        there.receive(limit=len(_REQUEST) if lab.flag("reads_all") else 100)
        there.send(_ANSWER)
        there.close()
        bench.wait(500 * MILLISECOND)
        read = all_read(bench, here, 2 * SECOND)
        sent = bench.sent_by(bench.server)
        aborted = bench.server.counters().get("TCPAbortOnClose", 0)
    facts = (
        Fact("FINs of the server", min(sum(map(fin, sent)), 1)),
        Fact("RSTs of the server", min(sum(map(rst, sent)), 1)),
        Fact("TCPAbortOnClose of the server", aborted),
        Fact("octets of the answer that send() took", len(_ANSWER), "octets"),
        Fact("octets of the answer that the client could read", read.octets, "octets"),
        Fact("what the client reads then", read.end),
    )
    reset = aborted == 1 and any(map(rst, sent)) and not any(map(fin, sent))
    lost = read.octets < len(_ANSWER) and read.end == "ECONNRESET"
    return Outcome(Verdict.HOLDS if reset and lost else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="unread-data",
    chapter="close",
    claim=Words(
        "A close() while there are unread data sends a RST in place of the FIN, and the answer sent just before it can "
        "be lost.",
        "接收缓冲区里还有没读的数据就 close()，发出的是 RST 而不是 FIN，刚刚发出的应答也可能因此丢失。",
    ),
    source=Words(
        "not told in the articles; RFC 2525, 2.17; tcp_close()", "文章里没有讲；见 RFC 2525 第 2.17 节，tcp_close()"
    ),
    lesson=Words(
        "A common cause of 'connection reset by peer' where the server means to refuse politely: 413 and close() before "
        "the body has been read. Here 17,104 of 20,000 octets of the answer never left. End your side with shutdown(SHUT_WR), "
        "read and throw away until the end of file or a time-out, then close() (nginx calls it lingering_close). The "
        "counter is TCPAbortOnClose.",
        "这是“connection reset by peer”的常见原因：服务器本想客气地拒绝，没读完请求体就回 413 并 close()。"
        "这里 20,000 字节的应答有 17,104 字节根本没有发出去。正确做法：shutdown(SHUT_WR)，继续读并丢弃，直到 EOF 或超时，"
        "再 close()（nginx 里叫 lingering_close）。看计数器 TCPAbortOnClose。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(Knob("reads_all", False, "whether the server reads the whole request before it closes"),),
    counter={"reads_all": True},
    flips_to=Verdict.FALSE,
)
