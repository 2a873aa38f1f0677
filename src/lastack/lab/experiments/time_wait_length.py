"""How long TIME_WAIT lasts."""

from __future__ import annotations

from lastack.lab.experiment import Experiment
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos

_FIN_TIMEOUTS = (60, 5, 120)
_LEAST, _MOST = 59 * SECOND, 66 * SECOND
"""Linux's timers are up to an eighth late: 60 s end between 60 and 62 s on a machine that has time for them."""


def run(lab: Lab) -> Outcome:
    """Close three connections under three values of tcp_fin_timeout, and see how long each waits."""
    with lab.scene("three values of tcp_fin_timeout", delay=10 * MILLISECOND, tcp_rfc1337=STEADY) as bench:
        began: dict[int, Nanos] = {}
        lasted = dict.fromkeys(_FIN_TIMEOUTS, 0)
        ends = {}
        for timeout in _FIN_TIMEOUTS:
            bench.client.set(tcp_fin_timeout=timeout)
            here, there = bench.connection()
            closed(bench, here, there)
            if here.state is State.TIME_WAIT:
                began[timeout], ends[timeout] = bench.now, here.four

        def over() -> bool:
            waiting = {seen.four for seen in bench.client.sockets() if seen.state is State.TIME_WAIT}
            for timeout, four in list(ends.items()):
                lasted[timeout] = bench.now - began[timeout]
                if four not in waiting:
                    del ends[timeout]
            return not ends

        bench.within(70 * SECOND, over)
    facts = tuple(
        Fact(f"TIME_WAIT with tcp_fin_timeout = {timeout}", time / SECOND, "s", near=0.06)
        for timeout, time in lasted.items()
    )
    alike = all(_LEAST <= time <= _MOST for time in lasted.values())
    return Outcome(Verdict.HOLDS if alike else Verdict.FALSE, facts)


EXPERIMENT = Experiment(
    name="time-wait-length",
    chapter="time-wait",
    claim=Words("On Linux TIME_WAIT (2 MSL) lasts 60 seconds.", "在 Linux 上，TIME_WAIT（2MSL）持续 60 秒。"),
    source=Words("several articles; others say 30 s, or 2 to 4 minutes", "多篇文章；也有文章说 30 秒或 2～4 分钟"),
    lesson=Words(
        "60 s is a constant of the kernel (TCP_TIMEWAIT_LEN); its coarse timers make that 60 to 62 s. No sysctl changes "
        "it: with tcp_fin_timeout at 5, 60 and 120 the wait was the same. RFC 9293 would have it 4 minutes, other "
        "systems have other values: ask the machine, for example with ss -tano state time-wait.",
        "60 秒是内核里写死的常量（TCP_TIMEWAIT_LEN），定时器精度较粗，实际为 60～62 秒。没有任何 sysctl 能改变它："
        "tcp_fin_timeout 设为 5、60、120 时等待时间都一样。RFC 9293 规定的是 4 分钟，其他系统的取值各不相同；"
        "以机器为准，可用 ss -tano state time-wait 查看剩余时间。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    counter={"tcp_max_tw_buckets": 0},
    flips_to=Verdict.FALSE,
    kernel_s=65.0,
)
