"""Whether a RST ends TIME_WAIT."""

from __future__ import annotations

from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import closed, opened, resets, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.wire.flags import RST
from lastack.wire.segment import Segment
from lastack.wire.seq import add

_OLD = b"order 2;"


def run(lab: Lab) -> Outcome:
    """Let an old duplicate make the client reset the server's TIME_WAIT, with tcp_rfc1337 off and on."""
    left: dict[str, bool] = {}
    for title, protected in (("an old duplicate, tcp_rfc1337 = 0", 0), ("an old duplicate, tcp_rfc1337 = 1", 1)):
        with lab.scene(title, tcp_rfc1337=protected) as bench:
            left[title] = _duplicated(bench)
    with lab.scene("a RST with another number, tcp_rfc1337 = 0", tcp_rfc1337=0) as bench:
        left["a RST with another number, tcp_rfc1337 = 0"] = _reset(bench)
    price: dict[str, float | str] = {}
    few: dict[str, int | str] = {"ip_local_port_range": "40000 40000"}
    for title, protected in (
        ("a SYN that is not newer, tcp_rfc1337 = 0", 0),
        ("a SYN that is not newer, tcp_rfc1337 = 1", 1),
    ):
        with lab.scene(title, client=few, tcp_timestamps=0, tcp_rfc1337=protected) as bench:
            price[title] = _again(bench, lab.seconds("patience"))
    facts = (
        *(Fact(f"{title}: TIME_WAIT is still there", value) for title, value in left.items()),
        *(
            Fact(f"{title}: the client is connected after", value, "" if isinstance(value, str) else "s", near=0.3)
            for title, value in price.items()
        ),
    )
    ended = [not value for value in left.values()]
    verdict = Verdict.FALSE if not any(ended) else Verdict.HOLDS if all(ended) else Verdict.ONLY_IF
    return Outcome(verdict, facts)


def _duplicated(bench: Bench) -> bool:
    """Whether the server's TIME_WAIT outlives a late copy of what the client has sent."""
    here, there = bench.connection()
    here.send(_OLD)
    bench.until(there.receive, 10 * SECOND)
    closed(bench, there, here)
    late = next(packet for packet in bench.sent_by(bench.client) if packet.segment and packet.segment.payload == _OLD)
    bench.inject(late, bench.client, "late: a copy")
    bench.within(5 * SECOND, lambda: resets(bench, bench.client) > 0)
    bench.wait(100 * MILLISECOND)
    return there.state is State.TIME_WAIT


def _reset(bench: Bench) -> bool:
    """Whether it outlives a RST that is one octet further than what is expected."""
    here, there = bench.connection()
    closed(bench, there, here)
    last = segments(bench, bench.server)[-1]
    rst = Segment(last.dst_port, last.src_port, add(last.ack, 1), 0, RST, 0)
    bench.inject(bench.sent_by(bench.client)[-1].with_segment(rst), bench.client, "one octet further on")
    bench.wait(100 * MILLISECOND)
    return there.state is State.TIME_WAIT


def _again(bench: Bench, patience: Nanos) -> float | str:
    """After how many seconds a client gets in that comes again from its port, with a smaller number; or why not."""
    listener = bench.server.listen(80)
    here, there = opened(bench, listener, bench.client, (bench.server.address, 80))
    closed(bench, there, here)
    number = add(segments(bench, bench.client)[0].seq, -1_000_000)
    again = bench.client.connect(bench.server.address, 80, tcp_queue_seq=number)
    took = bench.within(patience, lambda: again.state is not State.SYN_SENT)
    if took is not None and again.state is State.ESTABLISHED:
        return took / SECOND if took >= SECOND else "less than a second"
    return again.error or f"not within {patience / SECOND:g} s"


EXPERIMENT = Experiment(
    name="assassination",
    chapter="time-wait",
    claim=Words("A RST ends TIME_WAIT before its time.", "RST 会让 TIME_WAIT 提前结束。"),
    source=Words(
        "RFC 1337, TIME-WAIT assassination; the articles do not tell it", "RFC 1337（TIME-WAIT 暗杀）；文章没有提到"
    ),
    lesson=Words(
        "Nobody has to forge anything: an old duplicate reaches the TIME_WAIT, which answers with its last ACK, and the "
        "other end, long closed, answers that with a RST whose number fits. tcp_rfc1337 = 1 ignores it. But it has a price: "
        "it is that same RST by which a client with a SYN that is not newer clears its way. With tcp_rfc1337 = 1 "
        "it gets in only when the 60 s are over: here after 66 to 68 s instead of at once. Leave it at 0; timestamps protect better.",
        "不需要任何人伪造：旧的重复报文到达 TIME_WAIT，它回应最后的 ACK，而早已关闭的对端对这个 ACK 回 RST，序列号恰好吻合。"
        "tcp_rfc1337 = 1 会忽略这个 RST。但它有代价：SYN 不够新的客户端正是靠这个 RST 开路的；设为 1 以后，要等 60 秒过完才能连上："
        "这里用了 66～68 秒，而不是立刻连上。建议保持 0，时间戳的保护更好。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(Knob("patience", 200.0, "seconds for which the client may try", kernel=73.0),),
    counter={"tcp_rfc1337": 1, "patience": 4.0},
    flips_to=Verdict.FALSE,
    condition=Words(
        "tcp_rfc1337 is 0, as by default, and the RST has exactly the sequence number that is expected next",
        "tcp_rfc1337 为 0（默认），并且 RST 的序列号恰好等于下一个期望的序列号",
    ),
    kernel_s=74.0,
)
