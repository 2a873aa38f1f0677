"""What the backlog of listen() limits, and what clients see when a queue is full."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from lastack.drive.faults import syn_ack
from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos

_SETTLED: Nanos = 500 * MILLISECOND
_REPEATED: Nanos = 1500 * MILLISECOND
"""When a SYN,ACK whose answer was ignored has been sent again."""
_MORE = 2
"""So many clients come beyond what the queue takes."""


class _Crowd(NamedTuple):
    """What a server has, and what the clients that came too late believe."""

    established: int
    received: int
    believe: int
    reset: int


def run(lab: Lab) -> Outcome:
    """Fill the accept queue of a server that does not accept, then its SYN queue, then both at the same moment."""
    backlog, somaxconn = lab.number("backlog"), lab.number("somaxconn")
    limit = min(backlog, somaxconn)
    sysctls = {"somaxconn": somaxconn, "tcp_max_syn_backlog": lab.number("max_syn_backlog")}
    with lab.scene("nobody accepts", server=sysctls) as bench:
        waiting, comes_in = _accept_queue(bench, backlog, limit)
    with lab.scene("a listen() that asks for more than somaxconn", server={**sysctls, "somaxconn": 2}) as bench:
        capped, _ = _accept_queue(bench, backlog, 2)
    with lab.scene("nobody finishes the handshake", server={**sysctls, "tcp_syncookies": 0}) as bench:
        half_open = _syn_queue(bench, backlog, limit)
    with lab.scene("the queue fills during the handshakes", server=sysctls) as bench:
        ignored = _overflow(bench, backlog, limit)
    with lab.scene("the same with tcp_abort_on_overflow", server={**sysctls, "tcp_abort_on_overflow": 1}) as bench:
        aborted = _overflow(bench, backlog, limit)
    facts = (
        Fact("min(backlog, somaxconn)", limit),
        Fact("connections in the accept queue", waiting),
        Fact("in the accept queue where somaxconn is 2", capped),
        Fact("a client that waits comes in when one is accepted", comes_in),
        Fact("requests in the SYN queue, without SYN cookies", half_open),
        Fact("overflow: clients that believe in a connection that the server has not", ignored.believe),
        Fact("overflow: of these reset with tcp_abort_on_overflow", aborted.reset),
        Fact("overflow: still in SYN_RECEIVED at the server", ignored.received),
    )
    right = waiting == limit + 1 and capped == min(backlog, 2) + 1
    return Outcome(Verdict.HOLDS if right and half_open != limit + 1 else Verdict.FALSE, facts)


def _accept_queue(bench: Bench, backlog: int, limit: int) -> tuple[int, bool]:
    """How many connections wait when nobody accepts, and whether another comes in when somebody does."""
    listener = bench.server.listen(80, backlog)
    clients = _arrive(bench, limit + 1)
    late = bench.client.connect(bench.server.address, 80)
    bench.wait(_SETTLED)
    waiting = bench.server.count(State.ESTABLISHED, 80)
    outside = late.state is State.SYN_SENT
    bench.until(listener.accept, 10 * SECOND)
    comes_in = bench.within(10 * SECOND, lambda: late.state is State.ESTABLISHED) is not None
    return waiting, outside and comes_in and len(clients) == limit + 1


def _arrive(bench: Bench, count: int) -> list[Sock]:
    """So many clients, one after the other."""
    clients: list[Sock] = []
    for number in range(count):
        clients.append(bench.client.connect(bench.server.address, 80))
        bench.until(partial(_holds, bench, number + 1), 10 * SECOND)
    return clients


def _holds(bench: Bench, connections: int) -> bool:
    return bench.server.count(State.ESTABLISHED, 80) == connections


def _syn_queue(bench: Bench, backlog: int, limit: int) -> int:
    """How many SYNs of clients that never hear an answer are kept."""
    bench.back.lose(syn_ack, times=0)
    bench.server.listen(80, backlog)
    for _ in range(limit + 1 + _MORE):
        bench.client.connect(bench.server.address, 80)
    bench.wait(_SETTLED)
    return bench.server.count(State.SYN_RECEIVED, 80)


def _overflow(bench: Bench, backlog: int, limit: int) -> _Crowd:
    """Leave two places in the accept queue, and let four clients shake hands at the same moment."""
    bench.server.listen(80, backlog)
    _arrive(bench, limit - 1)
    clients = [bench.client.connect(bench.server.address, 80) for _ in range(2 + _MORE)]
    bench.wait(_REPEATED)
    established = bench.server.count(State.ESTABLISHED, 80)
    received = bench.server.count(State.SYN_RECEIVED, 80)
    believe = bench.client.count(State.ESTABLISHED, 80) - established
    reset = sum(client.error == "ECONNRESET" for client in clients)
    return _Crowd(established, received, believe, reset)


EXPERIMENT = Experiment(
    name="backlog",
    chapter="close-wait",
    claim=Words(
        "Since Linux 2.2 the backlog of listen() limits the accept queue alone, to min(backlog, somaxconn); the SYN queue's "
        "limit is tcp_max_syn_backlog.",
        "Linux 2.2 以后，listen() 的 backlog 只限制全连接队列，长度为 min(backlog, somaxconn)；半连接队列的长度由 tcp_max_syn_backlog 决定。",
    ),
    source=Words(
        "the articles on the queues of a listener; listen(2)", "讲半连接队列与全连接队列的文章；listen(2) 手册"
    ),
    lesson=Words(
        "The accept queue is as they say, give or take one: it takes min(backlog, somaxconn) + 1. But the SYN queue has the "
        "same limit today; tcp_max_syn_backlog counts, by three quarters, only where it is lower and SYN cookies are off. So the "
        "number to raise is the program's backlog together with somaxconn (and listen() again), and accept() has to keep up. "
        "When the queue is full further SYNs are dropped (ListenOverflows, ListenDrops) and those clients wait in SYN_SENT, "
        "1 s and more; handshakes that were under way leave a client that believes it is connected. tcp_abort_on_overflow "
        "resets those at once: honest, but it makes a short peak visible as errors.",
        "全连接队列基本如此，只是多一个：能放 min(backlog, somaxconn) + 1 个。但今天的内核里半连接队列也受同一个值限制；"
        "tcp_max_syn_backlog 只有在它更小、并且关闭了 SYN cookies 时才起作用（而且只用到它的四分之三）。所以要调大的是程序的 backlog 和 somaxconn（之后重新 listen），"
        "并且 accept() 要跟得上。队列满时新的 SYN 被丢弃（ListenOverflows、ListenDrops），这些客户端停在 SYN_SENT，至少等 1 秒；"
        "正在握手的客户端则会以为已经连上。tcp_abort_on_overflow 会立刻复位它们：更诚实，但短暂的高峰也会变成可见的错误。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(
        Knob("backlog", 4, "what the program gives to listen()"),
        Knob("somaxconn", 4096, "net.core.somaxconn"),
        Knob("max_syn_backlog", 2048, "net.ipv4.tcp_max_syn_backlog"),
    ),
    counter={"backlog": 16, "max_syn_backlog": 8},
    flips_to=Verdict.HOLDS,
    kernel_s=7.0,
    picture=(3, 6),
)
