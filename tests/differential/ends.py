"""Two hosts that a scripted peer talks to in the same words: a Linux kernel behind a TUN device, and a Stack."""

from __future__ import annotations

import errno
import select
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

import numpy as np

from lastack.errors import CallError, DecodeError
from lastack.linux import namespaces, sysctl
from lastack.linux.priority import before_others
from lastack.linux.sockopts import SOCKET_OPTIONS
from lastack.linux.tun import Tun
from lastack.live import sockdiag, tcpinfo
from lastack.model.record import ConnectionTable
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack import Dice, Listener, Socket, Stack
from lastack.tcp import Settings, SocketOptions
from lastack.wire import Packet, Segment
from lastack.wire.packet import decode_packet

HERE, THERE = {4: "10.77.0.1", 6: "fd77::1"}, {4: "10.77.0.2", 6: "fd77::2"}

SYSCTLS: Final[dict[str, str | int]] = {
    # As the engine has them: what differs between machines, or is remembered from one connection to the next.
    "tcp_congestion_control": "reno",
    "tcp_rmem": "4096 131072 33554432",
    "tcp_wmem": "4096 16384 4194304",
    "tcp_no_metrics_save": 1,
    "tcp_max_tw_buckets": 131_072,
    "tcp_max_syn_backlog": 2048,
    # RFC 5961 limits how often it is answered; here every answer is wanted.
    "tcp_invalid_ratelimit": 0,
    "tcp_challenge_ack_limit": 0x7FFF_FFFF,
    # Tail probes come after a few milliseconds, between one segment of a script and the next.
    "tcp_early_retrans": 0,
}


WATCHED: Final = (
    *("ca_state", "retransmits", "unacked", "sacked", "lost", "retrans", "snd_ssthresh", "snd_cwnd"),
    *("reordering", "reord_seen", "dsack_dups"),
)
"""Of TCP_INFO, what shows how losses are mended."""


class Reading(NamedTuple):
    """What a host says of a connection; `expires` in milliseconds from now, None: no timer."""

    state: str
    recv_q: int | None
    send_q: int | None
    timer: str | None
    expires: int | None


ABSENT: Final = Reading("CLOSED", None, None, None, None)


class End(ABC):
    """One host's part in one conversation: port `here` of the host, port `there` of the peer."""

    def __init__(self, family: int, here: int, there: int) -> None:
        self.family = family
        self.here = here
        self.there = there
        self.options: dict[str, int] = {}
        """What the next socket is made with."""

    @abstractmethod
    def now(self) -> Nanos: ...

    @abstractmethod
    def rest(self, duration: Nanos) -> None:
        """Let time pass."""

    @abstractmethod
    def arrive(self, packet: Packet) -> None: ...

    @abstractmethod
    def sent(self) -> list[tuple[Nanos, Segment]]:
        """What the host has sent since the last time, and when."""

    @abstractmethod
    def call(self, name: str, argument: int = 0) -> str:
        """One of the owner's calls; its result, or the name of its errno."""

    @abstractmethod
    def table(self) -> ConnectionTable: ...

    @abstractmethod
    def info(self) -> tuple[int, ...]:
        """What is WATCHED of TCP_INFO; empty: there is no socket."""

    @abstractmethod
    def dispose(self) -> None:
        """Leave nothing of the conversation behind."""

    def reading(self) -> Reading:
        """What the host says of the connection; of the listener, where there is no connection."""
        now, table = self.now(), self.table()
        found = ABSENT
        for row in table.select(table.values("local_port") == self.here).rows():
            if row["remote_port"] == self.there and row["local_state"] != "LISTEN":
                at = row.get("timer_expires_ns")
                timer = row["timer"] if isinstance(at, int) else None
                expires = (at - now) // MILLISECOND if isinstance(at, int) else None
                return Reading(row["local_state"], row["recv_q"], row["send_q"], timer, expires)  # type: ignore[arg-type]
            if row["local_state"] == "LISTEN":
                found = Reading("LISTEN", row["recv_q"], row["send_q"], None, None)  # type: ignore[arg-type]
        return found


class Wire:
    """The kernel's side: a namespace with a TUN device. Packets that left it wait here, by port, with their time."""

    def __init__(self, tun: Tun) -> None:
        self.tun = tun
        self.waiting: dict[int, list[tuple[Nanos, Segment]]] = {}

    def collect(self) -> None:
        while (raw := self.tun.read()) is not None:
            # Neighbour discovery and the like is none of ours.
            with suppress(DecodeError):
                segment = decode_packet(raw).segment
                if segment is not None:
                    self.waiting.setdefault(segment.src_port, []).append((time.monotonic_ns(), segment))

    @staticmethod
    @contextmanager
    def open(**settings: str | int) -> Iterator[Wire]:
        """The calling thread in the namespace for a while, before other threads. `settings`: sysctls below net.ipv4."""
        with before_others(), namespaces.private():
            # A small table of connections is quick to list.
            sysctl.write("net.ipv4.tcp_child_ehash_entries", 512)
            with namespaces.private():
                for name, value in (SYSCTLS | settings).items():
                    sysctl.write(f"net.ipv4.{name}", value)
                with Tun([f"{HERE[4]}/24", f"{HERE[6]}/64"]) as tun:
                    yield Wire(tun)


class KernelEnd(End):
    """Sockets of this process; every packet that is written to the device has been dealt with when write() returns."""

    def __init__(self, wire: Wire, family: int, here: int, there: int) -> None:
        super().__init__(family, here, there)
        self.wire = wire
        self.listener: socket.socket | None = None
        self.socket: socket.socket | None = None
        self.lingering: threading.Thread | None = None
        self.others: list[socket.socket] = []

    def now(self) -> Nanos:
        return time.monotonic_ns()

    def rest(self, duration: Nanos) -> None:
        end = self.now() + duration
        while (left := end - self.now()) > 0:
            # What leaves meanwhile is noted when it leaves.
            select.select([self.wire.tun], [], [], left / SECOND)
            self.wire.collect()

    def arrive(self, packet: Packet) -> None:
        self.wire.tun.write(packet.encode())

    def sent(self) -> list[tuple[Nanos, Segment]]:
        self.wire.collect()
        return self.wire.waiting.pop(self.here, [])

    def table(self) -> ConnectionTable:
        if self.lingering is not None:
            # Whatever has ended it is over: let it return.
            self.lingering.join(0.01)
        return sockdiag.read(time.monotonic_ns(), info=0)

    def call(self, name: str, argument: int = 0) -> str:
        try:
            return self.set(name, argument) if name in SOCKET_OPTIONS else _CALLS[name](self, argument)
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    def set(self, name: str, value: int) -> str:
        held = self.socket or self.listener
        if held is None:
            self.options[name] = value
        else:
            held.setsockopt(*SOCKET_OPTIONS[name], value)
        return "ok"

    def listen(self, backlog: int) -> str:
        self.listener = self._bound()
        self.listener.listen(backlog or 16)
        return "ok"

    def connect(self, _: int) -> str:
        self.socket = self._bound()
        self.socket.connect((THERE[self.family], self.there))
        return "ok"

    def accept(self, _: int) -> str:
        assert self.listener is not None
        accepted, _address = self.listener.accept()
        if self.socket is not None:
            self.others.append(self.socket)
        self.socket = accepted
        self.socket.setblocking(False)
        return "ok"

    def _bound(self) -> socket.socket:
        one = socket.socket(socket.AF_INET if self.family == 4 else socket.AF_INET6)
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for name, value in self.options.items():
            one.setsockopt(*SOCKET_OPTIONS[name], value)
        one.bind((HERE[self.family], self.here))
        return one

    def write(self, octets: int) -> str:
        return str(self._held().send(b"x" * octets))

    def read(self, _: int) -> str:
        return str(len(self._held().recv(1 << 16)) or "end of file")

    def urgent(self, _: int) -> str:
        return str(self._held().recv(1, socket.MSG_OOB) or "end of file")

    def shutdown(self, how: int) -> str:
        self._held().shutdown(how)
        return "ok"

    def close(self, _: int) -> str:
        held, self.socket = self._held(), None
        # close() itself is what lingers, whether the socket blocks or not.
        self.lingering = threading.Thread(target=held.close)
        self.lingering.start()
        self.lingering.join(0.02)
        return "ok"

    def linger(self, seconds: int) -> str:
        self._held().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
        return "ok"

    def _held(self) -> socket.socket:
        if self.socket is None:
            raise OSError(errno.EBADF, "closed")
        return self.socket

    def info(self) -> tuple[int, ...]:
        if self.socket is None:
            return ()
        raw = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        (told,) = np.frombuffer(raw, tcpinfo.layout(len(raw)))
        return tuple(int(told[name]) for name in WATCHED)

    def dispose(self) -> None:
        if self.lingering is not None:
            self.lingering.join()
        if self.socket is not None:
            self.linger(0)
            self.socket.close()
        for one in self.others:
            one.close()
        if self.listener is not None:
            self.listener.close()
        self.sent()


_CALLS: Final[dict[str, Callable[[KernelEnd, int], str]]] = {
    "listen": KernelEnd.listen,
    "connect": KernelEnd.connect,
    "accept": KernelEnd.accept,
    "write": KernelEnd.write,
    "read": KernelEnd.read,
    "shutdown": KernelEnd.shutdown,
    "close": KernelEnd.close,
    "linger": KernelEnd.linger,
    "urgent": KernelEnd.urgent,
}


class EngineEnd(End):
    """A stack of its own, in virtual time: a millisecond passes with what happens, `apart` with what it sends."""

    def __init__(self, family: int, here: int, there: int, apart: Nanos = 0, **changes: str | int) -> None:
        super().__init__(family, here, there)
        self._apart = apart
        settings = Settings.linux()
        settings.tcp_invalid_ratelimit = settings.tcp_early_retrans = 0
        settings.tcp_congestion_control = "newreno"
        for name, value in changes.items():
            setattr(settings, name, value)
        self.stack = Stack([HERE[4], HERE[6]], settings, Dice(here))
        self.time: Nanos = 1000 * SECOND
        self.listener: Listener | None = None
        self.socket: Socket | None = None
        self.out: list[tuple[Nanos, Segment]] = []

    def now(self) -> Nanos:
        return self.time

    def rest(self, duration: Nanos) -> None:
        end = self.time + duration
        while (due := self.stack.next_timeout()) is not None and due <= end:
            self.time = max(due, self.time)
            self.stack.on_timeout(self.time)
            self._flush()
        self.time = end

    def _flush(self) -> None:
        while (packet := self.stack.poll(self.time)) is not None:
            # Over the wire and back: what is compared are the octets.
            segment = decode_packet(packet.encode()).segment
            assert segment is not None
            self.out.append((self.time, segment))
            self.time += self._apart

    def arrive(self, packet: Packet) -> None:
        self.rest(MILLISECOND)
        self.stack.on_packet(decode_packet(packet.encode()), self.time)
        self._flush()

    def sent(self) -> list[tuple[Nanos, Segment]]:
        out, self.out = self.out, []
        return out

    def table(self) -> ConnectionTable:
        return self.stack.connections(self.time)

    def call(self, name: str, argument: int = 0) -> str:
        self.rest(MILLISECOND)
        try:
            return self._call(name, argument)
        except CallError as error:
            return error.code or "?"
        finally:
            self._flush()

    def _call(self, name: str, argument: int) -> str:
        now = self.time
        if name in SOCKET_OPTIONS:
            return self._set(name, argument, now)
        if name == "listen":
            self.listener = self.stack.listen(self.here, argument or 16, self._options())
            return "ok"
        if name == "connect":
            there = (THERE[self.family], self.there)
            self.socket = self.stack.connect(there, now, self._options(), (HERE[self.family], self.here))
            return "EINPROGRESS"
        if name == "accept":
            assert self.listener is not None
            self.socket = self.stack.accept(self.listener)
            return "EAGAIN" if self.socket is None else "ok"
        return self._call_held(name, argument, now)

    def _options(self) -> SocketOptions:
        options = SocketOptions()
        for name, value in self.options.items():
            setattr(options, name, type(getattr(options, name))(value))
        return options

    def _set(self, name: str, value: int, now: Nanos) -> str:
        held = self.socket or self.listener
        if held is None:
            self.options[name] = value
        elif name == "so_keepalive" and self.socket is not None:
            self.socket.set_keepalive(bool(value), now)
        else:
            setattr(held.options, name, type(getattr(held.options, name))(value))
        return "ok"

    def info(self) -> tuple[int, ...]:
        if self.socket is None:
            return ()
        told = self.socket.info(self.time)
        return tuple(getattr(told, name) for name in WATCHED)

    def _call_held(self, name: str, argument: int, now: Nanos) -> str:
        held = self.socket
        if held is None:
            return "EBADF"
        if name == "write":
            return str(held.send(b"x" * argument, now))
        if name == "read":
            data = held.receive(1 << 16, now)
            return "EAGAIN" if data is None else str(len(data) or "end of file")
        if name == "urgent":
            octet = held.receive_urgent()
            return "EAGAIN" if octet is None else str(octet or "end of file")
        if name == "linger":
            held.options.so_linger = argument
        elif name == "shutdown":
            held.shutdown(("read", "write", "both")[argument], now)
        else:
            held.close(now)
            self.socket = None
        return "ok"

    def dispose(self) -> None:
        self.out.clear()
