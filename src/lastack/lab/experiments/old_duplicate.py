"""Whether a late segment of an old connection gets into the next one of the same four-tuple."""

from __future__ import annotations

from lastack.lab.experiment import Experiment
from lastack.lab.lab import Lab
from lastack.lab.orders import OLD, ONE_PORT, as_it_was, fitting, read_in_the_second
from lastack.model.lab import Fact, Outcome, Verdict, Words

_SCENES = (
    ("no TIME_WAIT, the numbers of both directions as before", 0, 0, True, fitting),
    ("no TIME_WAIT, the client's numbers as before", 0, 0, True, as_it_was),
    ("no TIME_WAIT, numbers by the clock", 0, 0, False, as_it_was),
    ("no TIME_WAIT, the numbers of both directions as before, timestamps", 0, 1, True, fitting),
    ("TIME_WAIT", 1000, 0, True, fitting),
)
"""(title, tcp_max_tw_buckets, tcp_timestamps, whether the client begins with the same number, what comes late)."""


def run(lab: Lab) -> Outcome:
    """Let the second order of an old connection come once more while a new one is between its first and its second."""
    read: dict[str, str] = {}
    moved = {"PAWSEstab": 0, "TCPChallengeACK": 0}
    for title, buckets, stamps, same, late in _SCENES:
        with lab.scene(title, client=ONE_PORT, tcp_max_tw_buckets=buckets, tcp_timestamps=stamps) as bench:
            read[title] = read_in_the_second(bench, late, same)
            for name in moved:
                moved[name] += bench.server.counters().get(name, 0)
    wrong = [OLD.decode() in text for text in read.values()]
    facts = (
        *(Fact(f"{title}: the new server reads", text) for title, text in read.items()),
        *(Fact(name, count) for name, count in moved.items()),
    )
    verdict = Verdict.FALSE if not any(wrong) else Verdict.HOLDS if all(wrong[:-1]) else Verdict.ONLY_IF
    return Outcome(verdict, facts)


EXPERIMENT = Experiment(
    name="old-duplicate",
    chapter="time-wait",
    claim=Words(
        "Without TIME_WAIT a delayed segment of the old connection gets into the next one of the same four-tuple.",
        "如果没有 TIME_WAIT，旧连接里迟到的报文段会混入四元组相同的下一个连接。",
    ),
    source=Words("several articles; one draws it with SEQ 301", "多篇文章；其中一篇画了 SEQ = 301 的例子"),
    lesson=Words(
        "It can happen, and nobody notices: afterwards both ends agree on every number, but the server has carried "
        "out an order of long ago, and never got the new one. It takes three things at once: no TIME_WAIT; no "
        "timestamps (they are on by default); and numbers that overlap in both directions, for text with an ACK of "
        "long ago is refused as well (RFC 5961; on Linux, where the segment does not go through its fast path). "
        "Linux counts its initial numbers up by 15.6 million a second, so they overlap after a connection that was "
        "faster than 15.6 MB/s, and otherwise only by chance, when that clock has gone round in 275 s. Keep "
        "TIME_WAIT and tcp_timestamps = 1: they cost next to nothing.",
        "确实会发生，而且谁也察觉不到：事后双方的序列号完全对得上，服务器却执行了很久以前的订单，新订单反而丢了。"
        "但这需要三件事同时成立：没有 TIME_WAIT；没有时间戳（默认开启）；两个方向的序列号都与旧连接重叠，"
        "因为确认号过旧的报文段同样会被拒绝（RFC 5961；在 Linux 上，走快速路径的报文段除外）。"
        "Linux 的初始序列号每秒增长约 1560 万，所以只有平均速度超过 15.6 MB/s 的连接才会与后继连接重叠，"
        "否则就只能碰巧发生在这个时钟每 275 秒回绕之后。"
        "请保留 TIME_WAIT 和 tcp_timestamps = 1，它们几乎没有代价。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    counter={"tcp_timestamps": 1},
    flips_to=Verdict.FALSE,
    condition=Words(
        "there are no timestamps, and the numbers of the new connection overlap those of the old one, in both directions",
        "没有启用时间戳，而且新连接两个方向的序列号都恰好与旧连接重叠",
    ),
    kernel_s=4.0,
)
