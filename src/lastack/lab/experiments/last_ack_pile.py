"""How long LAST_ACK lasts, to a client that answers and to one that is gone."""

from __future__ import annotations

from typing import NamedTuple

from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import ONE_DOUBLING
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MINUTE, SECOND, Nanos
from lastack.wire.flags import FIN

_AT_MOST: Nanos = 60 * MINUTE


class _Stay(NamedTuple):
    """How many seconds an end was in LAST_ACK, and how often it sent its FIN; its send queue and whether it was owned."""

    lasted: float
    fins: int
    send_q: int
    owned: bool


def run(lab: Lab) -> Outcome:
    """Close after the client has; then again when the client has vanished in between."""
    delay, vanishes = lab.seconds("delay"), lab.flag("vanishes")
    default = {"tcp_orphan_retries": lab.number("retries"), "tcp_retries2": lab.number("retries2")}
    with lab.scene("the client answers", delay=delay, server=default) as bench:
        here, there = bench.connection()
        answered = _last_ack(bench, here, there)
    with lab.scene("the client is gone", delay=delay, server=default) as bench:
        here, there = bench.connection()
        silent = _last_ack(bench, here, there, vanishes)
    lowered = {**default, "tcp_orphan_retries": lab.number("lowered")}
    with lab.scene("the client is gone, tcp_orphan_retries is lowered", delay=delay, server=lowered) as bench:
        here, there = bench.connection()
        sooner = _last_ack(bench, here, there, vanishes)
    with lab.scene("the client is gone, the program keeps its socket", delay=delay, server=default) as bench:
        here, there = bench.connection()
        kept = _last_ack(bench, here, there, vanishes, keeps=True)
    facts = (
        Fact("LAST_ACK, the client answers: a second or less", answered.lasted < 1),
        Fact("LAST_ACK, the client is gone", silent.lasted, "s", near=ONE_DOUBLING),
        Fact("FINs sent to it", silent.fins, near=0.3),
        Fact("Send-Q of it, in octets: the FIN", silent.send_q),
        Fact("it belongs to a process", silent.owned),
        Fact("LAST_ACK, tcp_orphan_retries lowered", sooner.lasted, "s", near=ONE_DOUBLING),
        Fact("LAST_ACK, shutdown() instead of close(): tcp_retries2", kept.lasted, "s", near=ONE_DOUBLING),
    )
    if answered.lasted >= 1:
        return Outcome(Verdict.FALSE, facts)
    if silent.lasted < 1:
        return Outcome(Verdict.HOLDS, facts)
    return Outcome(Verdict.ONLY_IF, facts)


def _last_ack(bench: Bench, here: Sock, there: Sock, vanishes: bool = False, keeps: bool = False) -> _Stay:
    """Bring the server's end to LAST_ACK, and wait until it is over."""
    bench.exchange(here, there)
    here.close()
    bench.until(lambda: there.receive() == b"", 10 * SECOND)
    bench.until(lambda: here.state is State.FIN_WAIT_2, 10 * SECOND)
    if vanishes:
        bench.cut()
    if keeps:
        there.shutdown()
    else:
        there.close()
    queues = [(seen.send_q, seen.owned) for seen in bench.server.sockets() if seen.state is State.LAST_ACK]
    lasted = bench.ended(there, _AT_MOST)
    segments = [packet.segment for packet in bench.sent_by(bench.server)]
    fins = sum(segment is not None and segment.flags & FIN != 0 for segment in segments)
    return _Stay((_AT_MOST if lasted is None else lasted) / SECOND, fins, *(queues[0] if queues else (0, False)))


EXPERIMENT = Experiment(
    name="last-ack-pile",
    chapter="close-wait",
    claim=Words(
        "LAST_ACK is over within a round trip: the last ACK comes, and the connection is gone.",
        "LAST_ACK 只停留一个往返时间：收到最后一个 ACK，连接就释放了。",
    ),
    source=Words(
        "not told in the articles: what they tell of LAST_ACK ends with the last ACK",
        "五篇文章都没有讲：它们对 LAST_ACK 的介绍到最后一个 ACK 为止",
    ),
    lesson=Words(
        "To a client that has vanished the FIN is repeated: tcp_orphan_retries 0, the default, means 8, which is about 105 s "
        "(and more with a long round trip); 2 makes it 2 to 3.5 s. A pile of LAST_ACK (ss -tan state last-ack, no process, Send-Q above "
        "0) therefore means that clients vanish, not that the program forgets anything: mobile networks, a firewall that "
        "drops the FIN, an attack. It needs no cure as a rule; tcp_orphan_retries 2 or 3 shortens it at the price of "
        "slow clients' last data. A program that calls shutdown() and keeps the socket waits for tcp_retries2, a quarter of "
        "an hour.",
        "对端已经消失时 FIN 会一直重传：tcp_orphan_retries 默认 0，实际当作 8，约 105 秒（RTT 越大越长）；改成 2 就是 2 到 3.5 秒。"
        "所以大量 LAST_ACK（ss -tan state last-ack，没有进程，Send-Q 大于 0）说明客户端突然消失，而不是程序忘了关闭："
        "移动网络、防火墙丢弃 FIN、或者攻击。一般不必处理；把 tcp_orphan_retries 调成 2 或 3 可以缩短，代价是网络慢的客户端可能收不到最后的数据。"
        "只调用 shutdown() 而不 close() 的程序要等 tcp_retries2，约一刻钟。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(
        Knob("vanishes", True, "the client vanishes before the server closes"),
        Knob("retries", 0, "tcp_orphan_retries of the server: 0 means 8", kernel=3),
        Knob("lowered", 2, "tcp_orphan_retries, lowered"),
        Knob("retries2", 15, "tcp_retries2 of the server: for a socket that the program keeps", kernel=4),
        Knob("delay", 0.002, "seconds from one host to the other", kernel=0.025),
    ),
    counter={"vanishes": False},
    flips_to=Verdict.HOLDS,
    condition=Words(
        "the client still answers; to a silent one the FIN is repeated as tcp_orphan_retries says, about 105 s by default",
        "客户端还在回应；对端没有回应时，FIN 会按 tcp_orphan_retries 重传，默认约 105 秒",
    ),
    kernel_s=16.0,
    picture=(1, 0),
)
