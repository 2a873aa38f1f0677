"""What TTL counts, what MSL counts, and what a sender hears of either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lastack.drive.node import complaint
from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import opened
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND, Nanos
from lastack.wire.icmp import Problem
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet

_ROUTERS: Final = 3
_ROUTER: Final = address_bytes("10.0.0.254")
_TEXT = b"request"


class _Way:
    """Three routers on the way to the server: each takes one off the TTL, and the last says where none was left."""

    def __init__(self, bench: Bench, icmp: bool) -> None:
        self._bench = bench
        self._icmp = icmp
        self._expired: list[Packet] = []
        self.told = 0
        bench.forth.lose(self._expires, times=0)

    def _expires(self, packet: Packet) -> bool:
        if packet.ttl > _ROUTERS:
            return False
        self._expired.append(packet)
        return True

    def within(self, duration: Nanos, condition: Callable[[], object]) -> Nanos | None:
        """The bench's, with the routers at work."""

        def holds() -> object:
            self._tell()
            return condition()

        return self._bench.within(duration, holds)

    def _tell(self) -> None:
        while self._expired:
            error = complaint(self._expired.pop(0), Problem.TIME_EXCEEDED, _ROUTER)
            if error is not None and self._icmp:
                self.told += 1
                self._bench.inject(error, self._bench.server)


def run(lab: Lab) -> Outcome:
    """Send with too small a TTL, before and after the connection is there, and let a copy come very late."""
    icmp, late = lab.flag("icmp"), lab.seconds("late")
    with lab.scene("a SYN with a TTL of 2, three routers", client={"ip_default_ttl": 2}) as bench:
        way = _Way(bench, icmp)
        bench.server.listen(80)
        sock = bench.client.connect(bench.server.address, 80)
        way.within(3 * SECOND, lambda: sock.state is State.CLOSED)
        refused, told = sock.error, way.told
    with lab.scene("the TTL becomes 2 while the connection is there, and is 64 again a second later") as bench:
        lives = _survives(bench, icmp)
    with lab.scene(f"a copy that comes {late / SECOND:g} s later, with its TTL") as bench:
        arrives = _arrives(bench, late)
    facts = (
        Fact("ICMP time exceeded for the SYN", told),
        Fact("the error of connect()", refused or "none"),
        Fact("an established connection survives it", lives),
        Fact("the late copy arrives and is answered", arrives),
    )
    return Outcome(Verdict.HOLDS if told and refused and arrives else Verdict.FALSE, facts)


def _survives(bench: Bench, icmp: bool) -> bool:
    """Whether text arrives in the end whose first segment expires on the way."""
    way = _Way(bench, icmp)
    here, there = opened(bench, bench.server.listen(80), bench.client, (bench.server.address, 80))
    bench.client.set(ip_default_ttl=2)
    here.send(_TEXT)
    way.within(SECOND, lambda: False)
    bench.client.set(ip_default_ttl=64)
    arrived = way.within(10 * SECOND, lambda: there.receive() == _TEXT) is not None
    return arrived and here.state is State.ESTABLISHED and here.error is None


def _arrives(bench: Bench, late: Nanos) -> bool:
    """Whether the server answers a copy that comes so much later."""
    bench.forth.double(lambda packet: packet.segment is not None and packet.segment.payload == _TEXT, delay=late)
    here, there = bench.connection()
    here.send(_TEXT)
    bench.until(there.receive, 10 * SECOND)
    bench.wait(late // 2)
    before = len(bench.sent_by(bench.server))
    bench.wait(late // 2 + SECOND)
    return len(bench.sent_by(bench.server)) == before + 1


EXPERIMENT = Experiment(
    name="msl-and-ttl",
    chapter="time-wait",
    claim=Words(
        "TTL counts routers, and MSL is a time in seconds; a packet whose TTL is used up is dropped, and its sender told by ICMP.",
        "TTL 数的是路由器跳数，MSL 则是以秒计的时间；TTL 减到 0 时报文被丢弃，并用 ICMP 通知源主机。",
    ),
    source=Words("several articles", "多篇文章"),
    lesson=Words(
        "True, with one thing left out: nobody measures the seconds (the TTL of RFC 791 was meant to). A copy that came minutes late still had its TTL, was "
        "let in by every router and answered; MSL is a promise that the network keeps because queues are short, and "
        "TIME_WAIT is as long as somebody once thought safe. And what ICMP does depends on the state: connect() fails "
        "at once (EHOSTUNREACH), an established connection only notes it and sends again. A firewall that drops ICMP makes "
        "a quick error into minutes of waiting.",
        "说得对，但漏了一点：没有任何设备真的去数秒（RFC 791 设计 TTL 时倒是想用它来数秒）。晚了几分钟的副本，TTL 一点没少，照样通过所有路由器并得到回应；"
        "MSL 只是一个约定，靠网络里的队列不长来兑现，TIME_WAIT 的长度也只是前人认为足够安全的值。另外 ICMP 的效果取决于状态："
        "connect() 会立即失败（EHOSTUNREACH），已建立的连接只是记下来，然后照常重传。防火墙若丢弃 ICMP，几毫秒就能知道的错误会变成几分钟的等待。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(
        Knob("icmp", True, "the routers send ICMP"),
        Knob("late", 300.0, "seconds by which the copy comes later", kernel=3.0),
    ),
    counter={"icmp": False},
    flips_to=Verdict.FALSE,
    kernel_s=7.0,
)
