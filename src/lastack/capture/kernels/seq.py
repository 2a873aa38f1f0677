"""Sequence numbers modulo 2^32 (RFC 9293 3.4)."""

from __future__ import annotations

from typing import Final

MASK: Final = 0xFFFF_FFFF


def ahead(a: int, b: int) -> int:
    """How far `a` is ahead of `b`: negative where it is behind."""
    return ((a - b + 0x8000_0000) & MASK) - 0x8000_0000
