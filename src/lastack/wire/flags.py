"""The control bits of a TCP header (RFC 9293 3.1, RFC 3168) and their names."""

from __future__ import annotations

from typing import Final

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80
AE: Final = 0x100
"""Accurate ECN (RFC 9768), once the nonce sum bit."""

_NAMES: Final = (
    (SYN, "SYN"),
    (FIN, "FIN"),
    (RST, "RST"),
    (PSH, "PSH"),
    (ACK, "ACK"),
    (URG, "URG"),
    (ECE, "ECE"),
    (CWR, "CWR"),
    (AE, "AE"),
)


def spelled(flags: int) -> str:
    """The bits by name, `SYN,ACK`; `-` for none."""
    return ",".join(name for bit, name in _NAMES if flags & bit) or "-"
