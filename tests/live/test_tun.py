"""The TUN device: packets to and from a kernel, and nothing left of it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lastack.errors import KernelError
from lastack.linux.namespaces import Namespace
from lastack.linux.tun import Tun

pytestmark = pytest.mark.root


def devices() -> set[str]:
    return {line.split(":")[0].strip() for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]}


def read_all(tun: Tun) -> list[bytes]:
    """What has left: the kernel also looks for IPv6 neighbours of its own accord."""
    packets = []
    while (packet := tun.read()) is not None:
        packets.append(packet)
    return packets


@pytest.mark.parametrize(("family", "there"), [(socket.AF_INET, "10.9.0.2"), (socket.AF_INET6, "fd09::2")])
def test_what_is_sent_to_the_prefix_can_be_read(private_network: Namespace, family: int, there: str) -> None:
    with Tun(["10.9.0.1/24", "fd09::1/64"]) as tun, socket.socket(family, socket.SOCK_DGRAM) as one:
        one.sendto(b"to nobody", (there, 9))
        assert any(packet.endswith(b"to nobody") for packet in read_all(tun))


def test_what_is_written_arrives(private_network: Namespace) -> None:
    with Tun(["10.9.0.1/24"]) as tun, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("10.9.0.1", 0))
        one.sendto(b"there and back", ("10.9.0.2", one.getsockname()[1]))
        packet = next(packet for packet in read_all(tun) if packet.endswith(b"there and back"))
        # The addresses change places, which leaves every checksum right.
        tun.write(packet[:12] + packet[16:20] + packet[12:16] + packet[20:])
        assert one.recv(100, socket.MSG_DONTWAIT) == b"there and back"


def test_nothing_is_left_of_it(private_network: Namespace) -> None:
    before = devices()
    with Tun(["10.9.0.1/24"]) as tun:
        assert tun.name in devices()
    assert devices() == before
    with pytest.raises(ValueError, match="nonsense"):
        Tun(["nonsense"])
    with pytest.raises(KernelError, match="cannot set an MTU of 1"):
        Tun(["10.9.0.1/24"], mtu=1)
    assert devices() == before


def test_no_packet_is_taken_that_is_none(private_network: Namespace) -> None:
    with Tun(["10.9.0.1/24"]) as tun, pytest.raises(KernelError, match="does not take"):
        tun.write(b"")
