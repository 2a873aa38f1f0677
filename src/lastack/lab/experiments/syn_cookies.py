"""Whether a flood of SYNs keeps new clients out, with SYN cookies and without."""

from __future__ import annotations

from typing import Final, NamedTuple

from lastack.drive.faults import bare_ack, syn_ack
from lastack.lab.bench import Bench, Listening
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, Nanos
from lastack.wire.flags import SYN
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment

_PORT: Final = 80


class _Visit(NamedTuple):
    """What became of an honest client in a flood.

    `requests`: what the SYN queue held. `served`: whether it came in by itself, `late`: only when it said something.
    `believes`: it had a connection that the server had not. `answers`: SYN,ACKs to it; `scaled`: with a window scale.
    """

    requests: int
    served: bool
    late: bool
    believes: bool
    answers: int
    scaled: bool
    cookies: int


def run(lab: Lab) -> Outcome:
    """Flood a listener with SYNs from addresses that never answer, and let an honest client come meanwhile."""
    cookies = lab.number("cookies")
    with lab.scene("a flood, tcp_syncookies 0", tcp_syncookies=0) as bench:
        without = _visit(lab, bench)
    with lab.scene(f"a flood, tcp_syncookies {cookies}", tcp_syncookies=cookies) as bench:
        with_them = _visit(lab, bench)
    with lab.scene(f"a flood, tcp_syncookies {cookies}, the client's ACK is lost", tcp_syncookies=cookies) as bench:
        bench.forth.lose(bare_ack)
        unlucky = _visit(lab, bench)
    with lab.scene("without timestamps", tcp_syncookies=cookies, tcp_timestamps=0) as bench:
        plain = _visit(lab, bench)
    facts = (
        Fact("requests in the SYN queue without cookies", without.requests),
        Fact("without cookies: the honest client is served", without.served),
        Fact("without cookies: SYN,ACKs to it", without.answers),
        Fact("with cookies: the honest client is served", with_them.served),
        Fact("with cookies: SyncookiesRecv", with_them.cookies),
        Fact("with cookies: window scaling, with timestamps", with_them.scaled),
        Fact("with cookies: window scaling, without timestamps", plain.scaled),
        Fact("its ACK lost: it believes in a connection that the server has not", unlucky.believes),
        Fact("its ACK lost: SYN,ACKs to it", unlucky.answers),
        Fact("its ACK lost: its first data makes the connection", unlucky.late),
    )
    if without.served:
        return Outcome(Verdict.FALSE, facts)
    if not with_them.served:
        return Outcome(Verdict.HOLDS, facts)
    return Outcome(Verdict.ONLY_IF, facts)


def _visit(lab: Lab, bench: Bench) -> _Visit:
    """An honest client comes in the middle of a flood and waits; then it says something itself, if it can."""
    patience = lab.seconds("patience")
    listener = _flood(lab, bench)
    requests = bench.server.count(State.SYN_RECEIVED, _PORT)
    honest = bench.client.connect(bench.server.address, _PORT)
    served = _accepts(bench, listener, patience)
    believes = not served and honest.state is State.ESTABLISHED
    port = honest.four.local.port
    segments = [packet.segment for packet in bench.sent_by(bench.server) if syn_ack(packet)]
    answers = [segment for segment in segments if segment is not None and segment.dst_port == port]
    scaled = any(segment.window_scale is not None for segment in answers)
    late = False
    if believes:
        honest.send(b"hello")
        late = _accepts(bench, listener, patience)
    received = bench.server.counters().get("SyncookiesRecv", 0)
    return _Visit(requests, served, late, believes, len(answers), scaled, received)


def _flood(lab: Lab, bench: Bench) -> Listening:
    """A listener whose SYN queue strangers fill, who hear no answer."""
    listener = bench.server.listen(_PORT, lab.number("backlog"))
    ours = {address_bytes(address) for address in bench.client.addresses}
    bench.back.lose(lambda packet: packet.destination not in ours, times=0)
    server = address_bytes(bench.server.address)
    for number in range(lab.number("flood")):
        syn = Segment(1024 + number, _PORT, 1_000_000 * number, 0, SYN, 64_240)
        syn.mss = 1460
        bench.inject(Packet(address_bytes(f"10.66.0.{1 + number % 200}"), server, syn), bench.client)
    bench.wait(300 * MILLISECOND)
    return listener


def _accepts(bench: Bench, listener: Listening, patience: Nanos) -> bool:
    """Whether a connection comes in in time."""
    return bench.within(patience, lambda: listener.accept() is not None) is not None


EXPERIMENT = Experiment(
    name="syn-cookies",
    chapter="close-wait",
    claim=Words(
        "A flood of SYNs fills the SYN queue, and nobody else can connect any more.",
        "SYN 洪水攻击会占满半连接队列，正常用户再也连不上。",
    ),
    source=Words("the articles on the three-way handshake and the SYN queue", "讲三次握手和半连接队列的文章"),
    lesson=Words(
        "Only where tcp_syncookies is 0. With 1, the default, a full queue is answered with cookies: nothing is stored, and "
        "the honest client comes in (SyncookiesSent, SyncookiesRecv, and 'possible SYN flooding' in the "
        "kernel's log). It has a price: options survive only where timestamps are on, and a lost third segment "
        "is not repaired, for nobody repeats the SYN+ACK; where the server speaks first such a client waits in vain. "
        "So leave it at 1, and do not use 2 (always cookies) but to try them. Cookies do not help against an accept queue "
        "that is full.",
        "只有 tcp_syncookies 为 0 时才是这样。默认值 1 表示队列满时用 cookie 应答：服务器什么都不保存，正常客户端照样能连上"
        "（SyncookiesSent、SyncookiesRecv，内核日志里有 “possible SYN flooding”）。代价是：TCP 选项只有在开启时间戳时才保得住；"
        "第三个报文段丢了也没人补救，因为不会重传 SYN+ACK，如果是服务器先说话的协议，客户端就白等了。"
        "所以保持 1 就好，不要设为 2（总是用 cookie，只用于测试）。全连接队列满的时候，cookie 帮不上忙。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(
        Knob("cookies", 1, "tcp_syncookies of the second and third scene"),
        Knob("flood", 64, "SYNs of the flood"),
        Knob("backlog", 16, "what the server gives to listen()"),
        Knob("patience", 2.5, "seconds to wait whether the honest client comes in"),
    ),
    counter={"cookies": 0},
    flips_to=Verdict.HOLDS,
    condition=Words("tcp_syncookies is 0 (the default is 1)", "tcp_syncookies 设为 0（默认是 1）"),
    kernel_s=8.0,
    picture=(2, 0),
)
