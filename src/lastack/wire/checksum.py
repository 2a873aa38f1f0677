"""The Internet checksum (RFC 1071).

The one's complement sum of 16-bit words is the big-endian integer modulo 65535, since 2^16 = 1 there: one division in
C instead of a loop.
"""

from __future__ import annotations


def ones_sum(data: bytes, initial: int = 0) -> int:
    """The folded one's complement sum of the 16-bit words of `data` (an odd last octet is padded) and `initial`."""
    if len(data) & 1:
        data += b"\0"
    total = int.from_bytes(data, "big") + initial
    # Zero has two forms: only a sum of nothing but zeros folds to 0, any other multiple of 65535 to 0xFFFF.
    return total % 0xFFFF or (0xFFFF if total else 0)


def checksum(data: bytes, initial: int = 0) -> int:
    """What to put in the checksum field, which must be zero in `data`."""
    return 0xFFFF - ones_sum(data, initial)


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """The sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1), to be the `initial` of the sum over the segment."""
    return ones_sum(source + destination, protocol + (length >> 16) + (length & 0xFFFF))
