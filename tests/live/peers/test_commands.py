"""`lastack tun` as a process of its own: what it serves, fetches and says, with root and without."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lastack.linux import interfaces, namespaces
from lastack.linux.namespaces import Namespace
from lastack.wire.pcapng import ENHANCED_PACKET, decode_blocks

pytestmark = pytest.mark.root

NOBODY = 65_534
LASTACK = (sys.executable, "-m", "lastack", "tun")


def lastack(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    given = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([*LASTACK, *arguments], check=False, **given)


class Serving:
    """A server that runs: `said` is what it has printed so far."""

    def __init__(self, *arguments: str, command: tuple[str, ...] = LASTACK, **options: Any) -> None:
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
        self.process = subprocess.Popen([*command, "serve", *arguments], **given)
        self.said = ""

    def hear(self, pattern: str) -> re.Match[str]:
        """What it says until that is among it."""
        assert self.process.stdout is not None
        end = time.monotonic() + 30
        while not (found := re.search(pattern, self.said)):
            assert time.monotonic() < end, self.said
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                piece = os.read(self.process.stdout.fileno(), 1 << 16).decode()
                assert piece, self.said
                self.said += piece
        return found

    def stop(self, number: int = signal.SIGINT) -> int:
        """Its exit status, when told to end."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        rest = self.process.stdout.read()
        self.said += rest.decode()
        return self.process.wait(30)


@contextmanager
def serving(*arguments: str, **options: Any) -> Iterator[Serving]:
    server = Serving(*arguments, **options)
    try:
        server.hear("Ctrl-C ends")
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        if server.process.stdout is not None:
            server.process.stdout.close()


@contextmanager
def kernel_server(directory: Path) -> Iterator[int]:
    """Python's own web server at port 8000 of the kernel; its process."""
    command = (sys.executable, "-u", "-m", "http.server", "8000", "--directory", str(directory))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            assert "8000" in server.stdout.readline()
            yield server.pid
        finally:
            server.terminate()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    root.mkdir()
    (root / "file").write_bytes(os.urandom(300_000))
    return root


# -- serve


@pytest.mark.tool("curl")
def test_serve_serves_until_it_is_told_to_end_and_shows_its_connections(private_network: Namespace, site: Path) -> None:
    before = interfaces.networks()
    with serving(str(site), "--verbose") as server:
        url = server.hear(r"http://10\.9\.0\.2/")[0]
        six = server.hear(r"http://\[fd09:9:0?:?:2\]/")[0]
        for where in (url, six):
            curl = ["curl", "-sS", "--fail", "-H", "Connection: close", f"{where}file"]
            assert (
                subprocess.run(curl, capture_output=True, check=True, timeout=30).stdout == (site / "file").read_bytes()
            )
        server.hear('GET /file HTTP/1.1" 200 300000')
        server.process.send_signal(signal.SIGUSR1)
        server.hear("2 TIME_WAIT, 4 LISTEN")
        assert "4 LISTEN" not in server.said.split("2 TIME_WAIT, 4 LISTEN")[1]
        assert server.stop() == 0
        assert server.said.count("2 TIME_WAIT, 4 LISTEN") == 2
    assert max(map(len, server.said.splitlines())) <= 80
    assert interfaces.networks() == before


def test_a_key_shows_the_connections_and_the_terminal_is_left_as_it_was(private_network: Namespace, site: Path) -> None:
    near, far = os.openpty()
    former = termios.tcgetattr(far)
    own_session = {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
    with serving(str(site), stdin=far, **own_session) as server:
        os.write(near, b"x")
        server.hear("4 LISTEN")
        os.write(near, b"\x03")
        assert server.process.wait(30) == 0
    assert termios.tcgetattr(far) == former
    os.close(near)
    os.close(far)


def test_two_at_once_take_different_networks(private_network: Namespace, site: Path) -> None:
    with serving(str(site)) as one, serving(str(site)) as other:
        assert one.hear(r"http://10\.9\.\d+\.2/")[0] != other.hear(r"http://10\.9\.\d+\.2/")[0]


@pytest.mark.tool("curl")
def test_addresses_settings_and_a_bad_wire_are_as_asked(private_network: Namespace, site: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.pcapng"
    bad = ("--loss", "2%", "--delay", "5ms", "--reorder", "5%", "--duplicate", "1%", "--corrupt", "0.5%", "--seed", "3")
    asked = ("--address", "10.77.0.9", "--kernel-address", "10.77.0.1/16", "--set", "time_wait_ms=0")
    with serving(str(site), "--port", "81", *asked, *bad, "--pcapng", str(trace)) as server:
        curl = ["curl", "-sS", "--fail", "-H", "Connection: close", "http://10.77.0.9:81/file"]
        done = subprocess.run(curl, capture_output=True, check=True, timeout=30)
        assert done.stdout == (site / "file").read_bytes()
        server.stop(signal.SIGTERM)
    assert "TIME_WAIT" not in server.said
    packets = [block for block in decode_blocks(trace.read_bytes()) if block.kind == ENHANCED_PACKET]
    assert len(packets) > 200


def test_what_a_client_asks_for_is_shown_and_not_obeyed(private_network: Namespace, site: Path) -> None:
    with serving(str(site), "--verbose") as server, socket.create_connection(("10.9.0.2", 80), timeout=30) as client:
        client.sendall(b"GET /\x1b[31mred HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 404")
        server.hear("red HTTP/1.0")
        assert "\x1b" not in server.said


def test_one_connection_too_many_is_reset(private_network: Namespace, site: Path) -> None:
    def connect() -> socket.socket:
        return held.enter_context(socket.create_connection(("10.9.0.2", 7), timeout=30))

    def answers(one: socket.socket) -> bool:
        one.sendall(b"?")
        return one.recv(1) == b"?"

    with serving(str(site), "--connections", "2"), ExitStack() as held:
        first = connect()
        assert answers(first)
        second = connect()
        assert answers(second)
        with pytest.raises(ConnectionResetError):
            connect().recv(1)
        assert answers(first)
        assert answers(second)


def test_a_device_that_is_taken_away_is_told_in_one_line(private_network: Namespace, site: Path) -> None:
    with serving(str(site)) as server:
        subprocess.run(["ip", "link", "delete", server.hear("device (tun[0-9]+)")[1]], check=True, timeout=10)
        assert server.process.wait(30) == 2
        server.hear("lastack: tun[0-9]+ ")
        assert "Traceback" not in server.said


# -- fetch


def test_fetch_writes_what_it_fetched_and_shows_how_the_connection_ended(
    private_network: Namespace, site: Path
) -> None:
    with kernel_server(site):
        asked = ("fetch", "http://10.9.0.1:8000/file", "--loss", "1%", "--delay", "2ms")
        raw = subprocess.run([*LASTACK, *asked], capture_output=True, check=True, timeout=60)
        assert raw.stdout == (site / "file").read_bytes()
        assert b"300,000 octets" in raw.stderr
        page = site.parent / "page"
        answer = lastack("fetch", "http://10.9.0.1:8000/file", "-o", str(page), "--quiet")
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
        assert page.read_bytes() == (site / "file").read_bytes()
        assert lastack("fetch", "http://10.9.0.1:8000/missing").returncode == 1


def test_a_reader_that_leaves_early_hears_nothing_more(private_network: Namespace, site: Path) -> None:
    with kernel_server(site):
        command = f"{' '.join(LASTACK)} fetch -q http://10.9.0.1:8000/file | head -c 1 | wc -c"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_another_network_is_where_the_device_is_made(private_network: Namespace, site: Path) -> None:
    with kernel_server(site) as server:
        outside = namespaces.choose(str(os.getppid()))[0]
        before = interfaces.networks()
        with namespaces.entered(outside):
            answer = lastack("fetch", "http://10.9.0.1:8000/file", "--netns", str(server), "-o", str(site / "copy"))
        assert answer.returncode == 0, answer.stderr
        assert (site / "copy").read_bytes() == (site / "file").read_bytes()
        assert interfaces.networks() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fetch", "http://10.9.0.1:8000/"), "ECONNREFUSED"),
        (("fetch", "http://127.0.0.1:8000/x"), "http://10.9.0.1:8000/x"),
        (("fetch", "http://[::1]:8000/x"), "http://[fd09:9::1]:8000/x"),
        (("fetch", "http://10.9.0.77/", "--timeout", "0.3"), "no news for 0.3 s"),
        (("fetch", "gopher://x"), "no URL"),
        (("fetch", "http://10.9.0.1/", "--set", "tcp_fin_timout=1"), "near it: tcp_fin_timeout"),
        (
            ("fetch", "http://10.9.0.1/", "--set", "tcp_tw_reuse=yes"),
            "tcp_tw_reuse: 'yes' is not a number; it is 2 now",
        ),
        (("fetch", "http://10.9.0.1/", "--set", "tcp_rmem=1,2"), "tcp_rmem: '1,2' is not 3 numbers"),
        (("fetch", "http://10.9.0.1/", "--set", "tcp_congestion_control=bbr"), "none of cubic"),
        (("fetch", "http://10.9.0.1/", "--set", "nonsense"), "no setting 'nonsense'"),
        (("fetch", "http://10.9.0.1/", "--loss", "200%"), "no share"),
        (("fetch", "http://10.9.0.1/", "--delay", "soon"), "soon"),
        (("fetch", "http://10.9.0.1/", "--address", "10.8.0.2", "--kernel-address", "10.9.0.1/24"), "would not send"),
        (("fetch", "http://10.9.0.1/", "--address", "ten"), "'ten' is no address"),
        (("fetch", "http://10.9.0.1/", "--kernel-address", "10.9.0.1/32"), "no room for ours"),
        (("fetch", "http://10.9.0.1/", "--kernel-address", "fd09::1/128"), "no room for ours"),
        (("fetch", "http://10.9.0.1/", "--netns", "atlantis"), "no network namespace is called 'atlantis'"),
        (("fetch", "http://10.9.0.1/", "--device", "atlantis0"), "ip tuntap add dev atlantis0 mode tun user root"),
        (("fetch", "http://10.9.0.1/", "--device", "lo"), "lo is no TUN device"),
        (("fetch", "http://10.9.0.1/", "--pcapng", "/nonexistent/x"), "cannot write /nonexistent/x"),
        (("serve", "/nonexistent"), "/nonexistent is no directory"),
    ],
)
def test_what_cannot_be_done_is_told_with_what_would_help(
    private_network: Namespace, arguments: tuple[str, ...], says: str
) -> None:
    answer = lastack(*arguments)
    assert answer.returncode == 2, answer
    assert says in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr


def test_bench_gives_its_three_figures(private_network: Namespace) -> None:
    answer = lastack("bench", "--seconds", "0.3")
    assert answer.returncode == 0, answer.stderr
    figures = [float(line.split()[0].replace(",", "")) for line in answer.stdout.splitlines()]
    assert len(figures) == 3
    assert all(figure > 0 for figure in figures)


@pytest.mark.parametrize("command", ["", "serve", "fetch", "bench"])
def test_help_is_read_at_eighty_columns_and_has_an_example(command: str) -> None:
    answer = lastack(*command.split(), "--help", env={**os.environ, "COLUMNS": "80"})
    assert answer.returncode == 0
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert f"lastack tun {command}".strip() in answer.stdout.split("Example:" if command else "Usage:")[1]


# -- without root

AS_NOBODY = f"""
import contextlib, io, os, sys
from lastack.cli.main import main
from lastack.report import escape
asked, sys.argv = sys.argv, ["lastack", "tun", "fetch", "http://10.9.9.9/", "--timeout", "0", "--netns", "own"]
nowhere = io.StringIO()
with contextlib.suppress(SystemExit), contextlib.redirect_stderr(nowhere):
    main()  # loads all that it needs: nobody may not be able to read this Python's files
sys.argv = asked
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
main()
"""


def test_without_root_the_error_gives_the_commands_and_with_them_it_works(
    private_network: Namespace, site: Path
) -> None:
    command = [sys.executable, "-c", AS_NOBODY, "tun", "fetch", "http://10.9.0.1:8000/file"]
    with kernel_server(site):
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert answer.returncode == 2, answer
        assert "CAP_NET_ADMIN" in answer.stderr
        orders = [line.strip() for line in answer.stderr.splitlines() if line.startswith("  ip ")]
        assert orders[0] == "ip tuntap add dev lastack0 mode tun user nobody"
        for order in orders:
            subprocess.run(order.split(), check=True, timeout=10)
        again = answer.stderr.splitlines()[-1].strip()
        assert again == "lastack tun fetch --device lastack0 http://10.9.0.1:8000/file"
        for _ in range(2):
            command[3:] = again.split()[1:]
            done = subprocess.run(command, capture_output=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            assert done.stdout == (site / "file").read_bytes()
