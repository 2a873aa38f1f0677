"""Whether keepalive is a remedy for CLOSE_WAIT."""

from __future__ import annotations

from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.keepalive import patience, settings
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND, Nanos


def run(lab: Lab) -> Outcome:
    """Leak connections to clients that answer, that have forgotten, and that are gone; see which of them end."""
    asked = lab.flag("keepalive")
    forgets = {"tcp_fin_timeout": lab.number("fin_timeout")}
    enough = patience(lab) + 2 * lab.seconds("idle")
    order = "without SO_KEEPALIVE; with it, the client only shut down; with it, the client closed"
    with lab.scene(
        f"the client's machine is up; in this order: {order}", client=forgets, server=settings(lab)
    ) as bench:
        unasked, waiting, forgotten = pairs = bench.connections(3)
        _leak(bench, unasked, False, forgets=True)
        _leak(bench, waiting, asked, forgets=False)
        _leak(bench, forgotten, asked, forgets=True)
        reset = _ends(bench, forgotten[1], enough)
        bench.wait(lab.seconds("idle"))
        remain = [there.state is State.CLOSE_WAIT for _, there in pairs[:2]]
        error = forgotten[1].error or "none"
    with lab.scene("the client's machine is gone", client=forgets, server=settings(lab)) as bench:
        here, there = bench.connection()
        _leak(bench, (here, there), asked, forgets=False)
        bench.cut()
        silent = _ends(bench, there, enough)
        error_of_silence = there.error or "none"
    facts = (
        Fact("without SO_KEEPALIVE: still in CLOSE_WAIT", remain[0]),
        Fact("with it, the client still waits in FIN_WAIT_2: still in CLOSE_WAIT", remain[1]),
        Fact("with it, the client has closed and forgotten: gone after", reset, "s", near=0.3),
        Fact("the error left for the program", error),
        Fact("with it, the client's machine is gone: gone after", silent, "s", near=0.2),
        Fact("the error left then", error_of_silence),
    )
    helped = error != "none" and error_of_silence != "none"
    if not helped:
        return Outcome(Verdict.FALSE, facts)
    if not any(remain):
        return Outcome(Verdict.HOLDS, facts)
    return Outcome(Verdict.ONLY_IF, facts)


def _leak(bench: Bench, pair: tuple[Sock, Sock], keepalive: bool, forgets: bool) -> None:
    """Make a CLOSE_WAIT that the program will not end; the client has closed, or only ended its sending and waits."""
    here, there = pair
    there.set(so_keepalive=keepalive)
    if forgets:
        here.close()
    else:
        here.shutdown()
    bench.until(lambda: there.receive() == b"", 10 * SECOND)


def _ends(bench: Bench, there: Sock, at_most: Nanos) -> float:
    """After how many seconds a connection is gone, or how long it was waited for."""
    took = bench.ended(there, at_most)
    return (at_most if took is None else took) / SECOND


EXPERIMENT = Experiment(
    name="keepalive-close-wait",
    chapter="close-wait",
    claim=Words(
        "Against many CLOSE_WAIT, shorten tcp_keepalive_time.", "大量 CLOSE_WAIT 时，调短 tcp_keepalive_time 可以解决。"
    ),
    source=Words(
        "advice in articles about many CLOSE_WAIT (tcp_keepalive_time 1200, intvl 30, probes 3 and the like)",
        "讲大量 CLOSE_WAIT 的文章里的建议（tcp_keepalive_time=1200、intvl=30、probes=3 之类）",
    ),
    lesson=Words(
        "Without SO_KEEPALIVE the setting does nothing at all. With it, a client that has closed forgets the connection "
        "after its FIN_WAIT_2 (60 s) and answers the next probe with RST, and a dead client is given up: the row is gone "
        "from ss. But a client that still waits in FIN_WAIT_2 answers every probe, and CLOSE_WAIT stays; and in every "
        "case the program still holds the descriptor, so EMFILE (too many open files) comes as before, only "
        "without the CLOSE_WAIT that would have shown why. Find the missing close().",
        "程序没有设置 SO_KEEPALIVE 时，这个参数毫无作用。设置了的话：已经 close 的客户端在 FIN_WAIT_2 结束（60 秒）后就忘了这个连接，"
        "会用 RST 回应下一个探测；已经消失的客户端会被放弃；于是 ss 里看不到这条 CLOSE_WAIT 了。但是仍停在 FIN_WAIT_2 的客户端会回应每一个探测，"
        "CLOSE_WAIT 一直在。而且无论哪种情况，程序仍占着描述符，“too many open files”照样会来，只是少了能说明原因的 CLOSE_WAIT。"
        "正确的做法是找到漏掉的 close()。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(
        Knob("idle", 1200, "tcp_keepalive_time of the server, shortened: seconds", kernel=2),
        Knob("interval", 30, "tcp_keepalive_intvl of the server: seconds", kernel=1),
        Knob("probes", 3, "tcp_keepalive_probes of the server", kernel=2),
        Knob("fin_timeout", 60, "tcp_fin_timeout of the client: when it forgets what it has closed", kernel=1),
        Knob("keepalive", True, "the server's program has set SO_KEEPALIVE"),
    ),
    counter={"keepalive": False},
    flips_to=Verdict.FALSE,
    condition=Words(
        "the program has set SO_KEEPALIVE and the client has forgotten the connection or is gone; and the descriptor "
        "stays leaked all the same",
        "程序自己设置了 SO_KEEPALIVE，并且对端已经忘掉这个连接或已经消失；即便如此，泄漏的描述符仍然没有释放",
    ),
    kernel_s=8.5,
    picture=(0, 2),
)
