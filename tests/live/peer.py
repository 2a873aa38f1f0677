"""A peer made by hand behind a TUN device: it sends the segments it is told to, and nothing else.

So a socket of the kernel can be brought into any state and stays there: nobody answers it. Everything lives in the
network namespace of the calling thread.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
HOST: Final = {4: "10.9.0.1", 6: "fd09::1"}
PEER: Final = {4: "10.9.0.2", 6: "fd09::2"}

_TUNSETIFF, _IFF_TUN_NO_PI = 0x4004_54CA, 0x1001
_TCP: Final = struct.Struct("!HHIIBBHHH")


class Peer:
    """The device, and all connections that lead through it."""

    def __init__(self) -> None:
        self._device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self._device, _TUNSETIFF, struct.pack("16sH22x", b"wire", _IFF_TUN_NO_PI))
        for command in (
            f"addr add {HOST[4]}/24 dev wire",
            f"-6 addr add {HOST[6]}/64 dev wire nodad",
            "link set wire up",
        ):
            subprocess.run(["ip", *command.split()], check=True, timeout=10)

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._device)

    def line(self, family: int, port: int, host_port: int) -> Line:
        """The peer's end of a connection that is yet to be."""
        return Line(self, family, port, host_port)

    def transmit(self, packet: bytes) -> None:
        os.write(self._device, packet)

    def receive(self, deadline: float) -> bytes:
        ready, _, _ = select.select([self._device], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, "the kernel has not sent what it should"
        return os.read(self._device, 1 << 16)


class Line:
    """The peer's end of one connection: its ports, what it sends next and what it acknowledges."""

    def __init__(self, peer: Peer, family: int, port: int, host_port: int) -> None:
        self._peer = peer
        self.family = family
        self.port = port
        self.host_port = host_port
        self.seq = 1_000_000
        self.ack = 0

    def send(self, flags: int, payload: bytes = b"") -> None:
        """Send a segment; a SYN, a FIN and the payload take their sequence numbers."""
        kind = socket.AF_INET if self.family == 4 else socket.AF_INET6
        source, target = (socket.inet_pton(kind, side[self.family]) for side in (PEER, HOST))
        head = _TCP.pack(self.port, self.host_port, self.seq, self.ack, 5 << 4, flags, 65_535, 0, 0)
        length = len(head) + len(payload)
        pseudo = (
            source + target + (struct.pack("!xBH", 6, length) if self.family == 4 else struct.pack("!I3xB", length, 6))
        )
        check = _checksum(pseudo + head + payload)
        segment = head[:16] + struct.pack("!H", check) + head[18:] + payload
        if self.family == 4:
            outer = struct.pack("!BBHIBBH4s4s", 0x45, 0, 20 + length, 0, 64, 6, 0, source, target)
            outer = outer[:10] + struct.pack("!H", _checksum(outer)) + outer[12:]
        else:
            outer = struct.pack("!IHBB16s16s", 6 << 28, length, 6, 64, source, target)
        self._peer.transmit(outer + segment)
        self.seq += len(payload) + bool(flags & SYN) + bool(flags & FIN)

    def expect(self, flags: int, within: float = 5) -> None:
        """Wait for a segment of this connection with at least these flags; what it carries is acknowledged from now."""
        deadline = time.monotonic() + within
        while True:
            packet = self._peer.receive(deadline)
            start = 20 if packet[0] >> 4 == 4 else 40
            if packet[0] >> 4 != self.family or packet[9 if start == 20 else 6] != 6:
                continue
            source, target, seq, _, offset, its_flags, *_ = _TCP.unpack_from(packet, start)
            if (source, target) == (self.host_port, self.port) and its_flags & flags == flags:
                octets = len(packet) - start - (offset >> 4) * 4
                self.ack = seq + octets + bool(its_flags & SYN) + bool(its_flags & FIN)
                return

    def connect(self) -> None:
        """The three segments of the handshake."""
        self.send(SYN)
        self.expect(SYN | ACK)
        self.send(ACK)


def _checksum(octets: bytes) -> int:
    """RFC 1071."""
    octets += b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Stage:
    """Sockets that are closed when the test is over, and a peer that only does what it is told."""

    def __init__(self, kept: ExitStack) -> None:
        self._kept = kept
        self.peer = kept.enter_context(Peer())
        self._ports = iter(range(5_000, 6_000))
        self._listeners: dict[int, socket.socket] = {}

    def keep(self, it: socket.socket) -> socket.socket:
        return self._kept.enter_context(it)

    def listen(self, addr: str, port: int = 0, backlog: int = 16, family: int = socket.AF_INET) -> socket.socket:
        listener = self.keep(socket.socket(family))
        listener.bind((addr, port))
        listener.listen(backlog)
        return listener

    def pair(self, addr: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
        """A connection over loopback: who connected, who accepted."""
        with socket.create_server((addr, 0), family=socket.AF_INET6 if ":" in addr else socket.AF_INET) as listener:
            client = self.keep(socket.create_connection(listener.getsockname()[:2]))
            return client, self.keep(listener.accept()[0])

    def accept_from_peer(self, family: int) -> tuple[socket.socket, Line]:
        """A connection that the peer has opened: our socket, and the peer's end."""
        if family not in self._listeners:
            kind = socket.AF_INET if family == 4 else socket.AF_INET6
            self._listeners[family] = self.listen(HOST[family], 80, family=kind)
        line = self.peer.line(family, next(self._ports), 80)
        line.connect()
        return self.keep(self._listeners[family].accept()[0]), line

    def every_state(self, family: int) -> None:
        """One socket in each state with the peer, and the listener."""
        self.accept_from_peer(family)  # ESTABLISHED
        ours, line = self.accept_from_peer(family)
        ours.shutdown(socket.SHUT_WR)
        line.expect(FIN)  # FIN_WAIT_1, as nobody acknowledges it
        ours, line = self.accept_from_peer(family)
        ours.shutdown(socket.SHUT_WR)
        line.expect(FIN)
        line.send(ACK)  # FIN_WAIT_2
        ours, line = self.accept_from_peer(family)
        ours.close()
        line.expect(FIN)
        line.send(ACK)  # FIN_WAIT_2 of nobody
        ours, line = self.accept_from_peer(family)
        ours.shutdown(socket.SHUT_WR)
        acknowledged = line.ack
        line.expect(FIN)
        line.ack = acknowledged
        line.send(FIN | ACK)  # CLOSING
        ours, line = self.accept_from_peer(family)
        ours.close()
        line.expect(FIN)
        line.send(FIN | ACK)  # TIME_WAIT
        ours, line = self.accept_from_peer(family)
        line.send(ACK, b"unread")
        line.send(FIN | ACK)  # CLOSE_WAIT
        ours, line = self.accept_from_peer(family)
        line.send(FIN | ACK)
        until(lambda: not ours.recv(1), "the end of file")
        ours.close()
        line.expect(FIN)  # LAST_ACK
        self.peer.line(family, next(self._ports), 80).send(SYN)  # SYN_RECEIVED
        ours = self.keep(socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6))
        ours.setblocking(False)
        ours.connect_ex((PEER[family], 443))  # SYN_SENT


def until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 5
    while not reached():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.002)
