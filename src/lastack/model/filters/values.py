"""What filters compare with, read from text: addresses, ports, durations, counts. All raise ValueError."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from lastack.model.address import address_halves, address_text, is_ipv4
from lastack.model.time import MICROSECOND, MILLISECOND, MINUTE, SECOND, Nanos

_HALF: Final = (1 << 64) - 1
_LARGEST: Final = (1 << 63) - 1


class Network(NamedTuple):
    """A prefix in the 128-bit space that holds both families: the halves of its first address, and its length."""

    high: int
    low: int
    bits: int

    @property
    def ipv4(self) -> bool:
        """Whether it is an IPv4 prefix (it lies in ::ffff:0:0/96)."""
        return self.bits >= 96 and is_ipv4(self.high, self.low)

    @property
    def masks(self) -> tuple[int, int]:
        """The two halves of its mask."""
        mask = (1 << 128) - (1 << (128 - self.bits))
        return mask >> 64, mask & _HALF

    def holds(self, high: int, low: int) -> bool:
        """Whether an address lies in it. An IPv4 address never lies in an IPv6 prefix."""
        high_mask, low_mask = self.masks
        if is_ipv4(high, low) and not self.ipv4:
            return False
        return high & high_mask == self.high and low & low_mask == self.low

    def __str__(self) -> str:
        length = "" if self.bits == 128 else f"/{self.bits - 96 if self.ipv4 else self.bits}"
        text = address_text(self.high, self.low) + length
        return text if self.ipv4 else f"[{text}]"


class Host(NamedTuple):
    """An address and a port as a filter names them; None is any."""

    network: Network | None
    port: int | None

    def __str__(self) -> str:
        if self.port is None:
            return "*" if self.network is None else str(self.network)
        return f"{self.network or ''}:{self.port}"


def network(text: str) -> Network:
    """The prefix that `10.0.0.0/8`, `10/8`, `192.0.2.1`, `2001:db8::/32` or `::1` names; bits past it are dropped.

    IPv4 may be shortened where a length follows, as for ss(8). Names are never looked up.
    """
    address, slash, length = text.partition("/")
    whole = 128 if ":" in address else 32
    if slash and whole == 32 and re.fullmatch(r"[0-9]+(\.[0-9]+){0,2}", address):
        address += ".0" * (3 - address.count("."))
    try:
        high, low = address_halves(address)
    except ValueError:
        raise ValueError(_no_address(address)) from None
    if slash and not (re.fullmatch("[0-9]{1,3}", length) and int(length) <= whole):
        raise ValueError(f"'/{length}' is not a prefix length: it goes from /0 to /{whole}")
    bits = int(length) + 128 - whole if slash else 128
    high_mask, low_mask = Network(0, 0, bits).masks
    return Network(high & high_mask, low & low_mask, bits)


def _no_address(text: str) -> str:
    if re.fullmatch("[0-9]{1,5}", text):
        return f"'{text}' is not an address: a port is written :{text}"
    if re.fullmatch("[0-9A-Za-z._-]*[A-Za-z][0-9A-Za-z._-]*", text):
        return f"'{text}' is a name: names are never looked up, give an address (getent hosts {text})"
    return f"'{text}' is not an IPv4 or IPv6 address"


def port(text: str) -> int | None:
    """The port that `:443`, `443` or `:https` names; None for `:*`. Service names are those of services(5)."""
    name = text.removeprefix(":")
    if name == "*":
        return None
    if re.fullmatch("[0-9]+", name):
        if len(name) > 5 or int(name) > 65535:
            raise ValueError(f"'{name}' is not a port: ports go from 0 to 65535")
        return int(name)
    if not name:
        raise ValueError("a port is missing after ':'")
    if ":" in name or "." in name:
        raise ValueError(f"'{text}' is not a port: for an address and a port write dst or src")
    import socket

    try:
        return socket.getservbyname(name, "tcp")
    except (OSError, ValueError):
        raise ValueError(f"'{name}' is not a port, nor a TCP service of /etc/services") from None


def host(text: str) -> Host:
    """The host that `ADDRESS[/LENGTH][:PORT]`, `[ADDRESS[/LENGTH]]:PORT`, `:PORT` or `*:PORT` names.

    An IPv6 address without brackets is taken where it can be read in one way only.
    """
    family = re.match("(inet6?):", text)
    if family:
        raise ValueError(f"'{family.group()}' is not understood here: write family {family[1]} and ...")
    if text.startswith("["):
        return _bracketed(text)
    if text.startswith(("*", ":")) and not text.startswith("::"):
        rest = text.removeprefix("*")
        return Host(None, port(rest) if rest else None)
    if "/" not in text and text.count(":") > 1:
        return _bare_ipv6(text)
    before, slash, after = text.partition("/")
    head, colon, number = (after if slash else before).partition(":")
    return Host(network(f"{before}/{head}" if slash else head), port(number) if colon else None)


def _bracketed(text: str) -> Host:
    found = re.fullmatch(r"\[(?P<address>[^]/]*)(?P<inside>/[^]]*)?\](?P<after>/[^:]*)?(:(?P<port>.+))?", text)
    if not found:
        raise ValueError(f"'{text}' is not an address: write [ADDRESS/LENGTH]:PORT")
    prefix = network(found["address"] + (found["inside"] or "") + (found["after"] or ""))
    return Host(prefix, port(found["port"]) if found["port"] else None)


def _bare_ipv6(text: str) -> Host:
    """`2001:db8::1`, or `::1:http` where that is not an address too."""
    address, _, number = text.rpartition(":")
    try:
        split = Host(network(address), port(number))
    except ValueError:
        return Host(network(text), None)
    try:
        network(text)
    except ValueError:
        return split
    raise ValueError(f"'{text}' can be read in two ways: write [{address}]:{number} or [{text}]")


_UNITS: Final[dict[str, Nanos]] = {
    "d": 24 * 60 * MINUTE,
    "h": 60 * MINUTE,
    "min": MINUTE,
    "m": MINUTE,
    "s": SECOND,
    "ms": MILLISECOND,
    "us": MICROSECOND,
    "ns": 1,
}


def duration(text: str) -> Nanos:
    """Nanoseconds from `60s`, `1.5min` (or `m`), `2h`, `7d`, `250ms`."""
    found = re.fullmatch(r"([0-9]{1,19})(\.[0-9]{1,9})?([a-z]+)", text.lower())
    if not found or found[3] not in _UNITS:
        hint = "say the unit, as in" if re.fullmatch(r"[0-9.]+", text) else "write"
        raise ValueError(f"'{text}' is not a duration: {hint} 60s, 5min, 2h or 1d")
    unit = _UNITS[found[3]]
    fraction = found[2][1:] if found[2] else ""
    nanos = int(found[1]) * unit + int(fraction or 0) * unit // int("1" + "0" * len(fraction))
    if nanos > _LARGEST:
        raise ValueError(f"'{text}' is longer than 292 years")
    return nanos


def duration_text(nanos: Nanos) -> str:
    """A duration as `duration` reads it back, exactly."""
    for name, unit in _UNITS.items():
        if nanos % unit == 0 and (nanos or unit == SECOND):
            return f"{nanos // unit}{name}"
    return f"{nanos}ns"


def count(text: str) -> int:
    """A whole number of octets, connections or the like."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(f"'{text}' is not a whole number")
    return int(text)
