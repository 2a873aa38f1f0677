"""Addresses as two 64-bit halves, IPv4 mapped into ::ffff:0:0/96, so that one column holds both families."""

from __future__ import annotations

import socket
from typing import Final, NamedTuple

MAPPED_PREFIX: Final = 0xFFFF << 32
"""The low half of an IPv4-mapped IPv6 address, without its IPv4 part (RFC 4291 2.5.5.2)."""


class Endpoint(NamedTuple):
    """An address (in text) and a port."""

    addr: str
    port: int

    def __str__(self) -> str:
        return f"[{self.addr}]:{self.port}" if ":" in self.addr else f"{self.addr}:{self.port}"


class FourTuple(NamedTuple):
    """What names a connection to both its ends (RFC 9293 3.3)."""

    local: Endpoint
    remote: Endpoint

    def __str__(self) -> str:
        return f"{self.local} -> {self.remote}"


def is_ipv4(high: int, low: int) -> bool:
    """Whether the two halves hold an IPv4-mapped address."""
    return high == 0 and low >> 32 == 0xFFFF


def address_text(high: int, low: int) -> str:
    """The address in the usual text: dotted for IPv4 (mapped or not), RFC 5952 for IPv6."""
    if is_ipv4(high, low):
        return socket.inet_ntop(socket.AF_INET, (low & 0xFFFF_FFFF).to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, high.to_bytes(8, "big") + low.to_bytes(8, "big"))


def address_halves(text: str) -> tuple[int, int]:
    """The two halves of an address written in text, IPv4 mapped. Raises ValueError on anything else."""
    try:
        if ":" not in text:
            return 0, MAPPED_PREFIX | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
        packed = socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        raise ValueError(f"not an IPv4 or IPv6 address: {text!r}") from None
    return int.from_bytes(packed[:8], "big"), int.from_bytes(packed[8:], "big")


def is_loopback(high: int, low: int) -> bool:
    """Whether the address is of 127.0.0.0/8 or ::1."""
    return (high, low) == (0, 1) or (is_ipv4(high, low) and (low >> 24) & 0xFF == 127)
