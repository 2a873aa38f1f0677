"""The reader and tshark say the same of every segment, field by field, and where they do not, it is known why."""

from __future__ import annotations

import os
import shutil
import subprocess
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


def test_a_thousand_connections_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "short.pcap"
    with path.open("wb") as file:
        assert write(file, 1000) == 8000
    assert len(by_tshark(path)) == 8000
    assert differences(path) == []


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
