"""Local ports: who may bind one, and which one connect() takes (RFC 6056; inet_csk_get_port, __inet_hash_connect)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from lastack.native import i64
from lastack.tcp.settings import Settings

from .dice import Dice
from .isn import Secrets

_EXCLUSIVE: Final = 1 << 31
_ALONE: Final = 1 + _EXCLUSIVE
_PAGE: Final = 60
_PAGES: Final = (1 << 16) // _PAGE + 1
_TABLE: Final = 256


@final
class PortSet:
    """A set of ports, as a bit of each in pages of 60 of them: 64 bits are no small integer for compiled code."""

    __slots__ = ("pages",)

    def __init__(self) -> None:
        self.pages = [0] * _PAGES

    def has(self, port: i64) -> bool:
        """Whether a port is in it."""
        page: i64 = self.pages[port // _PAGE]
        return (page >> port % _PAGE & 1) != 0

    def add(self, port: int) -> None:
        """Put a port in."""
        place: i64 = port // _PAGE
        page: i64 = self.pages[place]
        bit: i64 = 1 << port % _PAGE
        self.pages[place] = page | bit

    def discard(self, port: int) -> bool:
        """Take a port out; whether it was in."""
        place: i64 = port // _PAGE
        page: i64 = self.pages[place]
        bit: i64 = 1 << port % _PAGE
        if page & bit == 0:
            return False
        self.pages[place] = page ^ bit
        return True


@final
class Uses:
    """Who uses the ports of one address.

    Nearly every port has one user that did not set SO_REUSEADDR: it is in `single`, so that what TIME_WAIT keeps of a
    port is next to nothing. Whatever else there is, is counted: `_EXCLUSIVE` more for each user that did not set the
    option.
    """

    __slots__ = ("counted", "single")

    def __init__(self) -> None:
        self.single = PortSet()
        self.counted: dict[int, int] = {}

    def count(self, port: int) -> int:
        """How many use a port; `_EXCLUSIVE` more for each that did not set SO_REUSEADDR."""
        if self.single.has(port):
            return _ALONE
        return self.counted.get(port, 0) if self.counted else 0

    def take(self, port: int, reuse: bool) -> None:
        """One more uses it."""
        if self.single.has(port):
            self.single.discard(port)
            self.counted[port] = _ALONE + (1 if reuse else _ALONE)
        elif reuse or (self.counted and port in self.counted):
            self.counted[port] = self.counted.get(port, 0) + (1 if reuse else _ALONE)
        else:
            self.single.add(port)

    def release(self, port: int, reuse: bool) -> int:
        """One less uses it; what is left."""
        if self.single.discard(port):
            return 0
        left = self.counted.pop(port) - (1 if reuse else _ALONE)
        if left == _ALONE:
            self.single.add(port)
        elif left:
            self.counted[port] = left
        return left


@final
class Ports:
    """How many sockets and rows of TIME_WAIT use a port of an address, and how many of them did not set SO_REUSEADDR.

    `bound` are ports that connect() does not choose, towards no destination: who took them had called bind()
    (tb->fastreuse >= 0), by their number or without one (and without IP_BIND_ADDRESS_NO_PORT).
    """

    __slots__ = ("_offsets", "_secrets", "_uses", "bound")

    def __init__(self, secrets: Secrets, dice: Dice) -> None:
        self._uses: dict[bytes, Uses] = {}
        self._secrets = secrets
        self._offsets = [dice.below(1 << 16) for _ in range(_TABLE)]
        self.bound = PortSet()

    def take(self, address: bytes, port: int, reuse: bool) -> None:
        """One more uses a port; `reuse`: it has set SO_REUSEADDR."""
        uses = self._uses.get(address)
        if uses is None:
            uses = self._uses[address] = Uses()
        uses.take(port, reuse)

    def release(self, address: bytes, port: int, reuse: bool) -> None:
        """One less uses it."""
        left = self._uses[address].release(port, reuse)
        if not left and (len(self._uses) == 1 or not self.used(None, port)):
            self.bound.discard(port)

    def used(self, address: bytes | None, port: int) -> int:
        """How many use it, on one address or on any; `_EXCLUSIVE` more for each that did not set SO_REUSEADDR."""
        if address is None:
            users = 0
            for one in self._uses.values():
                users += one.count(port)
            return users
        uses = self._uses.get(address)
        return 0 if uses is None else uses.count(port)

    def may_bind(self, address: bytes | None, port: int, reuse: bool) -> bool:
        """Whether bind() may have it: nobody uses it, or all who do, and the asker, have set SO_REUSEADDR.

        `address` None: on every address.
        """
        uses = self.used(address, port)
        return not uses or (reuse and uses < _EXCLUSIVE)

    def candidates(self, settings: Settings, destination: bytes) -> Iterator[int]:
        """Ports to try for a destination (remote address, local address, remote port), best first.

        Even offsets from the start of the range are connect()'s, odd ones bind()'s, so that they seldom meet; the
        place to begin depends on the destination (RFC 6056 3.3.4, the double hash).
        """
        low, high = settings.ip_local_port_range
        count = high - low + 1
        if count > 1:
            count &= ~1
        digest = self._secrets.digest(destination + b"port")
        index = digest % _TABLE
        base = self._offsets[index]
        start = ((digest >> 32) + base) % count & ~1
        reserved = settings.ip_local_reserved_ports
        for parity in (0, 1):
            for step in range(0, count, 2):
                offset = (start + parity + step) % count
                port = low + offset
                if port in reserved or self.bound.has(port):
                    continue
                # The next connect() goes on from here.
                self._offsets[index] = base + step + 2
                yield port

    def bindable(self, settings: Settings, address: bytes) -> Iterator[int]:
        """Ports for bind() with port 0: odd offsets first, and only what nobody uses there, SO_REUSEADDR or not.

        Linux shares one only with net.ipv4.ip_autobind_reuse, which is 0 (inet_csk_find_open_port).
        """
        low, high = settings.ip_local_port_range
        start = self._secrets.digest(b"bind" + self._offsets[0].to_bytes(4, "big")) % (high - low + 1)
        self._offsets[0] = (self._offsets[0] + 1) & 0xFFFF
        span = range(low, high + 1)
        order = [span[(start + i) % len(span)] for i in range(len(span))]
        for parity in (1, 0):
            for port in order:
                fits = (port - low) & 1 == parity and port not in settings.ip_local_reserved_ports
                if fits and not self.used(address, port):
                    yield port
