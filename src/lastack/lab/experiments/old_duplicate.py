"""Whether a late segment of an old connection gets into the next one of the same four-tuple."""

from __future__ import annotations

from lastack.errors import CallError
from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment
from lastack.lab.lab import Lab
from lastack.lab.short import closed, opened, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import SECOND

_ONE_PORT = {"ip_local_port_range": "40000 40000"}
_OLD = b"order 2;"
_SCENES = (
    ("no TIME_WAIT, the numbers of both directions as before", 0, 0, True, True),
    ("no TIME_WAIT, the client's numbers as before", 0, 0, True, False),
    ("no TIME_WAIT, numbers by the clock", 0, 0, False, False),
    ("no TIME_WAIT, the numbers of both directions as before, timestamps", 0, 1, True, True),
    ("TIME_WAIT", 1000, 0, True, True),
)
"""(title, tcp_max_tw_buckets, tcp_timestamps, whether the client begins with the same number, and the server)."""


def run(lab: Lab) -> Outcome:
    """Let the second order of an old connection come once more while a new one is between its first and its second."""
    read: dict[str, str] = {}
    moved = {"PAWSEstab": 0, "TCPChallengeACK": 0}
    for title, buckets, stamps, same, both in _SCENES:
        with lab.scene(title, client=_ONE_PORT, tcp_max_tw_buckets=buckets, tcp_timestamps=stamps) as bench:
            read[title] = _played(bench, same, both)
            for name in moved:
                moved[name] += bench.server.counters().get(name, 0)
    wrong = [_OLD.decode() in text for text in read.values()]
    facts = (
        *(Fact(f"{title}: the new server reads", text) for title, text in read.items()),
        *(Fact(name, count) for name, count in moved.items()),
    )
    verdict = Verdict.FALSE if not any(wrong) else Verdict.HOLDS if all(wrong[:-1]) else Verdict.ONLY_IF
    condition = Words(
        "there are no timestamps, and the numbers of the new connection overlap those of the old one, in both directions",
        "没有启用时间戳，而且新连接两个方向的序列号都恰好与旧连接重叠",
    )
    return Outcome(verdict, facts, condition if verdict is Verdict.ONLY_IF else None)


def _played(bench: Bench, same: bool, both: bool) -> str:
    """What the server reads in the new connection; instead of it, the error that stops the client from opening it."""
    listener = bench.server.listen(80, so_reuseaddr=True)
    to = (bench.server.address, 80)
    here, there = opened(bench, listener, bench.client, to)
    for order in (b"order 1;", _OLD):
        here.send(order)
        bench.until(there.receive, 10 * SECOND)
    closed(bench, here, there)
    former = segments(bench, bench.client)
    number = former[0].seq if same else 0
    try:
        here, there = opened(bench, listener, bench.client, to, tcp_queue_seq=number)
    except CallError as error:
        return error.code or str(error)
    here.send(b"order 7;")
    text = bench.until(there.receive, 10 * SECOND)
    late = next(segment for segment in former if segment.payload == _OLD).copy()
    if both:
        # As if the server, too, had begun with the number it had before.
        late.ack = segments(bench, bench.client)[-1].ack
    bench.inject(bench.sent_by(bench.client)[-1].with_segment(late), bench.client, "late: of the old connection")
    bench.wait(SECOND // 4)
    here.send(b"order 8;")
    bench.wait(SECOND // 4)
    return (text + (there.receive() or b"")).decode()


EXPERIMENT = Experiment(
    name="old-duplicate",
    chapter="time-wait",
    claim=Words(
        "Without TIME_WAIT a delayed segment of the old connection gets into the next one of the same four-tuple.",
        "如果没有 TIME_WAIT，旧连接里迟到的报文段会混入四元组相同的下一个连接。",
    ),
    source=Words("several articles; one draws it with SEQ 301", "多篇文章；其中一篇画了 SEQ = 301 的例子"),
    lesson=Words(
        "It can happen, and nobody notices: afterwards both ends agree on every number, but the server has carried out an "
        "order of long ago, and never got the new one. It takes three things at once: no TIME_WAIT, no timestamps (they are "
        "on by default), and numbers that overlap in both directions, for text with an ACK of long ago is refused as well (RFC "
        "5961; by Linux not where its fast path takes it). Linux counts its initial numbers up by 15.6 million a second, so only a connection that was faster "
        "than 15.6 MB/s leaves numbers ahead of its successor. Keep TIME_WAIT and tcp_timestamps = 1: they cost next to nothing.",
        "确实会发生，而且谁也察觉不到：事后双方的序列号完全对得上，服务器却执行了很久以前的订单，新订单反而丢了。"
        "但这需要三件事同时成立：没有 TIME_WAIT；没有时间戳（默认开启）；两个方向的序列号都与旧连接重叠（确认号过旧的报文段同样会被拒绝，见 RFC 5961；但 Linux 的快速路径不做这项检查）。"
        "Linux 的初始序列号每秒增长约 1560 万，只有平均速度超过 15.6 MB/s 的连接，旧序列号才会跑到后继连接的前面。"
        "请保留 TIME_WAIT 和 tcp_timestamps = 1，它们几乎没有代价。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    counter={"tcp_timestamps": 1},
    flips_to=Verdict.FALSE,
    kernel_s=4.0,
)
