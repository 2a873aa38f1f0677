"""How long FIN_WAIT_2 lasts when the other side does not close."""

from __future__ import annotations

from lastack.drive.faults import rst
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.reading import LATE, seconds, spent
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

_CONDITION = Words(
    "no program holds the socket any more: it was closed, not only shut down",
    "套接字已经没有程序持有：程序调用的是 close()，而不只是 shutdown()",
)

_SHORT = 2
"""TCP_LINGER2 of one socket, in seconds."""
_PATIENCE = 1_000 * SECOND


def run(lab: Lab) -> Outcome:
    """Three sockets whose peers do not close: closed, closed with TCP_LINGER2, only shut down."""
    timeout = lab.seconds("timeout")
    with lab.scene(
        f"closed; closed with TCP_LINGER2 of {_SHORT} s; only shut down", tcp_fin_timeout=lab.number("timeout")
    ) as bench:
        # The peers stay open: a name for each, or the sockets would be collected and closed.
        (orphan, peer), (short, _peer), (held, _other) = (bench.connection(port) for port in (80, 81, 82))
        short.set(tcp_linger2=_SHORT)
        begin = bench.now
        orphan.close()
        short.close()
        held.shutdown()
        if not lab.flag("keeps"):
            held.close()
        bench.ended(orphan, _PATIENCE)
        bench.ended(short, _PATIENCE)
        bench.wait(100 * MILLISECOND)
        orphan_life, short_life = (spent(bench, bench.client, State.FIN_WAIT_2, number) for number in (0, 1))
        peer.close()
        bench.wait(100 * MILLISECOND)
        resets = sum(map(rst, bench.sent_by(bench.client)))
        bench.within(2 * timeout - (bench.now - begin), lambda: held.state is State.CLOSED)
        left = held.state
    over = lab.number("over")
    with lab.scene(f"closed, with tcp_fin_timeout at {over} s", tcp_fin_timeout=over) as bench:
        here, _peer = bench.connection()
        here.close()
        bench.ended(here, _PATIENCE)
        long_life = spent(bench, bench.client, State.FIN_WAIT_2)
    facts = (
        Fact("tcp_fin_timeout", seconds(timeout), "s"),
        Fact("FIN_WAIT_2 of the closed socket lasts", seconds(orphan_life), "s", LATE),
        Fact(f"FIN_WAIT_2 of the socket with TCP_LINGER2 of {_SHORT} s lasts", seconds(short_life), "s", LATE),
        Fact("the socket that is only shut down, twice tcp_fin_timeout later", left.name),
        Fact("RSTs that answer the FIN of the peer afterwards", resets),
        Fact(f"FIN_WAIT_2 of a closed socket, with tcp_fin_timeout at {over} s, lasts", seconds(long_life), "s", LATE),
    )
    ended = abs(orphan_life - timeout) < timeout / 2
    if not ended:
        return Outcome(Verdict.FALSE, facts)
    if left is State.CLOSED:
        return Outcome(Verdict.HOLDS, facts)
    return Outcome(Verdict.ONLY_IF, facts)


EXPERIMENT = Experiment(
    name="fin-wait-2-timeout",
    chapter="close",
    claim=Words(
        "FIN_WAIT_2 has a timer (tcp_fin_timeout): if the other side does not close, the state ends by itself.",
        "FIN_WAIT_2 有定时器（tcp_fin_timeout）：对方一直不关闭，它也会自己结束。",
    ),
    source=Words("several articles", "几篇文章"),
    lesson=Words(
        "The timer belongs to sockets that nobody holds. One that a program has shut down and keeps open waits for ever: set "
        "a time-out for reading after shutdown(). A value of tcp_fin_timeout above 60 is a trap: the kernel waits for the excess "
        "over 60 s, twice, and for nothing else: 61 gives 2 s, 90 gives 60 s, 180 gives 240 s (--set over=180). Leave it at 60, or "
        "lower it, or set TCP_LINGER2 per socket.",
        "这个定时器只管没有程序持有的套接字。程序 shutdown() 之后还开着的套接字会永远等下去：shutdown() 之后的读操作要设超时。"
        "tcp_fin_timeout 大于 60 是个陷阱：内核只等超出 60 秒的那部分，而且等两次：61 得 2 秒，90 得 60 秒，180 得 240 秒"
        "（--set over=180）。保持 60，或者调小，或者对单个套接字用 TCP_LINGER2。",
    ),
    run=run,
    expected=Verdict.ONLY_IF,
    knobs=(
        Knob("timeout", 60, "tcp_fin_timeout in seconds", kernel=3),
        Knob("over", 61, "another tcp_fin_timeout in seconds, above 60"),
        Knob("keeps", True, "whether the program of the third socket keeps it open after shutdown(SHUT_WR)"),
    ),
    counter={"keeps": False},
    flips_to=Verdict.HOLDS,
    condition=_CONDITION,
    kernel_s=10.0,
)
