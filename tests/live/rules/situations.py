"""What the tests of the rules share: processes that do what they are told, and the questions asked of a report."""

from __future__ import annotations

import fcntl
import itertools
import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import lastack
from lastack.diagnose.thresholds import Thresholds
from lastack.live import sockdiag
from lastack.model.address import Endpoint
from lastack.model.filters import parse
from lastack.model.finding import Finding
from lastack.model.record import ConnectionTable
from lastack.model.report import Report, Source
from lastack.model.state import State, bits
from lastack.model.time import MILLISECOND, SECOND

LOOPBACK: Final = "127.0.0.1"
SOON: Final = 20  # seconds until a situation must have come about
MOMENT: Final = 150 * MILLISECOND
"""The age from which a state counts as old in these tests."""

_SIOCSIFADDR: Final = 0x8916
_PUPPET: Final = Path(__file__).parent / "puppet.py"


class Puppet:
    """A process of its own, called `name`, that does what it is told; see `puppet.py`. Killed on leaving."""

    def __init__(self, name: str, free_ports: Iterator[int]) -> None:
        self.name = name
        self._free_ports = free_ports
        run = f"exec(open({str(_PUPPET)!r}).read())"  # a script's name would be told beside the process's own
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", run, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.ports: list[int] = []

    def __enter__(self) -> Puppet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"

    def do(self, function: str, *arguments: object) -> Any:
        """Have it call a function of `puppet.py`; the result."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([function, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"{self} has died in {function}{arguments}"
        return json.loads(answer)

    def listen(self, addr: str = LOOPBACK, backlog: int = 128) -> Endpoint:
        self.ports.append(self.do("listen", addr, backlog, next(self._free_ports)))
        return Endpoint(addr, self.ports[-1])

    def connect(self, to: Endpoint, count: int = 1, source: str = "") -> None:
        self.do("connect", *to, count, source)

    def stop(self) -> None:
        """Stop it by a signal, until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)
        until(lambda: self._letter() == "T", f"{self} to be stopped")

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _letter(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]


class Stage:
    """Where a test plays, and the processes that play in it.

    As root it is a network namespace of its own. Otherwise it is this host's, of which only the connections with the
    listeners of the stage are looked at.
    """

    def __init__(self, stack: ExitStack, private: bool) -> None:
        self._stack = stack
        self._private = private
        self._processes: list[Puppet] = []
        self._addresses = 0
        # Outside ip_local_port_range, where the network is the stage's own; else the kernel knows what is free.
        self._ports = itertools.count(8_080) if private else itertools.repeat(0)
        self.report = Report(Source("host", "", 0))

    def process(self, name: str) -> Puppet:
        self._processes.append(self._stack.enter_context(Puppet(name, self._ports)))
        return self._processes[-1]

    def connected(self, count: int, addr: str = LOOPBACK) -> tuple[Puppet, Puppet, Endpoint]:
        """A server called `leaky`, a client called `visitor` with `count` accepted connections, and the listener."""
        server, client = self.process("leaky"), self.process("visitor")
        at = server.listen(addr)
        client.connect(at, count)
        server.do("accept", count)
        return server, client, at

    def await_state(self, state: State, count: int) -> None:
        """Wait until that many connections of the namespace are in the state."""
        until(lambda: self.count(state) == count, f"{count} in {state.name}")

    def count(self, state: State) -> int:
        return len(self.rows(state))

    def rows(self, state: State) -> ConnectionTable:
        """The connections of the stage in the state, as the kernel tells them."""
        now = time.time_ns()
        table = sockdiag.read(now, bits(state))
        return table.select(parse(self._where()).matches(table, now))

    def check(self, where: str = "", pause_ns: int = 20 * MILLISECOND, **thresholds: Any) -> Report:
        """`lastack.check` of the namespace; a closing state counts as old from MOMENT on unless told otherwise."""
        table = Thresholds(**{"min_age_ns": MOMENT, **thresholds})
        return lastack.check(netns="own", where=where or self._where(), thresholds=table, pause_ns=pause_ns)

    def until_told(self, rule: str, count: int | None = None, **thresholds: Any) -> Finding:
        """Check again and again until the rule speaks (of `count` connections); its one finding.

        Leaves the report that it stands in as `self.report`.
        """

        def told() -> bool:
            self.report = self.check(**thresholds)
            found = of_rule(self.report, rule)
            return bool(found) and count in (None, len(found[0].connections))

        until(told, f"a {rule}")
        return the_one(self.report, rule)

    def let_age(self, state: State, least: int = 2 * MOMENT) -> None:
        """Wait until every connection in the state has surely been in it for `least` ns."""

        def aged() -> bool:
            table = self.rows(state)
            return len(table) > 0 and bool((table.valid("age_ns") & (table.values("age_ns") >= least)).all())

        until(aged, f"{state.name} to last {least / SECOND} s")

    def add_address(self, addr: str) -> None:
        """Give the network's loopback device a further address: a peer there is not on 127.0.0.0/8."""
        self._addresses += 1
        name = f"lo:{self._addresses}".encode()
        request = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(addr))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFADDR, request)

    def _where(self) -> str:
        if self._private:
            return ""
        ports = [port for process in self._processes for port in process.ports]
        return " or ".join(f"sport = :{port} or dport = :{port}" for port in ports)


def until(true: Callable[[], bool], what: str) -> None:
    """Poll until something is true; fails after SOON seconds, saying what it waited for."""
    deadline = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < deadline, f"waited {SOON} s in vain for {what}"
        time.sleep(0.01)


def of_rule(report: Report, rule: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.rule == rule]


def the_one(report: Report, rule: str) -> Finding:
    """The finding of a rule, of which there is exactly one."""
    found = of_rule(report, rule)
    assert len(found) == 1, f"{len(found)} of {rule} among {rules(report)}"
    return found[0]


def rules(report: Report) -> list[str]:
    """The rules that spoke, once for each finding, gravest first."""
    return [finding.rule for finding in report.findings]


def evidence(finding: Finding) -> dict[str, Any]:
    """The finding's evidence: values by fact. No fact may be told twice."""
    facts = [each.fact for each in finding.evidence]
    assert len(facts) == len(set(facts)), f"told twice: {facts}"
    return {each.fact: each.value for each in finding.evidence}


def advice(finding: Finding) -> str:
    """All that is advised, as one text."""
    return "\n".join(f"{each.do}: {each.effect} ({each.risk})" for each in finding.advice)
