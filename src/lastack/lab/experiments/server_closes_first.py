"""Which side has TIME_WAIT afterwards."""

from __future__ import annotations

from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

_SCENES = (
    ("the client closes when it has its answer", "the client closes", "client"),
    ("the server closes after its answer, as HTTP/1.0 does", "the server answers and closes", "server"),
    ("the server closes what was idle for its keep-alive time-out", "the keep-alive time-out ends", "server"),
)


def run(lab: Lab) -> Outcome:
    """The same requests three times over, and look where the waits are."""
    requests = lab.number("requests")
    facts: list[Fact] = []
    told = True
    for title, short, first in _SCENES:
        with lab.scene(title) as bench:
            listener = bench.server.listen(80)
            for _ in range(requests):
                here = bench.client.connect(bench.server.address, 80)
                there = bench.until(listener.accept)
                bench.exchange(here, there)
                if "idle" in title:
                    bench.wait(lab.seconds("idle"))
                _close(bench, *((here, there) if first == "client" else (there, here)))
            waits = {host.name: host.count(State.TIME_WAIT) for host in (bench.client, bench.server)}
        other = "server" if first == "client" else "client"
        told = told and waits[first] == requests and not waits[other]
        facts += [Fact(f"TIME_WAIT of the {side} where {short}", count) for side, count in waits.items()]
    return Outcome(Verdict.HOLDS if told else Verdict.FALSE, tuple(facts))


def _close(bench: Bench, first: Sock, second: Sock) -> None:
    first.close()
    bench.until(lambda: second.receive() == b"")
    second.close()
    bench.ended(second, 5 * SECOND)
    bench.wait(20 * MILLISECOND)


EXPERIMENT = Experiment(
    name="server-closes-first",
    chapter="close",
    claim=Words(
        "Only the side that closes first has a TIME_WAIT, be it the client or the server.",
        "只有主动关闭的一方才有 TIME_WAIT，不管它是客户端还是服务器。",
    ),
    source=Words("all five articles", "五篇文章都这样说"),
    lesson=Words(
        "TIME_WAIT on a server means that the server closes first: answers with Connection: close, HTTP/1.0, or a "
        "keep-alive time-out that is shorter than the clients' (if both close at once, both have one: simultaneous-close). They are harmless there; whoever wants fewer lets the "
        "client close first. Do not get rid of them with tcp_max_tw_buckets (try --set tcp_max_tw_buckets=0: then "
        "nobody has one, and nobody answers a repeated FIN).",
        "服务器上有 TIME_WAIT，说明是服务器先关闭的：应答带 Connection: close、HTTP/1.0，或者 keep-alive 超时比客户端短（如果双方同时关闭，则双方都有，见 simultaneous-close）。"
        "它们放在那里并无害处；想要少一些，就让客户端先关闭。不要用 tcp_max_tw_buckets 去消灭它们"
        "（试试 --set tcp_max_tw_buckets=0：谁都没有 TIME_WAIT，也就没有人应答重发的 FIN）。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(
        Knob("requests", 2, "connections in each scene, one request on each"),
        Knob("idle", 5.0, "the server's keep-alive time-out in seconds", kernel=0.3),
    ),
    counter={"tcp_max_tw_buckets": 0},
    flips_to=Verdict.FALSE,
    kernel_s=3.0,
    picture=(1, 0),
)
