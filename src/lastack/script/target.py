"""What a script is run on: something with a clock, a wire and sockets. The engine, a kernel, or a stack of yours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from lastack.model.time import Nanos
from lastack.wire.packet import Packet

Call = Callable[["Sockets"], Any]
"""A system call on some sockets: gives its result, or raises OSError with Linux's errno."""


class Arrival(NamedTuple):
    """A packet that left the side under test, and when, in ns since the script began."""

    at: Nanos
    packet: Packet


class Blocks(Exception):
    """The call has to wait."""


class PassedOver(Exception):
    """Nobody is there to make the call."""


class Pending:
    """A system call under way. Finished when `at` is not None: then `result` or `error` is what came of it.

    `passed_over`: it was not made at all. `until` is its own: when it stops waiting.
    """

    def __init__(self) -> None:
        self.passed_over = False
        self.until: Nanos | None = None
        self.at: Nanos | None = None
        self.result: Any = None
        self.error: OSError | None = None


class Sockets(ABC):
    """System calls with Linux's numbers. Descriptors are the implementation's own; every method may raise OSError."""

    @abstractmethod
    def socket(self, family: int, kind: int, protocol: int) -> int:
        """A new descriptor."""

    @abstractmethod
    def bind(self, fd: int, address: tuple[str, int]) -> int:
        """Give it a local address and port."""

    @abstractmethod
    def listen(self, fd: int, backlog: int) -> int:
        """Accept connections from now on."""

    @abstractmethod
    def accept(self, fd: int, flags: int) -> int:
        """The descriptor of the next connection."""

    @abstractmethod
    def connect(self, fd: int, address: tuple[str, int]) -> int:
        """Open a connection."""

    @abstractmethod
    def send(self, fd: int, data: bytes, flags: int) -> int:
        """Send octets; how many were taken."""

    @abstractmethod
    def receive(self, fd: int, limit: int, flags: int) -> bytes:
        """Octets, `limit` at most; none at the end of file."""

    @abstractmethod
    def shutdown(self, fd: int, how: int) -> int:
        """Close one direction, or both."""

    @abstractmethod
    def close(self, fd: int) -> int:
        """Give the descriptor up."""

    @abstractmethod
    def set_option(self, fd: int, level: int, name: int, value: int | bytes | tuple[int, ...]) -> int:
        """setsockopt(): a number, octets (TCP_CONGESTION), or the fields of a structure (SO_LINGER)."""

    @abstractmethod
    def get_option(self, fd: int, level: int, name: int) -> int | bytes | tuple[int, ...]:
        """getsockopt()."""

    @abstractmethod
    def fcntl(self, fd: int, command: int, argument: int) -> int:
        """F_GETFL and F_SETFL."""

    @abstractmethod
    def ioctl(self, fd: int, request: int) -> int:
        """The number that SIOCINQ, SIOCOUTQ or SIOCOUTQNSD writes."""

    @abstractmethod
    def poll(self, wanted: list[tuple[int, int]], timeout: Nanos | None) -> list[int]:
        """The events of each (descriptor, events wanted), once there is one or `timeout` is over (None: never)."""

    @abstractmethod
    def epoll_create(self, flags: int) -> int:
        """A new descriptor, which waits for others."""

    @abstractmethod
    def epoll_ctl(self, epoll: int, operation: int, fd: int, events: int, data: int) -> int:
        """Add, change or remove what it waits for; `data` is what comes back with the events."""

    @abstractmethod
    def epoll_wait(self, epoll: int, limit: int, timeout: Nanos | None) -> list[tuple[int, int]]:
        """(events, data) of `limit` descriptors at most, once there is one or `timeout` is over (None: never)."""

    @abstractmethod
    def pipe(self) -> tuple[int, int]:
        """The descriptors of a new pipe: the end to read from, and the end to write to."""

    @abstractmethod
    def splice(self, fd: int, out: int, limit: int, flags: int) -> int:
        """Move octets from one descriptor to another; one of them is a pipe."""

    @abstractmethod
    def info(self, fd: int) -> dict[str, int]:
        """tcp_info by the kernel's names, `tcpi_` and all."""


class Target(ABC):
    """One side of the wire. All times count in ns from the begin of the script."""

    @abstractmethod
    def now(self) -> Nanos:
        """How much of the script's time is over."""

    @abstractmethod
    def run_until(self, at: Nanos) -> None:
        """Let time pass until then."""

    @abstractmethod
    def send(self, packet: Packet) -> None:
        """Let a packet arrive at the side under test, now."""

    @abstractmethod
    def receive(self, deadline: Nanos) -> Arrival | None:
        """The next packet that left it and was not received yet, or that leaves it before the deadline."""

    @abstractmethod
    def call(self, call: Call) -> Pending:
        """Begin a system call. One that can end at once has ended when this returns."""

    @abstractmethod
    def wait(self, pending: Pending, deadline: Nanos) -> None:
        """Let time pass until a call has ended, or until the deadline."""

    @abstractmethod
    def set_sysctl(self, name: str, value: str) -> None:
        """Write a setting by its sysctl name (`net.ipv4.tcp_timestamps`). Raises ScriptError where there is none."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back."""
