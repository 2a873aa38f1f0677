"""The TUN device: packets to and from a kernel, and nothing left of it."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lastack.errors import KernelError
from lastack.linux import namespaces, tun
from lastack.linux.namespaces import Namespace
from lastack.linux.tun import Tun

pytestmark = pytest.mark.root

NOBODY = 65_534


def devices() -> set[str]:
    return {line.split(":")[0].strip() for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]}


def read_all(tun: Tun) -> list[bytes]:
    """What has left: the kernel also looks for IPv6 neighbours of its own accord."""
    packets = []
    while (packet := tun.read()) is not None:
        packets.append(packet)
    return packets


def sent_to(there: str, tun: Tun) -> bool:
    """Whether what is sent to an address leaves through the device."""
    family = socket.AF_INET6 if ":" in there else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.sendto(b"to nobody", (there, 9))
    return any(packet.endswith(b"to nobody") for packet in read_all(tun))


@pytest.mark.parametrize("there", ["10.9.0.2", "10.8.0.9", "fd09::2"])
def test_what_is_sent_to_a_prefix_can_be_read(private_network: Namespace, there: str) -> None:
    with Tun(["10.9.0.1/24", "10.8.0.1/24", "fd09::1/64"]) as tun:
        assert sent_to(there, tun)


def test_what_is_written_arrives(private_network: Namespace) -> None:
    with Tun(["10.9.0.1/24"]) as tun, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("10.9.0.1", 0))
        one.sendto(b"there and back", ("10.9.0.2", one.getsockname()[1]))
        packet = next(packet for packet in read_all(tun) if packet.endswith(b"there and back"))
        # The addresses change places, which leaves every checksum right.
        tun.write(packet[:12] + packet[16:20] + packet[12:16] + packet[20:])
        assert one.recv(100, socket.MSG_DONTWAIT) == b"there and back"


@pytest.mark.parametrize("there", ["192.0.2.77", "2001:db8::77"])
def test_further_networks_are_reached_through_it(private_network: Namespace, there: str) -> None:
    with Tun(["10.9.0.1/24", "fd09::1/64"]) as tun, pytest.raises(OSError, match="unreachable"):
        sent_to(there, tun)
    with Tun(["10.9.0.1/24", "fd09::1/64"], routes=["192.0.2.0/24", "2001:db8::/32"]) as tun:
        assert sent_to(there, tun)


def test_name_and_mtu_are_as_wanted(private_network: Namespace) -> None:
    with Tun(["10.9.0.1/24"], name="wire0", mtu=9000) as tun:
        assert (tun.name, tun.mtu) == ("wire0", 9000)
        with pytest.raises(KernelError, match="there is a device wire0 already"):
            Tun(["10.9.1.1/24"], name="wire0")
    with pytest.raises(KernelError, match="15 octets"):
        Tun(["10.9.0.1/24"], name="a-name-that-is-far-too-long")


def test_nothing_is_left_of_it(private_network: Namespace) -> None:
    before = devices()
    with Tun(["10.9.0.1/24"]) as tun:
        assert tun.name in devices()
    assert devices() == before
    with pytest.raises(ValueError, match="nonsense"):
        Tun(["nonsense"])
    with pytest.raises(ValueError, match="nonsense"):
        Tun(["10.9.0.1/24"], routes=["nonsense"])
    with pytest.raises(KernelError, match="cannot set an MTU of 1"):
        Tun(["10.9.0.1/24"], mtu=1)
    with pytest.raises(ValueError, match="needs addresses"):
        Tun()
    assert devices() == before


def test_nothing_is_left_when_its_process_is_killed(private_network: Namespace) -> None:
    before = devices()
    code = "import sys, time; from lastack.linux.tun import Tun; t = Tun(['10.9.0.1/24']); print(t.name, flush=True); "
    command = [sys.executable, "-c", code + "time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() in devices()
        process.kill()
    assert devices() == before


def test_no_packet_is_taken_that_is_none(private_network: Namespace) -> None:
    with Tun(["10.9.0.1/24"]) as tun, pytest.raises(KernelError, match="does not take"):
        tun.write(b"")


# -- in a namespace


@pytest.fixture
def elsewhere(private_network: Namespace) -> Iterator[int]:
    """A process in a network namespace of its own, in which there is nothing."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.mark.parametrize(
    "called",
    [lambda pid: pid, str, lambda pid: f"/proc/{pid}/ns/net", lambda pid: namespaces.choose(str(pid))[0]],
    ids=["process id", "its digits", "path", "Namespace"],
)
def test_it_is_made_inside_another_namespace(elsewhere: int, called: Callable[[int], int | str | Namespace]) -> None:
    before = devices()
    with Tun(["10.9.0.1/24"], netns=called(elsewhere)) as tun:
        assert devices() == before
        with namespaces.entered(namespaces.choose(str(elsewhere))[0]):
            assert tun.name in devices()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"to nobody", ("10.9.0.2", 9))
        # It is read from outside.
        assert any(packet.endswith(b"to nobody") for packet in read_all(tun))


def test_a_namespace_that_is_none_is_refused(private_network: Namespace) -> None:
    with pytest.raises(KernelError, match="no network namespace is called"):
        Tun(["10.9.0.1/24"], netns="atlantis")
    with pytest.raises(KernelError, match="No such file"):
        Tun(["10.9.0.1/24"], netns="/run/netns/atlantis")


# -- one that is its user's


@pytest.fixture
def owned(private_network: Namespace) -> str:
    """A device that nobody owns: the user of that name."""
    for command in (
        f"tuntap add dev mine mode tun user {NOBODY}",
        "addr add 10.9.0.1/24 dev mine",
        "link set mine mtu 1400 up",
    ):
        subprocess.run(["ip", *command.split()], check=True, timeout=10)
    return "mine"


def as_nobody(task: Callable[[], bool]) -> bool:
    """Do it in a process without privileges."""
    child = os.fork()
    if child == 0:
        done = False
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            done = task()
        finally:
            os._exit(0 if done else 1)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("offload", [False, True])
def test_its_owner_needs_no_root(owned: str, offload: bool) -> None:
    def use() -> bool:
        with Tun(name=owned, offload=offload) as tun:
            return tun.mtu == 1400 and tun.offload == offload and sent_to("10.9.0.2", tun)

    assert as_nobody(use)
    # It stays, and can be used again.
    assert owned in devices()
    assert as_nobody(use)


def test_the_first_packet_is_not_lost(private_network: Namespace) -> None:
    # The kernel drops what is sent before it has noticed that somebody holds the device: a race, so several runs of it.
    for number in range(8):
        for command in (
            f"tuntap add dev mine{number} mode tun",
            f"addr add 10.9.{number}.1/24 dev mine{number}",
            f"link set mine{number} up",
        ):
            subprocess.run(["ip", *command.split()], check=True, timeout=10)
        with Tun(name=f"mine{number}") as tun:
            assert sent_to(f"10.9.{number}.2", tun)


def test_others_are_told_what_they_lack(private_network: Namespace) -> None:
    def refused() -> bool:
        with pytest.raises(KernelError, match="CAP_NET_ADMIN"):
            Tun(["10.9.0.1/24"])
        return True

    assert as_nobody(refused)
    with pytest.raises(KernelError, match="No such device"):
        Tun(name="atlantis")


# -- offload


def test_large_packets_are_left_whole_with_offload_only(private_network: Namespace) -> None:
    # Whoever answers a SYN gets large segments: here only that the header is there, and where it is not.
    for offload in (False, True):
        with Tun(["10.9.0.1/24"], offload=offload) as tun, socket.socket() as one:
            one.setblocking(False)
            assert one.connect_ex(("10.9.0.2", 80))
            select.select([tun], [], [], 5)
            syn = next(packet for packet in read_all(tun) if len(packet) in (60, 70))
            assert (len(syn), syn[10 if offload else 0]) == (70 if offload else 60, 0x45)


def test_a_kernel_without_offload_gives_a_plain_device(
    private_network: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = tun._tell

    def older(descriptor: int | socket.socket, request: int, argument: bytes | int) -> bytes:
        if request == tun._TUNGETFEATURES:
            return (tun._IFF_TUN | tun._IFF_NO_PI).to_bytes(4, sys.byteorder)
        if request == tun._TUNSETOFFLOAD:
            raise KernelError("cannot set up a TUN device: Invalid argument")
        return really(descriptor, request, argument)

    monkeypatch.setattr(tun, "_tell", older)
    with Tun(["10.9.0.1/24"], offload=True) as plain:
        assert not plain.offload
        assert sent_to("10.9.0.2", plain)
