"""What SO_REUSEADDR does to TIME_WAIT, and who must set it."""

from __future__ import annotations

from lastack.errors import CallError
from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed, opened
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND

_MANY = 3
_PORT = 40_000


def run(lab: Lab) -> Outcome:
    """Close three connections on the server, and start it again, with and without the option before and after."""
    left: dict[bool, int] = {}
    errors: dict[tuple[bool, bool], str] = {}
    facts: list[Fact] = []
    for before, after in ((False, False), (False, True), (True, False), (True, True)):
        title = f"the old server {_sets(before)} SO_REUSEADDR, the new one {_sets(after)}"
        with lab.scene(title, tcp_rfc1337=STEADY) as bench:
            left[before], errors[before, after] = _restarted(bench, before, after)
        facts.append(Fact(f"{title}: bind()", errors[before, after] or "works"))
    facts += [
        Fact(f"TIME_WAIT where the server {_sets(option)} SO_REUSEADDR", left[option]) for option in (False, True)
    ]
    with lab.scene("a client that binds its source port", client={"ip_local_port_range": "40000 40000"}) as bench:
        opens = {
            f"source port {port or 'any'}, {_sets(option)} SO_REUSEADDR": _to_another(bench, port, option)
            for port, option in ((_PORT, False), (_PORT, True), (0, True))
        }
    facts += [Fact(f"{how}: to another destination beside the first", error or "works") for how, error in opens.items()]
    if lab.flag("restarts"):
        works = not errors[True, True] and errors[False, False] != ""
        return Outcome(Verdict.HOLDS if works else Verdict.FALSE, tuple(facts))
    return Outcome(Verdict.HOLDS if left[True] < left[False] else Verdict.FALSE, tuple(facts))


def _restarted(bench: Bench, before: bool, after: bool) -> tuple[int, str]:
    """How many TIME_WAIT a server leaves behind, and the error when another wants its port; empty where it gets it."""
    listener = bench.server.listen(80, so_reuseaddr=before)
    for _ in range(_MANY):
        here, there = opened(bench, listener, bench.client, (bench.server.address, 80))
        closed(bench, there, here)
    listener.close()
    left = bench.server.count(State.TIME_WAIT)
    try:
        bench.server.listen(80, so_reuseaddr=after)
    except CallError as error:
        return left, error.code or str(error)
    return left, ""


def _to_another(bench: Bench, port: int, option: bool) -> str:
    """The error of a second connection from one source port to another address; empty where there is none."""
    listener = bench.server.listen(80)
    ends: list[Sock] = []
    try:
        for address in bench.server.addresses[:2]:
            local = (bench.client.address, port)
            ends += opened(bench, listener, bench.client, (address, 80), local, so_reuseaddr=option)
    except CallError as error:
        return error.code or str(error)
    finally:
        for end in ends:
            end.abort()
        bench.until(lambda: all(end.state is State.CLOSED for end in ends), 10 * SECOND)
        listener.close()
    return ""


def _sets(option: bool) -> str:
    return "sets" if option else "does not set"


EXPERIMENT = Experiment(
    name="reuseaddr",
    chapter="time-wait",
    claim=Words("SO_REUSEADDR avoids TIME_WAIT.", "设置 SO_REUSEADDR 可以避免 TIME_WAIT。"),
    source=Words("several articles, as a remedy", "多篇文章把它列为解决办法"),
    lesson=Words(
        "There are as many TIME_WAIT with it as without; no port is freed sooner. What it does: a server that is started "
        "again may bind() its port beside them, instead of EADDRINUSE for up to a minute. For that both must have set it: "
        "the new one, and the old one before it listened, for what it accepted has inherited it. So every server should "
        "set it, always, before its first bind(). For connections that are opened it is of no use, "
        "unless they bind a fixed source port: with it that port may be used towards other destinations too.",
        "设不设它，TIME_WAIT 一样多，端口也不会提前释放。它真正的作用是：服务器重启时，可以在这些 TIME_WAIT 还在的情况下 bind() 同一端口，"
        "而不必在一分钟内一直报 EADDRINUSE。前提是双方都设过：不仅新进程要设，旧进程在 listen 之前也要设，因为 accept 出来的连接会继承它。"
        "所以每个服务器都应当在第一次 bind() 之前就设置它。对主动发起的连接，它没有帮助，除非 bind 了固定的源端口：设了它，这个端口就可以同时用于其他目的地址。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(
        Knob(
            "restarts", False, "judge by whether the server can be started again at once, not by what is in TIME_WAIT"
        ),
    ),
    counter={"restarts": True},
    flips_to=Verdict.HOLDS,
    picture=None,
    kernel_s=3.0,
)
