"""Whether tcp_fin_timeout has anything to do with TIME_WAIT."""

from __future__ import annotations

from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, finished, opened, resets
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State

_MANY = 3
_LOW = 1


def run(lab: Lab) -> Outcome:
    """Close some connections with the default and with a low tcp_fin_timeout, and count what waits a while later."""
    left, refused, half = {}, {}, {}
    for timeout in (60, _LOW):
        with lab.scene(f"tcp_fin_timeout = {timeout}", tcp_fin_timeout=timeout, tcp_rfc1337=STEADY) as bench:
            listener = bench.server.listen(80)
            pairs = [opened(bench, listener, bench.client, (bench.server.address, 80)) for _ in range(_MANY + 1)]
            for here, _ in pairs:
                here.close()
            bench.wait(lab.seconds("peer"))
            # The last one's peer never closes.
            for _, there in pairs[:-1]:
                finished(bench, there)
            bench.wait(lab.seconds("later"))
            left[timeout] = bench.client.count(State.TIME_WAIT)
            half[timeout] = bench.client.count(State.FIN_WAIT_2)
            refused[timeout] = resets(bench, bench.client)
    facts = (
        *(Fact(f"TIME_WAIT with tcp_fin_timeout = {timeout}", count) for timeout, count in left.items()),
        *(Fact(f"FIN_WAIT_2 with tcp_fin_timeout = {timeout}", count) for timeout, count in half.items()),
        *(Fact(f"RSTs with tcp_fin_timeout = {timeout}", count) for timeout, count in refused.items()),
    )
    return Outcome(Verdict.HOLDS if left[_LOW] < left[60] else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="fin-timeout-myth",
    chapter="time-wait",
    claim=Words(
        "Lower tcp_fin_timeout to have fewer TIME_WAIT, or shorter ones.",
        "调小 tcp_fin_timeout 可以减少 TIME_WAIT，或缩短它的时间。",
    ),
    source=Words(
        "nearly every list of sysctls against TIME_WAIT", "几乎每一份“TIME_WAIT 过多”的内核参数优化清单都这样写"
    ),
    lesson=Words(
        "tcp_fin_timeout belongs to FIN_WAIT_2: it ends the wait for a peer that does not close. TIME_WAIT keeps its 60 s. "
        "There is one way in which a low value leaves fewer TIME_WAIT: a peer that closes later than it finds nobody, and "
        "its FIN is answered with RST (try --set peer=3). That is a connection broken, not a wait avoided. Leave it at "
        "60, or lower it only against orphans in FIN_WAIT_2.",
        "tcp_fin_timeout 管的是 FIN_WAIT_2：对端迟迟不关闭时，等多久就放弃。TIME_WAIT 照样是 60 秒。"
        "只有一种情况调小后 TIME_WAIT 会变少：对端关闭得比这个时间还晚，它的 FIN 已无人接收，得到的是 RST"
        "（可用 --set peer=3 试一试）——那是把连接弄断了，不是省掉了等待。保持 60 即可，只有孤儿 FIN_WAIT_2 太多时才值得调小。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(
        Knob("peer", 0.0, "seconds between the client's close() and the server's"),
        Knob("later", 50.0, "seconds after which what waits is counted", kernel=3.0),
    ),
    counter={"peer": 3.0},
    flips_to=Verdict.HOLDS,
    picture=(1, 0),
    kernel_s=8.0,
)
