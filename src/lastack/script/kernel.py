"""The running kernel as a script's target: its sockets in a namespace of their own, a TUN device as the wire.

Times are real; packets carry the kernel's own time stamps (SO_TIMESTAMPNS on a packet socket beside the device).
"""

from __future__ import annotations

import errno
import queue
import select
import socket
import struct
import threading
import time
from typing import Final

from lastack.errors import DecodeError, KernelError, ScriptError
from lastack.linux import sysctl
from lastack.linux.tun import Tun
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.wire.packet import Packet, decode_packet

from .config import Config
from .kernel_sockets import KernelSockets
from .target import Arrival, Call, Pending, Target

_ALL_PROTOCOLS: Final = 3
_SO_TIMESTAMPNS: Final = 35
_OUTGOING: Final = 4
"""PACKET_OUTGOING: the kernel sends it."""
_AT_ONCE: Final = 0.002
"""Seconds that a call which does not block may take before time goes on without it."""


class KernelTarget(Target):
    """The kernel, as the calling thread's network namespace has it: that must be one made for this script.

    Raises KernelError without root, without TUN.
    """

    def __init__(self, config: Config) -> None:
        network = f"{config.local_ip}/{config.prefix}"
        six = ":" in config.local_ip
        # All the world is behind the device, so that the script may come from any address.
        self._tun = Tun([network], mtu=config.mtu, routes=["::/0" if six else "0.0.0.0/0"])
        try:
            self._seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
            self._seen.bind((self._tun.name, _ALL_PROTOCOLS))
            self._seen.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._seen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            self._seen.setblocking(False)
        except OSError as error:
            self._tun.close()
            raise KernelError(f"cannot watch {self._tun.name}: {error.strerror}") from error
        self._local = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, config.local_ip)
        self._sockets = KernelSockets()
        self._work: queue.SimpleQueue[tuple[Call, Pending] | None] = queue.SimpleQueue()
        # A thread of its own for calls, which may block; like every new thread it is in the namespace of its maker.
        self._worker = threading.Thread(target=self._serve, name="system calls", daemon=True)
        self._ended = threading.Condition()
        self._worker.start()
        self._begin = time.time_ns()

    def now(self) -> Nanos:
        """How much of the script's time is over."""
        return time.time_ns() - self._begin

    def run_until(self, at: Nanos) -> None:
        """Sleep until then, precisely at the end."""
        while (left := at - self.now()) > 0:
            # The last half of a millisecond awake: sleeping is not that exact.
            time.sleep(max(left - MILLISECOND // 2, 0) / SECOND)

    def send(self, packet: Packet) -> None:
        """Let a packet arrive."""
        self._tun.write(packet.encode())

    def receive(self, deadline: Nanos) -> Arrival | None:
        """The next packet that the kernel sent, or sends before the deadline."""
        while True:
            arrival = self._next()
            if arrival is not None:
                return arrival
            left = deadline - self.now()
            if left <= 0:
                return None
            select.select([self._seen], [], [], left / SECOND)

    def call(self, call: Call) -> Pending:
        """Begin a system call in the thread for them."""
        pending = Pending()
        self._work.put((call, pending))
        with self._ended:
            self._ended.wait_for(lambda: pending.at is not None, _AT_ONCE)
        return pending

    def wait(self, pending: Pending, deadline: Nanos) -> None:
        """Wait for a call."""
        with self._ended:
            self._ended.wait_for(lambda: pending.at is not None, max(deadline - self.now(), 0) / SECOND)

    def set_sysctl(self, name: str, value: str) -> None:
        """Write a setting of the namespace. Only those of the network are a namespace's own."""
        if not name.startswith("net."):
            raise ScriptError(f"{name} is not a setting of the network: it would change the whole machine")
        try:
            sysctl.write(name, value)
        except KernelError as error:
            raise ScriptError(str(error)) from None

    def close(self) -> None:
        """End the calls and the sockets, and remove the device. A call that still blocks ends with its socket."""
        self._sockets.close_all()
        self._work.put(None)
        self._worker.join(1)
        self._seen.close()
        self._tun.close()

    # -- what goes on beside

    def _serve(self) -> None:
        """Make the calls, one after the other."""
        while (job := self._work.get()) is not None:
            call, pending = job
            try:
                pending.result = call(self._sockets)
            except OSError as error:
                pending.error = error
            except ScriptError as error:
                pending.error = OSError(errno.ENOSYS, str(error))
            with self._ended:
                pending.at = self.now()
                self._ended.notify_all()

    def _next(self) -> Arrival | None:
        """The next packet of the kernel that was seen and is part of what a script speaks of."""
        while True:
            while self._tun.read() is not None:
                # Taken off the device: what is looked at is the copy with a time stamp.
                pass
            try:
                raw, ancillary, _, sender = self._seen.recvmsg(1 << 16, 64)
            except BlockingIOError:
                return None
            if sender[2] != _OUTGOING:
                continue
            try:
                packet = decode_packet(raw, verify=False)
            except DecodeError:
                # Multicast memberships, neighbour discovery: nothing that a script can name.
                continue
            if packet.source == self._local and (packet.segment is not None or packet.icmp is not None):
                return Arrival(_stamp(ancillary) - self._begin, packet)


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> Nanos:
    """When the kernel saw a packet, Unix ns."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("@ll", data[:16])
            return int(seconds) * SECOND + int(nanoseconds)
    return time.time_ns()
