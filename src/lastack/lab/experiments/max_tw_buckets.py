"""What happens to connections beyond tcp_max_tw_buckets."""

from __future__ import annotations

from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed, opened, parted, resets, unacknowledged
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos

_LIMIT = 2
_MANY = 4


def run(lab: Lab) -> Outcome:
    """Close more connections than may wait: with peers that close at once, with one that does not, with a lost ACK."""
    with lab.scene(
        "the peer's FIN is there before the limit counts", client={"tcp_max_tw_buckets": _LIMIT}, tcp_rfc1337=STEADY
    ) as bench:
        kept, oldest = _four_at_once(bench)
        default = int(bench.server.setting("tcp_max_tw_buckets") or 0)
        sent = {"the peer has sent its FIN": resets(bench, bench.client)}
        overflows = bench.client.counters().get("TCPTimeWaitOverflow", 0)
    errors = {}
    for title, late in (("the peer closes later than the client", True), ("the last ACK is lost", False)):
        with lab.scene(title, client={"tcp_max_tw_buckets": _LIMIT}, tcp_rfc1337=STEADY) as bench:
            errors[title] = _one_too_many(bench, lab.seconds("think") if late else 0, lost=not late)
            sent[title] = resets(bench, bench.client)
    facts = (
        Fact(f"TIME_WAIT of {_MANY} with a limit of {_LIMIT}", kept),
        Fact("these are the oldest", oldest),
        Fact("TCPTimeWaitOverflow", overflows),
        *(Fact(f"{title}: RSTs", count) for title, count in sent.items()),
        *(Fact(f"{title}: the peer's error", error or "none") for title, error in errors.items()),
        Fact("the limit where nobody sets it", default, near=None),
    )
    reset = [count > 0 for count in sent.values()]
    verdict = Verdict.FALSE if not any(reset) else Verdict.HOLDS if all(reset) else Verdict.ONLY_IF
    return Outcome(verdict, facts)


def _four_at_once(bench: Bench) -> tuple[int, bool]:
    """Close connections as programs do that read to the end of file: how many wait, and whether the first ones do."""
    listener = bench.server.listen(80)
    to = (bench.server.address, 80)
    pairs = [opened(bench, listener, bench.client, to) for _ in range(_MANY)]
    for here, there in pairs:
        parted(bench, here, there)
    waiting = [here.state is State.TIME_WAIT for here, _ in pairs]
    return sum(waiting), waiting == sorted(waiting, reverse=True)


def _one_too_many(bench: Bench, think: Nanos, lost: bool) -> str | None:
    """Close one connection more than may wait; the error that its peer gets, which closes only its sending side."""
    listener = bench.server.listen(80)
    pairs = [opened(bench, listener, bench.client, (bench.server.address, 80)) for _ in range(_LIMIT + 1)]
    for here, there in pairs[:-1]:
        closed(bench, here, there)
    here, there = pairs[-1]
    here.shutdown()
    if not lost:
        here.close()
    bench.until(lambda: there.receive() == b"", 10 * SECOND)
    bench.wait(think)
    if lost:
        unacknowledged(bench, there)
    else:
        there.shutdown()
    bench.ended(there, 5 * SECOND)
    bench.wait(50 * MILLISECOND)
    return there.error


EXPERIMENT = Experiment(
    name="max-tw-buckets",
    chapter="time-wait",
    claim=Words(
        "Connections beyond tcp_max_tw_buckets are reset.",
        "TIME_WAIT 数量超过 tcp_max_tw_buckets 时，连接会被重置。",
    ),
    source=Words(
        "several articles, which give 18,000 or 180,000 as the default", "多篇文章，默认值写作 18000 或 180000"
    ),
    lesson=Words(
        "The old ones stay for their 60 s; the new one is destroyed at once, without a TIME_WAIT (TCPTimeWaitOverflow "
        "counts them; 'TCP: time wait bucket table overflow' is logged by old kernels only, and not by 6.18). Where both FINs have passed "
        "nobody notices. But close() hands over to that same table while the peer's FIN is still out: then nothing is left to "
        "receive it, the peer gets a RST, and an error where there should be an end of file; also when the last ACK was lost. So "
        "never lower the limit to be rid of TIME_WAIT. The default grows with memory, here to 131,072, not 18,000.",
        "已有的 TIME_WAIT 照样待满 60 秒；新的则立即销毁，得不到 TIME_WAIT（看计数器 TCPTimeWaitOverflow；"
        "日志 TCP: time wait bucket table overflow 只有老内核才会打印，6.18 不打印）。如果双方的 FIN 都已经交换完，谁也不会察觉。"
        "但 close() 之后等待对端 FIN 的 FIN_WAIT_2 也要占这张表：放不下时就没有人接收对端的 FIN，对端得到 RST 和一个错误，而不是正常的结束；最后的 ACK 丢失时也一样。"
        "所以绝不要靠调小它来消灭 TIME_WAIT。默认值随内存增长，这台机器是 131072，而不是 18000。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(Knob("think", 0.4, "seconds after which the slow peer closes"),),
    counter={"tcp_max_tw_buckets": 1000},
    flips_to=Verdict.FALSE,
    condition=Words(
        "the peer sends its FIN, or sends it again, after the client has given the connection up; the old ones stay",
        "对端的 FIN 在本端放弃连接之后才到（或再次到达）；已有的 TIME_WAIT 不受影响",
    ),
    picture=(1, 2),
    kernel_s=3.0,
)
