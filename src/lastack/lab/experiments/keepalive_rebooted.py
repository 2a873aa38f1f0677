"""What keepalive finds when the peer has rebooted."""

from __future__ import annotations

from lastack.lab.experiment import Experiment, Knob
from lastack.lab.keepalive import KNOBS, noticed, settings, watched
from lastack.lab.lab import Lab
from lastack.lab.reading import segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import SECOND


def run(lab: Lab) -> Outcome:
    """Reboot the client of an idle connection, and wait; then the same with something to send."""
    enough = 2 * lab.seconds("idle")
    with lab.scene("the client has rebooted, nobody says anything", server=settings(lab)) as bench:
        [(_, there)] = watched(bench, lab.flag("keepalive"))
        before, begin = len(bench.packets()), bench.now
        bench.client.reboot()
        idle, error = noticed(bench, there, begin, enough)
        told = segments(bench, before)
    with lab.scene("the client has rebooted, and the server has something to send", server=settings(lab)) as bench:
        [(_, there)] = watched(bench, lab.flag("keepalive"))
        bench.client.reboot()
        begin = bench.now
        there.send(b"are you there?")
        busy, error_of_send = noticed(bench, there, begin, enough)
    facts = (
        Fact("noticed when idle, after", idle, "s", near=0.4),
        Fact("the error", error),
        Fact("segments of the probe", told),
        Fact("noticed at once with something to send", busy < 1),
        Fact("the error then", error_of_send),
    )
    right = (
        error == "ECONNRESET" and told == ("server ACK", "client RST") and idle >= 0.9 * lab.seconds("idle") / SECOND
    )
    return Outcome(Verdict.HOLDS if right else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="keepalive-rebooted",
    chapter="close-wait",
    claim=Words(
        "If the peer has crashed and rebooted, it answers the keepalive probe with RST, and the connection is reset.",
        "如果对端崩溃后已经重启，它会对保活探测报文回应 RST，连接随之被复位。",
    ),
    source=Words("the articles about the keepalive timer", "讲保活计时器的文章"),
    lesson=Words(
        "True, and the program gets ECONNRESET; but only at the next probe (two hours by default), or at once when it "
        "sends something itself. A server that only ever waits for requests learns of its clients' reboots by keepalive "
        "or never. A machine that comes back tells nobody on its own. "
        "Where a firewall in between drops what it does not know, the probe stays unanswered: see keepalive-unreachable.",
        "确实如此，程序会得到 ECONNRESET；但要等到下一个探测报文（默认两小时），或者自己发送数据时才立刻知道。"
        "一个只等请求、从不主动发送的服务器，要么靠 keepalive 知道客户端重启过，要么永远不知道：机器重启之后不会主动通知任何人。"
        "如果中间的防火墙把不认识的报文段直接丢弃，探测就没有回应：见 keepalive-unreachable。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(
        KNOBS[0]._replace(kernel=4),
        KNOBS[1]._replace(kernel=4),
        KNOBS[2],
        Knob("keepalive", True, "the server's program has set SO_KEEPALIVE"),
    ),
    counter={"keepalive": False},
    flips_to=Verdict.FALSE,
    kernel_s=5.0,
)
