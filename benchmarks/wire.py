"""Our TCP on a real wire beside PyTCP and the kernel: connections a second and bulk transfer, both ways.

sudo python benchmarks/wire.py [--quick] [--json FILE] [--compiled-python PATH] [--pytcp-python PATH]

The client is the kernel's TCP for everybody, a small C program made now (peers/wire_load.c). The servers do the same:
lastack and PyTCP on a TUN device, ours with offload, the kernel's TCP over loopback and over a veth pair; the
kernel's server is the C program, or, as `kernel-asyncio`, the same server in Python. A connection of `short` is
opened, has 100 octets there and 500 back, and is closed by the client first; of `server-closes` by the server. 64 are
under way at a time.

Every measurement has network namespaces of its own, subjects take turns, and the table shows medians over the rounds
with the ratio to the kernel over loopback. Rates are by the clock; `cpu_us_per_connection` and `cpu_s_per_gb` are of
client and server together, since on such paths each does part of the other's work. Needs root, and a C compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks import engine
else:
    import engine  # beside this file, which is run as a script

from lastack.errors import KernelError
from lastack.linux import namespaces, sysctl

HERE: Final = Path(__file__).resolve().parent
PEERS: Final = HERE / "peers"
LASTACK: Final = PEERS / "wire_lastack.py"
KERNEL, OURS = "10.9.0.1/16", "10.9.0.2"
LOOPBACK, VETH, ASYNCIO = "kernel-loopback", "kernel-veth", "kernel-asyncio"
AT_ONCE: Final = 64
PATIENCE_S: Final = 120
SETTINGS: Final = {"net.ipv4.ip_local_port_range": "1024 65535", "net.ipv4.tcp_max_tw_buckets": "2000000"}
CLIENT_CLOSES, SERVER_CLOSES, DISCARD, CHARGEN = 1000, 1100, 9, 19
UNITS: Final = {
    "connections_per_second": "1/s",
    "receive_mb_per_s": "MB/s",
    "send_mb_per_s": "MB/s",
    "cpu_us_per_connection": "us",
    "cpu_s_per_gb": "s",
}
MORE_IS_BETTER: Final = ("connections_per_second", "receive_mb_per_s", "send_mb_per_s")
Unavailable = engine.UnavailableError


@dataclass(frozen=True)
class Case:
    """What is compared: which port is asked, and how many connections or octets by whom."""

    name: str
    port: int
    amount: dict[str, int]
    rounds: int = 3


@dataclass
class Subject:
    """A server: its command, to which the address is added, and how the client reaches it."""

    name: str
    command: list[str]
    reach: Callable[[Subject, ExitStack], tuple[subprocess.Popen[str], str]]
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *more: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """The server's process; it is ready when this returns. Raises UnavailableError with what it said instead."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | self.environment
        pipe = subprocess.PIPE
        command = [*before, *self.command, *more]
        process = subprocess.Popen(command, env=environment, cwd=PEERS, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise Unavailable(last_line(process.communicate()[1]))
        return process

    def measure(self, load: Path, case: Case) -> dict[str, float]:
        """One measurement. Raises UnavailableError where it fails."""
        with ExitStack() as stage:
            stage.enter_context(namespaces.private())
            for name, value in SETTINGS.items():
                sysctl.write(name, value)
            server, address = self.reach(self, stage)
            stage.enter_context(ending(server))
            amount = case.amount[self.name]
            bulk = case.port in (DISCARD, CHARGEN)
            work = ["bulk", address, case.port, amount] if bulk else ["ask", address, case.port, amount, AT_ONCE]
            try:
                done = subprocess.run(
                    [str(load), *map(str, work)], capture_output=True, text=True, timeout=PATIENCE_S, check=True
                )
                said, _ = server.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired as error:
                raise Unavailable(f"not done after {PATIENCE_S} s") from error
            except subprocess.CalledProcessError as error:
                raise Unavailable(last_line(error.stderr)) from error
            if not said:
                raise Unavailable("the server has failed")
        client: dict[str, float] = json.loads(done.stdout)
        cpu = client["client_cpu_s"] + json.loads(said)["cpu_s"]
        if not bulk:
            rate = amount / client["wall_s"]
            return {"connections_per_second": rate, "cpu_us_per_connection": cpu / amount * 1e6}
        metric = "receive_mb_per_s" if case.port == DISCARD else "send_mb_per_s"
        return {metric: amount / 1e6 / client["wall_s"], "cpu_s_per_gb": cpu / amount * 1e9}


def last_line(said: str | None) -> str:
    """What a program has said last."""
    lines = (said or "").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


@contextmanager
def ending(server: subprocess.Popen[str]) -> Iterator[None]:
    """The server is gone afterwards, whatever happens."""
    try:
        yield
    finally:
        if server.poll() is None:
            server.kill()
        server.communicate()


# -- how a server is reached


def by_itself(subject: Subject, stage: ExitStack) -> tuple[subprocess.Popen[str], str]:
    """It makes its own device."""
    return subject.start("serve", OURS, KERNEL), OURS


def by_tun(subject: Subject, stage: ExitStack) -> tuple[subprocess.Popen[str], str]:
    """It opens a device that is there, with the header of four octets that PyTCP expects."""
    ip("tuntap add dev tun0 mode tun pi", f"addr add {KERNEL} dev tun0", "link set tun0 up")
    return subject.start("tun0", OURS), OURS


def by_loopback(subject: Subject, stage: ExitStack) -> tuple[subprocess.Popen[str], str]:
    """It is in the client's namespace."""
    return subject.start("serve", "127.0.0.1"), "127.0.0.1"


def by_veth(subject: Subject, stage: ExitStack) -> tuple[subprocess.Popen[str], str]:
    """It is in a namespace of its own, at the other end of a pair of devices."""
    server = subject.start("serve", "0.0.0.0", before=("unshare", "--net"))
    stage.enter_context(ending(server))
    ip(
        f"link add here type veth peer name there netns {server.pid}",
        f"addr add {KERNEL} dev here",
        "link set here up",
    )
    ip(f"addr add {OURS}/16 dev there", "link set there up", inside=server.pid)
    return server, OURS


def ip(*commands: str, inside: int | None = None) -> None:
    """Set up devices, in the namespace of a process where one is given. Raises UnavailableError."""
    before = [] if inside is None else ["nsenter", f"--net=/proc/{inside}/ns/net"]
    for command in commands:
        done = subprocess.run([*before, "ip", *command.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(last_line(done.stderr))


# -- what there is


def client(workshop: Path) -> Path:
    """Our C program, compiled now. Raises UnavailableError."""
    compiler = shutil.which("cc") or shutil.which("g++")
    if compiler is None:
        raise Unavailable("no C compiler")
    program = workshop / "wire_load"
    made = subprocess.run(
        [compiler, "-x", "c", "-O2", "-o", str(program), str(PEERS / "wire_load.c")],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise Unavailable(last_line(made.stderr))
    return program


def compiled(python: str) -> Subject:
    """The package that an interpreter has installed, which has to be a compiled one."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ask = [python, str(LASTACK), "which"]
    told = subprocess.run(ask, env=clean, cwd=PEERS, capture_output=True, text=True, check=False)
    if told.returncode or not json.loads(told.stdout)["compiled"]:
        raise Unavailable(f"the lastack that {python} has installed is not compiled (--compiled-python PATH)")
    return Subject(engine.COMPILED, [python, str(LASTACK)], by_itself)


def pytcp(workshop: Path, python: str | None) -> Subject:
    """PyTCP, in the environment of `python` or in one made now."""
    found = engine.pytcp(workshop, python).command[0]
    return Subject(engine.PYTCP, [found, str(PEERS / "wire_pytcp.py")], by_tun)


def subjects(asked: argparse.Namespace, workshop: Path, load: Path) -> dict[str, Subject]:
    """Those that can be run; what cannot be is said on stderr. A quick run has one peer."""
    python = asked.compiled_python or os.environ.get("LASTACK_COMPILED_PYTHON") or sys.executable
    source = {"PYTHONPATH": str(HERE.parent / "src")}
    makers: dict[str, Callable[[], Subject]] = {
        engine.COMPILED: lambda: compiled(python),
        engine.INTERPRETED: lambda: Subject(engine.INTERPRETED, [sys.executable, str(LASTACK)], by_itself, source),
        LOOPBACK: lambda: Subject(LOOPBACK, [str(load)], by_loopback),
        VETH: lambda: Subject(VETH, [str(load)], by_veth),
        ASYNCIO: lambda: Subject(ASYNCIO, [sys.executable, str(PEERS / "wire_asyncio.py")], by_loopback),
        engine.PYTCP: lambda: pytcp(workshop, asked.pytcp_python),
    }
    found: dict[str, Subject] = {}
    for name, make in makers.items():
        if asked.quick and name not in (engine.COMPILED, engine.INTERPRETED, LOOPBACK):
            continue
        try:
            found[name] = make()
        except Unavailable as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
    return found


def cases(quick: bool) -> list[Case]:
    """The headline first."""
    share = 5 if quick else 1
    kernel = (LOOPBACK, VETH, ASYNCIO)
    connections = {engine.COMPILED: 20_000, engine.INTERPRETED: 5_000} | dict.fromkeys(kernel, 20_000)
    octets = {engine.COMPILED: 4_000_000_000, engine.INTERPRETED: 1_000_000_000} | dict.fromkeys(kernel, 4_000_000_000)
    few = {name: count // share for name, count in connections.items()} | {engine.PYTCP: 200}
    bulk = {name: count // share for name, count in octets.items()} | {engine.PYTCP: 10_000_000}
    headline = Case("short", CLIENT_CLOSES, few)
    received, sent = Case("receive", DISCARD, bulk), Case("send", CHARGEN, bulk)
    return (
        [headline, received, sent] if quick else [headline, Case("server-closes", SERVER_CLOSES, few), received, sent]
    )


def run(case: Case, found: dict[str, Subject], load: Path) -> dict[str, list[dict[str, float]]]:
    """Every subject's measurements, a round after the other; one that fails has none."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in found}
    for _ in range(case.rounds):
        for name in list(measured):
            try:
                measured[name].append(found[name].measure(load, case))
            except Unavailable as error:
                print(f"{name}: {case.name}: {error}", file=sys.stderr)
                del measured[name]
    return measured


def show(case: Case, measured: dict[str, list[dict[str, float]]]) -> list[dict[str, object]]:
    """Print a case's lines, and give its rows."""
    rows: list[dict[str, object]] = []
    for metric, unit in UNITS.items():
        medians = {
            name: statistics.median(one[metric] for one in rounds)
            for name, rounds in measured.items()
            if metric in rounds[0]
        }
        peer = medians.get(LOOPBACK)
        for name, value in medians.items():
            rows.append({"case": case.name, "subject": name, "metric": metric, "value": value, "unit": unit})
            ratio = "" if not peer else f"{value / peer if metric in MORE_IS_BETTER else peer / value:,.3g} x"
            print(f"{case.name:<14} {name:<20} {metric:<24} {value:>12,.5g} {unit:<5} {ratio:>10}", flush=True)
    return rows


def main() -> None:
    """Run the cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, one peer, within a minute")
    parser.add_argument("--json", type=Path, help="write rows here")
    parser.add_argument("--case", action="append", help="these cases only")
    parser.add_argument("--subject", action="append", help="these subjects only")
    parser.add_argument("--compiled-python", help="an interpreter that has the compiled lastack installed")
    parser.add_argument("--pytcp-python", help="an interpreter that has pmd-pytcp installed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lastack-bench-") as workshop:
        try:
            load = client(Path(workshop))
        except Unavailable as error:
            raise SystemExit(f"no client: {error}") from error
        found = subjects(asked, Path(workshop), load)
        if asked.subject:
            found = {name: subject for name, subject in found.items() if name in asked.subject}
        print(f"{'case':<14} {'subject':<20} {'metric':<24} {'median':>12} {'unit':<5} {'loopback':>10}", flush=True)
        rows: list[dict[str, object]] = []
        try:
            for case in cases(asked.quick):
                if not asked.case or case.name in asked.case:
                    rows += show(case, run(case, found, load))
        except KernelError as error:
            raise SystemExit(str(error)) from error
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
