"""Whether a leaked CLOSE_WAIT is the program's bug alone, and how its receive queue tells which bug."""

from __future__ import annotations

from typing import NamedTuple

from lastack.lab.bench import Bench, Listening, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND

_LOWERED = {
    "tcp_fin_timeout": 1,
    "tcp_orphan_retries": 1,
    "tcp_retries2": 1,
    "tcp_keepalive_time": 1,
    "tcp_keepalive_intvl": 1,
    "tcp_keepalive_probes": 1,
}
"""What people turn against CLOSE_WAIT, as low as it goes."""


class _Bug(NamedTuple):
    """What a program forgets: `sent` is what the client says before it closes."""

    title: str
    sent: bytes
    accepts: bool
    reads: bool


_BUGS = (
    _Bug("the end of file was never read", b"", True, False),
    _Bug("read, but the socket never closed", b"", True, True),
    _Bug("100 octets were never read either", b"x" * 100, True, False),
    _Bug("never accepted", b"", False, False),
)


def run(lab: Lab) -> Outcome:
    """Four clients close and four programs do not, with everything turned that can be; then one that does."""
    wait = lab.seconds("wait")
    order = "; ".join(bug.title for bug in _BUGS)
    with lab.scene(
        f"every time-out at its least; four bugs, in this order: {order}", client=_LOWERED, server=_LOWERED
    ) as bench:
        listener = bench.server.listen(80, so_keepalive=lab.flag("keepalive"))
        ends = [_leak(bench, listener, bug) for bug in _BUGS]
        bench.until(lambda: bench.server.count(State.CLOSE_WAIT, 80) == len(_BUGS), 10 * SECOND)
        queues = {seen.four.remote: (seen.recv_q, seen.owned) for seen in bench.server.sockets()}
        found = [queues[here.four.local] for here, _ in ends]
        bench.wait(wait)
        left = bench.server.count(State.CLOSE_WAIT, 80)
    with lab.scene("the program closes", client=_LOWERED, server=_LOWERED) as bench:
        here, there = bench.connection()
        here.close()
        bench.until(lambda: there.receive() == b"", 10 * SECOND)
        there.close()
        cured = bench.ended(there, 10 * SECOND) is not None
    facts = (
        *(Fact(f"Recv-Q in octets: {bug.title}", queue) for bug, (queue, _) in zip(_BUGS, found, strict=True)),
        Fact("without an owner: never accepted", [owned for _, owned in found] == [True, True, True, False]),
        Fact("waited", wait / SECOND, "s"),
        Fact("CLOSE_WAIT left after that", left),
        Fact("gone when the program closes", cured),
    )
    if left < len(_BUGS) or not cured:
        return Outcome(Verdict.FALSE, facts)
    return Outcome(Verdict.ONLY_IF, facts)


def _leak(bench: Bench, listener: Listening, bug: _Bug) -> tuple[Sock, Sock | None]:
    """A connection that its client has closed and its server has not, both ends."""
    here = bench.client.connect(bench.server.address, 80)
    bench.until(lambda: here.state is State.ESTABLISHED, 10 * SECOND)
    there = bench.until(listener.accept, 10 * SECOND) if bug.accepts else None
    if bug.sent:
        here.send(bug.sent)
    here.close()
    if there is not None and bug.reads:
        bench.until(lambda: there.receive() == b"", 10 * SECOND)
    return here, there


EXPERIMENT = Experiment(
    name="close-wait-leak",
    chapter="close-wait",
    claim=Words(
        "Many CLOSE_WAIT are a bug in the server's own program; no setting of the kernel ends them.",
        "服务器上出现大量 CLOSE_WAIT 是自己程序的 bug（没有调用 close），改内核参数没有用。",
    ),
    source=Words("all five articles", "五篇文章都这样说"),
    lesson=Words(
        "CLOSE_WAIT has no timer: a day later it is still there, however low tcp_fin_timeout and the rest are, and it "
        "ends the moment that the program calls close(). Recv-Q in `ss -tan state close-wait` says where to look: 0: the "
        "end of file was read and the socket forgotten (an error path without close()); 1: nobody reads that socket "
        "any more; more: data is unread as well; and without a process (`ss -p`): accept() is not called. The one "
        "setting that can end it, keepalive, works only where the program has asked for it (see keepalive-close-wait). If the "
        "program does close, look for a child process that holds the descriptor too (inherited-descriptor).",
        "CLOSE_WAIT 没有定时器：无论 tcp_fin_timeout 等参数调得多低，一天之后它还在；程序一调用 close() 它就结束。"
        "`ss -tan state close-wait` 里的 Recv-Q 能说明问题出在哪：0 表示 EOF 已经读到、但忘了关闭（多半是某个异常分支漏了 close）；"
        "1 表示没有人再读这个 socket；更大表示还有数据没读；如果 `ss -p` 看不到进程，说明程序没有 accept()。"
        "唯一可能起作用的参数是 keepalive，但前提是程序自己打开了它：见 keepalive-close-wait。如果程序确实调用了 close，"
        "就要看有没有子进程也持有这个描述符：见 inherited-descriptor。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(
        Knob("wait", 86_400.0, "seconds to wait whether anything ends them", kernel=4.0),
        Knob("keepalive", False, "the program has set SO_KEEPALIVE on its sockets"),
    ),
    counter={"keepalive": True},
    flips_to=Verdict.FALSE,
    condition=Words(
        "the program has not set SO_KEEPALIVE (see keepalive-close-wait)",
        "程序没有设置 SO_KEEPALIVE（见 keepalive-close-wait）",
    ),
    kernel_s=4.5,
    picture=(0, 1),
)
