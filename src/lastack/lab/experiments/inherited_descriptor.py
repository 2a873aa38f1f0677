"""Whether close() sends the FIN while another process holds the descriptor."""

from __future__ import annotations

from lastack.drive.faults import fin
from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND

_HOLDER = ("sh", "-c", "exec cat")
"""A process that does nothing with what it holds."""


def run(lab: Lab) -> Outcome:
    """Close what a child process has inherited, then end the child; close what nobody else has; shut down the first."""
    with lab.scene("a child process has inherited the descriptor") as bench:
        there = _close_wait(bench)
        child = bench.server.child(_HOLDER, *([there] if lab.flag("inherits") else []))
        there.close()
        bench.wait(lab.seconds("wait"))
        sent, state = _fin_sent(bench), there.state.name
        assert child.stdin is not None
        child.stdin.close()
        child.wait()
        at_last = bench.within(10 * SECOND, lambda: _fin_sent(bench)) is not None
        bench.ended(there, 10 * SECOND)
    with lab.scene("nobody else has it") as bench:
        there = _close_wait(bench)
        there.close()
        alone = bench.within(10 * SECOND, lambda: _fin_sent(bench)) is not None
        bench.ended(there, 10 * SECOND)
    with lab.scene("a child has it, the program calls shutdown()") as bench:
        there = _close_wait(bench)
        bench.server.child(_HOLDER, there)
        there.shutdown()
        shut = bench.within(10 * SECOND, lambda: _fin_sent(bench)) is not None
        bench.ended(there, 10 * SECOND)
    facts = (
        Fact("a child holds it: FIN after close()", sent),
        Fact("a child holds it: the state then", state),
        Fact("a child holds it: FIN when the child ends", at_last),
        Fact("nobody else holds it: FIN after close()", alone),
        Fact("a child holds it: FIN after shutdown()", shut),
    )
    if not alone:
        return Outcome(Verdict.FALSE, facts)
    if sent:
        return Outcome(Verdict.HOLDS, facts)
    return Outcome(Verdict.ONLY_IF, facts)


def _close_wait(bench: Bench) -> Sock:
    """The server's end of a connection that the client has closed; the program has read the end of file."""
    here, there = bench.connection()
    here.close()
    bench.until(lambda: there.receive() == b"", 10 * SECOND)
    bench.until(lambda: there.state is State.CLOSE_WAIT, 10 * SECOND)
    return there


def _fin_sent(bench: Bench) -> bool:
    return any(fin(packet) for packet in bench.sent_by(bench.server))


EXPERIMENT = Experiment(
    name="inherited-descriptor",
    chapter="close-wait",
    claim=Words(
        "Once the program has called close(), the FIN is sent and CLOSE_WAIT is over.",
        "程序只要调用了 close()，就会发出 FIN，CLOSE_WAIT 随之结束。",
    ),
    source=Words(
        "not told in the articles, which all end at close()", "五篇文章都没有讲：它们都只讲到调用 close() 为止"
    ),
    lesson=Words(
        "close() gives up one descriptor; the FIN leaves with the last one. A child process (a worker, a CGI, a log rotator "
        "started while the connection was open) that inherited it keeps CLOSE_WAIT alive though the program is "
        "innocent: `ss -tanp` then names two processes, or only the child. Open sockets with SOCK_CLOEXEC and accept with "
        "accept4(SOCK_CLOEXEC), as Python, Go, Rust and Java do by themselves and C programs often do not. That helps only against a child that "
        "calls exec(): a forked worker must close what it has inherited, or the parent must call shutdown() before close(), "
        "which sends the FIN whoever else holds the socket.",
        "close() 只是放弃一个描述符，最后一个描述符关闭时才会发出 FIN。连接打开期间启动的子进程（worker、CGI、日志切割）如果继承了它，"
        "程序明明已经 close，CLOSE_WAIT 仍然不走：这时 `ss -tanp` 会看到两个进程，或者只剩子进程。"
        "请用 SOCK_CLOEXEC 创建 socket、用 accept4(SOCK_CLOEXEC) 接受连接（Python、Go、Rust、Java 默认如此，C 程序常常没有）。"
        "但 CLOEXEC 只在子进程 exec 时生效：只 fork 不 exec 的 worker 必须自己关闭继承来的描述符，或者由父进程在 close() 之前先 shutdown()，无论还有谁持有，FIN 都会发出。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(
        Knob("inherits", True, "the child process of the first scene inherits the descriptor"),
        Knob("wait", 1.0, "seconds to wait for the FIN while the child holds the descriptor"),
    ),
    counter={"inherits": False},
    flips_to=Verdict.HOLDS,
    condition=Words(
        "no other process has inherited the descriptor: the FIN leaves with the last close()",
        "没有别的进程继承这个描述符：最后一个 close() 才会发出 FIN",
    ),
    side="kernel",
    only="the engine has no processes and no descriptors",
    kernel_s=2.0,
)
