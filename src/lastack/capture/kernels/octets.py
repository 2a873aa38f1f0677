"""Numbers in octets and in columns. Under Numba these become single loads and stores (`loads.py`), without bounds.

Compiled, the sequence may be a NumPy array or the address of its first element as an integer. Addresses are much
faster in kernels of many functions: an array that is passed on is counted in and out at every call.
"""

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


def get(numbers: Sequence[int], at: int) -> int:
    """One number of a column, at an index known to be in range."""
    return numbers[at]


def put(numbers: MutableSequence[int], at: int, value: int) -> None:
    """Set one number of a column."""
    numbers[at] = value


def bump(numbers: MutableSequence[int], at: int, by: int) -> None:
    """Add to one number of a column."""
    numbers[at] += by


def column(numbers: MutableSequence[int]) -> MutableSequence[int]:
    """The sequence itself, to be indexed. Compiled, what an address points to: an array that nobody counts."""
    return numbers


def expect(numbers: Sequence[int], at: int) -> bool:
    """Say that a number will be read soon. Compiled, its cache line is fetched meanwhile, and this is True."""
    return False
