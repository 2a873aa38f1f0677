"""The reader and tshark say the same of every segment, field by field, and where they do not, it is known why."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from benchmarks.captures import write
from tests.captures.tshark import by_lastack, by_tshark, differences
from tests.unit.capture.made import START, enhanced, ethernet, interface, ip, pcap, section
from tests.unit.capture.test_fragments import PAYLOAD, pieces
from tests.unit.capture.test_links import LINKS, TAGS, TUNNELS

from lastack.capture.sources import open_captures
from lastack.errors import CaptureError

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark to compare with")

TSHARK_DOES_NOT = {
    "SLIP": "it does not know the link type",
    "pppd": "nor this one, in 4.0",
    "pppd with the control octet": "as before",
    "an ARCNET exception frame": "it takes its second header for part of IP",
    "PKTAP": "it wants the whole of a header that Apple keeps longer with every version",
    "NetANALYZER": "it wants the device's status in the four octets before the frame",
    "an Ethernet pseudowire in MPLS": "it guesses by known makers of network cards whether there is a control word",
    "an Ethernet pseudowire without control word": "as before; the reader looks at the frame's type",
    "VXLAN on Linux's old port, in IPv6": "it takes port 4789 alone",
}
"""What it reads otherwise by default, and why."""

KNOWN = {
    "length": "tshark trusts the frame's length, the reader the IP header, where a program rewrote the former",
    "time": "microseconds beyond a second: tshark's 32-bit nanoseconds wrap",
    "only tshark": "a TCP header shorter than 20 octets, which no TCP would take",
    "tshark None": "tshark stops at the end of a frame whose end a FabricPath header cut off",
}
"""Differences that are known, by a word that is in them."""


def test_every_link_and_tunnel_is_read_alike(tmp_path: Path) -> None:
    frames = {**LINKS, **{name: (1, octets) for name, octets in TAGS.items()}}
    frames |= {name: (1, ethernet(octets)) for name, octets in TUNNELS.items()}
    out = section()
    for i, (link, octets) in enumerate(frames.values()):
        out += interface(link, (9, b"\x09")) + enhanced(START, octets, of=i)
    path = tmp_path / "all.pcapng"
    path.write_bytes(out)
    names = list(frames)
    differ = {names[int(one.split()[1].rstrip(":")) - 1] for one in differences(path)}
    assert differ <= TSHARK_DOES_NOT.keys()
    assert len(by_tshark(path)) > 50


def test_fragments_are_put_together_alike(tmp_path: Path) -> None:
    path = tmp_path / "fragments.pcap"
    frames = [ethernet(part) for six in (False, True) for part in pieces(ip(six, payload=PAYLOAD), 800)]
    path.write_bytes(pcap([(START + i, octets) for i, octets in enumerate(frames)]))
    assert len(by_tshark(path)) == 2
    assert differences(path) == []


@pytest.mark.parametrize("snap", [54, 66, 80])
def test_short_connections_are_read_alike_at_any_snap_length(snap: int, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.pcap", tmp_path / "cut.pcap"
    with whole.open("wb") as file:
        write(file, 100)
    subprocess.run(["editcap", "-F", "pcap", "-s", str(snap), str(whole), str(cut)], check=True)
    ours, theirs = by_lastack(open_captures([cut], fast=False)), by_tshark(cut)
    # tshark gives no option that was cut in two, and neither do we; IPv6 has 14 octets of TCP at least.
    assert [one[:9] for one in ours] == [one[:9] for one in theirs if one.window is not None or snap >= 70]
    assert [one.length for one in ours] == [one.length for one in by_lastack(open_captures([whole], fast=False))][
        : len(ours)
    ] or snap < 70


def test_a_simulation_is_read_alike(tmp_path: Path) -> None:
    from tests.properties.test_transfer import Sender

    from lastack.drive import Simulator
    from lastack.model.time import SECOND

    sim = Simulator(seed=5)
    sim.trace.keeps_packets = True
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    link = sim.link(client, server)
    for channel in (link.forth, link.back):
        channel.fate.loss, channel.fate.duplicate, channel.fate.reorder = 0.05, 0.05, 0.2
        channel.fate.reorder_by = SECOND // 50
    server.serve(80, lambda: Sender(bytes(100_000)))
    client.connect("10.0.0.2", 80, Sender(bytes(50_000)))
    sim.run(at_most=1000 * SECOND)
    path = tmp_path / "simulated.pcapng"
    with path.open("wb") as file:
        sim.trace.write_pcapng(file)
    assert len(by_tshark(path)) > 50
    assert differences(path) == []


def test_a_thousand_connections_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "short.pcap"
    with path.open("wb") as file:
        assert write(file, 1000) == 8000
    assert len(by_tshark(path)) == 8000
    assert differences(path) == []


@pytest.mark.root
@pytest.mark.usefixtures("private_network")
@pytest.mark.skipif(not shutil.which("dumpcap"), reason="needs dumpcap to capture with")
@pytest.mark.parametrize(
    "options", [["-i", "lo"], ["-i", "any"], ["-i", "any", "-y", "LINUX_SLL2"], ["-i", "lo", "-P", "-s", "70"]]
)
def test_what_the_kernel_really_sends_is_read_alike(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "live"
    command = ["dumpcap", "-q", "-B", "64", *options, "-f", "tcp", "-w", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as dumpcap:
        try:
            assert dumpcap.stderr is not None
            # It says so once it captures.
            assert any(line.startswith("File:") for line in dumpcap.stderr)
            for host in ("127.0.0.1", "::1"):
                exchange(host)
            patience = time.monotonic() + 20
            while sum(one.flags & 1 for one in by_lastack(open_captures([path], fast=False))) < 4:
                assert time.monotonic() < patience, "the FINs never came into the file"
        finally:
            dumpcap.terminate()
    assert max(one.length or 0 for one in by_lastack(open_captures([path], fast=False))) > 16_000
    assert differences(path) == []


def exchange(host: str) -> None:
    """A bulk transfer, in super-segments, and its close."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
        server.accept()[0] as peer,
    ):
        sender = threading.Thread(target=client.sendall, args=(bytes(200_000),))
        sender.start()
        left = 200_000
        while left:
            left -= len(peer.recv(1 << 20))
        sender.join()


@pytest.mark.skipif("LASTACK_CAPTURES" not in os.environ, reason="set LASTACK_CAPTURES to a directory of captures")
def test_whatever_captures_there_are_are_read_alike() -> None:
    read, unexplained = 0, []
    for path in sorted(Path(os.environ["LASTACK_CAPTURES"]).iterdir()):
        try:
            found = differences(path)
        except CaptureError:
            continue
        read += 1
        unexplained += [f"{path.name}: {one}" for one in found if not any(word in one for word in KNOWN)]
    assert read > 0
    assert unexplained == []
