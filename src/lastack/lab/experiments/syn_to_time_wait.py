"""What a new SYN does to a TIME_WAIT of the same four-tuple."""

from __future__ import annotations

from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment
from lastack.lab.lab import Lab
from lastack.lab.short import closed, opened, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.wire.flags import FIN, spelled
from lastack.wire.seq import add, distance

_SCENES = (
    ("a newer timestamp, a smaller sequence number", 1, True),
    ("no timestamps, a greater sequence number", 0, False),
    ("no timestamps, a smaller sequence number", 0, True),
)
"""(title, tcp_timestamps, whether the new SYN has a smaller sequence number than the old one)."""
_SMALLER = -1_000_000
_AT_ONCE = ("SYN", "SYN,ACK", "ACK")
_JUMP = 65_537


def run(lab: Lab) -> Outcome:
    """Let the server close first, and open a connection from the same port again."""
    facts: list[Fact] = []
    at_once = []
    for title, stamps, smaller in _SCENES:
        with lab.scene(title, client={"ip_local_port_range": "40000 40000"}, tcp_timestamps=stamps) as bench:
            took, names, jump = _played(bench, smaller)
        at_once.append(names == _AT_ONCE)
        facts += [
            Fact(f"{title}: segments", names),
            Fact(f"{title}: time to ESTABLISHED", took / MILLISECOND, "ms", near=None),
            Fact(f"{title}: the server begins {_JUMP:,} after its last number", jump == _JUMP),
        ]
    verdict = Verdict.HOLDS if all(at_once) else Verdict.ONLY_IF if any(at_once) else Verdict.FALSE
    return Outcome(verdict, tuple(facts))


def _played(bench: Bench, smaller: bool) -> tuple[Nanos, tuple[str, ...], int]:
    """The time until the new connection is there, the segments until then, and how far the server's numbers jump."""
    listener = bench.server.listen(80)
    to = (bench.server.address, 80)
    here, there = opened(bench, listener, bench.client, to)
    bench.exchange(here, there)
    closed(bench, there, here)
    number = add(segments(bench, bench.client)[0].seq, _SMALLER) if smaller else 0
    fin = next(segment for segment in segments(bench, bench.server) if segment.flags & FIN)
    before = len(bench.packets())
    again = bench.client.connect(*to, tcp_queue_seq=number)
    took = bench.within(10 * SECOND, lambda: again.state is State.ESTABLISHED) or 0
    sent = [packet.segment for _, _, packet, _ in bench.packets()[before:] if packet.segment is not None]
    jump = distance(add(fin.seq, 1), segments(bench, bench.server)[-1].seq)
    return took, tuple(spelled(segment.flags) for segment in sent), jump


EXPERIMENT = Experiment(
    name="syn-to-time-wait",
    chapter="time-wait",
    claim=Words(
        "A new SYN that reaches a TIME_WAIT of the same four-tuple opens a new connection at once.",
        "新的 SYN 遇到四元组相同的 TIME_WAIT 时，可以立即建立新连接。",
    ),
    source=Words("not told in the articles", "这些文章都没有提到"),
    lesson=Words(
        "A server in TIME_WAIT is no wall: a client that comes again from the same port is let in at once when its SYN "
        "is newer, and between Linux machines with timestamps it always is; the server's own numbers then begin 65,537 "
        "further on, beyond anything old. Otherwise the last ACK comes back, the client's RST ends the TIME_WAIT, and the "
        "SYN is repeated: by a Linux client within some 10 ms, by others after a second. Only where that RST is lost, in a "
        "firewall or by tcp_rfc1337 = 1, does it take longer. There is no reason to shorten TIME_WAIT for this.",
        "处于 TIME_WAIT 的服务器并不是一堵墙：客户端用同一端口再来时，只要 SYN 更新就立即放行；启用时间戳的 Linux 机器之间总是如此，"
        "服务器自己的序列号则从原来的位置再往后跳 65537，避开旧连接的一切。否则服务器重发最后的 ACK，客户端回 RST 结束这个 TIME_WAIT，"
        "然后重传 SYN：Linux 客户端约 10 毫秒内，其他系统约 1 秒。只有这个 RST 丢了（防火墙拦截，或 tcp_rfc1337 = 1）才会更久。"
        "没有必要为此缩短 TIME_WAIT。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    counter={"tcp_max_tw_buckets": 0},
    flips_to=Verdict.HOLDS,
    condition=Words(
        "its timestamp is newer than the last one of the old connection, or, without timestamps, its sequence number greater",
        "它的时间戳比旧连接最后一个更新；没有时间戳时，则要求序列号更大",
    ),
    picture=(2, 0),
    kernel_s=3.0,
)
