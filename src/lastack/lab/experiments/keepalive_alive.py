"""Whether TCP looks after an idle connection by itself, and what a living peer does with a probe."""

from __future__ import annotations

from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.keepalive import KNOBS, settings, watched
from lastack.lab.lab import Lab
from lastack.lab.reading import passed, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND, Nanos
from lastack.wire.seq import distance

_ROUNDS = 3


def run(lab: Lab) -> Outcome:
    """Leave two connections alone for three times the idle time, one with SO_KEEPALIVE and one without."""
    idle = lab.seconds("idle")
    with lab.scene(
        "two idle connections; the program of the first has set SO_KEEPALIVE", server=settings(lab)
    ) as bench:
        pairs = watched(bench, True, lab.flag("other"))
        before, begin = len(bench.packets()), bench.now
        bench.wait(_ROUNDS * idle + idle // 2)
        asked, unasked = (segments(bench, before, there) for _, there in pairs)
        alive = all(sock.state is State.ESTABLISHED for pair in pairs for sock in pair)
        apart, formed = _probes(bench, pairs[0][1], begin)
    facts = (
        Fact("segments with SO_KEEPALIVE", asked),
        Fact("the probes: empty, one octet before what comes next", formed),
        Fact("time between probes", apart, "s", near=0.2),
        Fact("segments without SO_KEEPALIVE", unasked),
        Fact("ESTABLISHED at all ends", alive),
    )
    if asked != ("server ACK", "client ACK") * _ROUNDS or not formed or not alive:
        return Outcome(Verdict.FALSE, facts)
    if unasked:
        return Outcome(Verdict.HOLDS, facts)
    return Outcome(Verdict.ONLY_IF, facts)


def _probes(bench: Bench, sock: Sock, begin: Nanos) -> tuple[float, bool]:
    """How many seconds a socket's probes are apart, and whether they look as probes do."""
    everything = list(passed(bench, 0, sock))
    following = [segment.ack for at, host, segment in everything if host == "client" and at < begin][-1]
    probes = [(at, segment) for at, host, segment in everything if host == "server" and at >= begin]
    formed = all(distance(probe.seq, following) == 1 and not probe.payload for _, probe in probes)
    apart = (probes[-1][0] - probes[0][0]) / (len(probes) - 1) if len(probes) > 1 else 0
    return apart / SECOND, formed


EXPERIMENT = Experiment(
    name="keepalive-alive",
    chapter="close-wait",
    claim=Words(
        "TCP has a keepalive timer: two hours after the last segment the server sends a probe; a client that is alive "
        "answers, and the timer starts again.",
        "TCP 有一个保活计时器：两小时没有收到对方的数据，服务器就发送探测报文；对方还在就会回应，计时器重新开始计时。",
    ),
    source=Words(
        "the articles about the keepalive timer, as their answer to a client that breaks down",
        "讲保活计时器的文章（“如果客户端突然出现故障怎么办？”）",
    ),
    lesson=Words(
        "Keepalive is off until the program sets SO_KEEPALIVE: the sysctls tcp_keepalive_* say when and how often, never "
        "whether. A connection without it can stay ESTABLISHED to a peer that is long gone, for years. The probe is an "
        "empty segment one octet back; the peer's kernel answers, its program never hears of it, so an answer says that "
        "the machine is up, not that the program works. NAT and firewalls forget idle connections in minutes: set "
        "TCP_KEEPIDLE of the socket (60 s, say) rather than to wait two hours.",
        "keepalive 默认是关闭的，要由程序设置 SO_KEEPALIVE 才会打开；tcp_keepalive_* 这几个参数只决定“多久、几次”，不决定“开不开”。"
        "没有打开它的连接，对端早已消失也会一直停在 ESTABLISHED。探测报文是序号退后一个字节的空报文段，由对端内核回应，对端程序并不知情，"
        "所以有回应只说明机器还在，不说明程序正常。NAT 和防火墙几分钟就会忘掉空闲连接："
        "不要等两小时，请在 socket 上设置 TCP_KEEPIDLE（例如 60 秒）。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(*KNOBS, Knob("other", False, "the other program has set SO_KEEPALIVE too")),
    counter={"other": True},
    flips_to=Verdict.HOLDS,
    condition=Words(
        "the program has set SO_KEEPALIVE: it is off by default", "程序自己设置了 SO_KEEPALIVE（默认是关闭的）"
    ),
    kernel_s=7.5,
)
