"""What tshark finds in our traces: nothing malformed, no bad checksum, nothing sent again where nothing was lost."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lastack.drive.services import Echo, Files, FileServer
from lastack.linux import sysctl
from lastack.linux.namespaces import Namespace
from lastack.tcp import Settings

from .line import OURS, Line

pytestmark = [pytest.mark.root, pytest.mark.tool("tshark", "curl")]

PREFERENCES = ("tcp.check_checksum:TRUE", "ip.check_checksum:TRUE", "tcp.desegment_tcp_streams:FALSE")
"""Segments are judged one by one: what is sent again, cut anew, is an overlap and no error."""
WRONG = (
    "_ws.malformed || _ws.expert.severity == error || "
    "tcp.checksum.status == Bad || ip.checksum.status == Bad || icmpv6.checksum.status == Bad"
)
AGAIN = (
    "tcp.analysis.retransmission || tcp.analysis.fast_retransmission || tcp.analysis.spurious_retransmission || "
    "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment || tcp.analysis.out_of_order || "
    "tcp.analysis.duplicate_ack || tcp.analysis.zero_window_probe || tcp.analysis.window_full && tcp.len == 0"
)


def tshark(trace: Path, wanted: str) -> list[str]:
    options = [word for preference in PREFERENCES for word in ("-o", preference)]
    command = ("tshark", "-r", str(trace), *options, "-Y", wanted)
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()


def converse(line: Line, place: Path) -> None:
    """A bit of everything: large and small, both families, both directions, refused, reset, half closed."""
    # Nothing by chance: among random octets tshark now and then finds what looks like a broken HTTP header.
    (place / "large").write_bytes(bytes(1_000_000))
    files = Files(place)
    line.driver.serve(80, lambda: FileServer(files))
    line.driver.serve(7, Echo)
    for host in (OURS[4], f"[{OURS[6]}]"):
        line.run("curl", "-sS", "-o", "/dev/null", f"http://{host}/large", f"http://{host}/missing")
        line.run("curl", "-sS", "-H", "Connection: close", f"http://{host}/missing")
        line.run("curl", "-sS", "--max-time", "2", f"http://{host}:81/", check=False)
    for family in (4, 6):
        line.beside(lambda: echo(OURS[family]))  # noqa: B023 (it is over before the next)
    line.driver.run(0.1)


def echo(host: str) -> None:
    """Say something from the kernel's side, stop saying, and hear it again."""
    with socket.create_connection((host, 7), timeout=30) as one:
        one.sendall(bytes(300_000))
        one.shutdown(socket.SHUT_WR)
        while one.recv(1 << 16):
            pass


@pytest.fixture
def trace(tmp_path: Path, private_network: Namespace) -> Callable[[bool], Path]:
    """Records a conversation over a clean line, or a bad one."""

    def record(bad: bool) -> Path:
        place = tmp_path / "trace.pcapng"
        # A probe for a lost tail leaves after a few round trips, which here are shorter than a turn of the processor.
        sysctl.write("net.ipv4.tcp_early_retrans", 0)
        settings = Settings.linux()
        settings.tcp_early_retrans = 0
        (tmp_path / "site").mkdir()
        with place.open("wb") as file:
            line = Line(bad=bad, trace=file, settings=settings)
            converse(line, tmp_path / "site")
            line.close()
        return place

    return record


def test_a_clean_line_needs_nothing_twice(trace: Callable[[bool], Path]) -> None:
    recorded = trace(False)
    assert len(tshark(recorded, "tcp.flags.syn == 1 && tcp.flags.ack == 0")) == 8
    assert tshark(recorded, WRONG) == []
    assert tshark(recorded, AGAIN) == []


def test_on_a_bad_line_every_packet_is_still_well_formed(trace: Callable[[bool], Path]) -> None:
    recorded = trace(True)
    assert tshark(recorded, WRONG) == []
    assert tshark(recorded, "tcp.analysis.retransmission || tcp.analysis.fast_retransmission") != []
