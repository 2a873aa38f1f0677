"""A TUN device that somebody else has open, used from the kernel's side of it: for scripts on the stack behind it.

What is sent here leaves the kernel through the device, as if it were routed there; what the stack sends is seen as it
comes in. The kernel needs neither address nor route for that (packet(7)).
"""

from __future__ import annotations

import errno
import socket
from typing import Final

from lastack.drive.pump import Wire
from lastack.errors import DecodeError, KernelError
from lastack.linux.required import require_linux
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet, decode_packet

_ALL: Final = 3
_IP, _IP6 = 0x0800, 0x86DD
_NO_LINK: Final = 0xFFFE
"""ARPHRD_NONE: there are no addresses but IP's."""
PORTS: Final = range(32_768, 60_768)
"""Where scripts come from, each from another one."""


class BesideTun(Wire):
    """The device `name`; packets are those of the stack's address `local` alone.

    The stack may still have connections of the script before this one, and repeat its FIN for minutes: what it sends to
    one of PORTS that nothing has come from here is not for this script.

    Raises KernelError without root, and where there is no such device or it is no TUN device.
    """

    def __init__(self, name: str, local: str) -> None:
        require_linux("a TUN device")
        self._name = name
        self._local = address_bytes(local)
        self._used: set[int] = set()
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        except OSError as error:
            raise KernelError(f"cannot listen on {name}: {error.strerror}; it takes root (CAP_NET_RAW)") from error
        try:
            self._socket.bind((name, _ALL))
            self._socket.setblocking(False)
            kind = self._socket.getsockname()[3]
        except OSError as error:
            self.close()
            raise KernelError(f"cannot listen on {name}: {error.strerror}") from error
        if kind != _NO_LINK:
            self.close()
            raise KernelError(f"{name} is no TUN device: it has addresses below IP")

    def receive(self, limit: int) -> list[Packet]:
        """The segments and errors that the stack has sent. Raises KernelError where the device is gone."""
        found: list[Packet] = []
        while len(found) < limit:
            try:
                raw = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                raise KernelError(f"{self._name} gives no packets: {error.strerror}") from error
            try:
                packet = decode_packet(raw)
            except DecodeError:
                # Other protocols, and what is damaged: nothing that a script can name.
                continue
            # Not what the kernel sends there, nor what the stack has to say as somebody else.
            if packet.source == self._local and not self._left_over(packet):
                found.append(packet)
        return found

    def _left_over(self, packet: Packet) -> bool:
        """Whether it belongs to a script before this one."""
        segment = packet.segment
        return segment is not None and segment.dst_port in PORTS and segment.dst_port not in self._used

    def transmit(self, packet: Packet) -> None:
        """Send a packet to the stack. Raises KernelError where nobody has the device open."""
        if packet.segment is not None:
            self._used.add(packet.segment.src_port)
        protocol = _IP6 if len(packet.destination) == 16 else _IP
        try:
            self._socket.sendto(packet.encode(), (self._name, protocol))
        except OSError as error:
            helps = "; nobody has it open, or it is down" if error.errno in (errno.ENETDOWN, errno.EIO) else ""
            raise KernelError(f"{self._name} takes no packet: {error.strerror}{helps}") from error

    def fileno(self) -> int:
        """The descriptor, readable when a packet waits."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()
