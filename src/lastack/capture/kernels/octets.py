"""Numbers in octets. Under Numba these become single unaligned loads (`loads.py`); none of them looks at bounds."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence


def u8(octets: Sequence[int], at: int) -> int:
    """One octet."""
    return octets[at]


def u16(octets: Sequence[int], at: int) -> int:
    """16 bits in network order."""
    return octets[at] << 8 | octets[at + 1]


def u32(octets: Sequence[int], at: int) -> int:
    """32 bits in network order."""
    return octets[at] << 24 | octets[at + 1] << 16 | octets[at + 2] << 8 | octets[at + 3]


def u16_little(octets: Sequence[int], at: int) -> int:
    """16 bits, the lowest octet first."""
    return octets[at + 1] << 8 | octets[at]


def u32_little(octets: Sequence[int], at: int) -> int:
    """32 bits, the lowest octet first."""
    return octets[at + 3] << 24 | octets[at + 2] << 16 | octets[at + 1] << 8 | octets[at]


def s64(octets: Sequence[int], at: int) -> int:
    """64 bits in network order, as a signed number (half an IPv6 address in a column)."""
    high = u32(octets, at)
    return ((high ^ 0x8000_0000) - 0x8000_0000) << 32 | u32(octets, at + 4)


def put(numbers: MutableSequence[int], at: int, value: int) -> None:
    """`numbers[at] = value` for an index known to be in range."""
    numbers[at] = value
