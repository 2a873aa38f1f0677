"""Whether leaked sockets end in a server that serves nobody."""

from __future__ import annotations

import sys
from functools import partial
from select import select
from subprocess import Popen
from typing import Final

from lastack.lab.bench import Bench, Sock
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.state import State
from lastack.model.time import SECOND

_SERVER: Final = """
import errno, os, resource, select, socket, sys
limit, closes, listening = map(int, sys.argv[1:])
os.dup2(listening, 3)
os.close(listening)
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
listener = socket.socket(fileno=3)
held = []
heard = [sys.stdin, listener]
while sys.stdin not in (ready := select.select(heard, [], [])[0]):
    try:
        made, _ = listener.accept()
    except OSError as error:
        print(errno.errorcode[error.errno], len(held), flush=True)
        heard.remove(listener)
        continue
    made.recv(1)
    held.append(made)
    if closes:
        held.pop().close()
"""
"""A server that reads the end of file and closes, or forgets to; it says which error accept() gives it, and when."""
_SYN_TIME_OUT = {"tcp_syn_retries": 1, "tcp_syn_linear_timeouts": 0}


def run(lab: Lab) -> Outcome:
    """Give a server process few descriptors, and let clients come and go until one cannot connect."""
    limit = lab.number("descriptors")
    with lab.scene("a server process that may have few descriptors", client=_SYN_TIME_OUT) as bench:
        listener = bench.server.listen(80, lab.number("backlog"))
        command = [sys.executable, "-c", _SERVER, str(limit), str(int(lab.flag("closes")))]
        server = bench.server.child(command, listener)
        listener.close()
        served, error = 0, ""
        while not error and served < lab.number("clients"):
            client = bench.client.connect(bench.server.address, 80)
            bench.within(10 * SECOND, partial(_decided, client))
            error = client.error or ""
            served += not error
            client.close()
            bench.within(10 * SECOND, partial(_taken, bench, server))
        told = _said(server)
        seen = [seen for seen in bench.server.sockets() if seen.state is State.CLOSE_WAIT]
        overflows = bench.server.counters().get("ListenOverflows", 0)
    facts = (
        Fact("descriptors that the process may have", limit),
        Fact("the error of accept()", told[0]),
        Fact("sockets leaked when accept() failed", int(told[1])),
        Fact("CLOSE_WAIT that belong to the process", sum(one.owned for one in seen)),
        Fact("CLOSE_WAIT in the accept queue", sum(not one.owned for one in seen)),
        Fact("clients that could connect", served),
        Fact("the error of the client after those", error or "none"),
        Fact("SYNs dropped for the full queue (ListenOverflows)", overflows, near=None),
    )
    refused = told[0] == "EMFILE" and error == "ETIMEDOUT" and overflows > 0
    return Outcome(Verdict.HOLDS if refused else Verdict.FALSE, facts)


def _decided(client: Sock) -> bool:
    return client.error is not None or client.state is State.ESTABLISHED


def _taken(bench: Bench, server: Popen[str]) -> bool:
    """Whether the server has accepted all that there is, or can no more."""
    return _told(server) or all(seen.owned for seen in bench.server.sockets())


def _told(server: Popen[str]) -> bool:
    return server.stdout is not None and bool(select([server.stdout], [], [], 0)[0])


def _said(server: Popen[str]) -> list[str]:
    """The error of accept() and how many sockets were open then."""
    return server.stdout.readline().split() if server.stdout is not None and _told(server) else ["none", "0"]


EXPERIMENT = Experiment(
    name="close-wait-descriptors",
    chapter="close-wait",
    claim=Words(
        "Leaked CLOSE_WAIT sockets fill the server up, until it refuses all service.",
        "CLOSE_WAIT 泄漏会耗尽服务器的资源，最终拒绝服务。",
    ),
    source=Words("all five articles", "五篇文章都这样说"),
    lesson=Words(
        "What runs out first is the process's descriptors (RLIMIT_NOFILE, often 1024): accept() fails with EMFILE, the "
        "accept queue fills with connections that nobody will ever answer (clients believe they are connected), and from "
        "then on SYNs are dropped: clients see a time-out, not a refusal. Neither memory nor ports are short. Raising "
        "`ulimit -n` only postpones it; watch the number of descriptors (/proc/PID/fd) against the limit and alarm at a "
        "half. A loop that tries accept() again at once after EMFILE burns a CPU besides: pause, or stop listening.",
        "最先耗尽的是进程的文件描述符（RLIMIT_NOFILE，常见为 1024）：accept() 返回 EMFILE；全连接队列随后被填满，"
        "其中的客户端以为已经连上，却永远等不到应答；再往后 SYN 被丢弃，客户端看到的是超时而不是拒绝。这时内存和端口都还够用。"
        "调大 `ulimit -n` 只是推迟；应该监控 /proc/PID/fd 的数量，用到一半就报警。"
        "EMFILE 之后立刻再次 accept() 的循环还会吃满一个 CPU：应当停一停，或者暂停监听。",
    ),
    run=run,
    expected=Verdict.HOLDS,
    knobs=(
        Knob("descriptors", 8, "RLIMIT_NOFILE of the server process"),
        Knob("backlog", 2, "what the server gives to listen()"),
        Knob("clients", 12, "clients that come, one after the other"),
        Knob("closes", False, "the server closes what its clients have closed"),
    ),
    counter={"closes": True},
    flips_to=Verdict.FALSE,
    side="kernel",
    only="the engine has no processes and no descriptors",
    kernel_s=4.0,
    picture=(0, 7),
)
