"""SYN cookies: the SYN queue's contents kept by the peer (net/ipv4/syncookies.c).

The sequence number of the SYN,ACK holds a hash, the minute and the MSS; the timestamp's last six bits hold the other
options. Nothing is stored.
"""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import SECOND, Nanos
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK

from .isn import Secrets

_MSS_TABLE: Final = (536, 1300, 1440, 1460)
_PERIOD: Final[Nanos] = 60 * SECOND
_VALID_PERIODS: Final = 2
VALID: Final[Nanos] = _VALID_PERIODS * _PERIOD
"""How long after the last cookie an ACK may bring one back (TCP_SYNCOOKIE_VALID)."""
_LOW: Final = 0xFF_FFFF
_SCALE_MASK: Final = 0xF
"""A shift of 15 says that windows are not scaled."""
_SACK_BIT: Final = 0x10
_OPTION_BITS: Final = 6


@final
class Cookies:
    """Makes and checks the cookies of one host."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def _hash(self, key: bytes, count: int) -> int:
        return self._secrets.digest(key + count.to_bytes(8, "big") + b"cookie") & MASK

    def make(self, key: bytes, syn: Segment, now: Nanos) -> int:
        """The initial sequence number to answer a SYN with."""
        mss = syn.mss or 536
        index = max((i for i, size in enumerate(_MSS_TABLE) if size <= mss), default=0)
        count = now // _PERIOD
        low = (self._hash(key, count + 1) + index) & _LOW
        return (self._hash(key, 0) + syn.seq + (count << 24) + low) & MASK

    def check(self, key: bytes, ack: Segment, now: Nanos) -> int | None:
        """The MSS that a cookie remembers, or None where it is none of ours, or too old."""
        cookie = (ack.ack - 1) & MASK
        rest = (cookie - self._hash(key, 0) - (ack.seq - 1)) & MASK
        count = now // _PERIOD
        age = (count - (rest >> 24)) & 0xFF
        if age >= _VALID_PERIODS:
            return None
        index = (rest - self._hash(key, count - age + 1)) & _LOW
        return _MSS_TABLE[index] if index < len(_MSS_TABLE) else None

    def timestamp(self, clock: int, syn: Segment) -> int:
        """The timestamp of the SYN,ACK: not later than the clock, its last bits saying what the SYN offered."""
        bits = _SCALE_MASK if syn.window_scale is None else min(syn.window_scale, 14)
        bits |= _SACK_BIT if syn.sack_permitted else 0
        stamp = clock & ~((1 << _OPTION_BITS) - 1) | bits
        return (stamp if stamp <= clock else stamp - (1 << _OPTION_BITS)) & MASK

    def recall(self, ack: Segment, mss: int) -> Segment:
        """The SYN as far as the ACK of the cookie tells."""
        syn = Segment(ack.src_port, ack.dst_port, (ack.seq - 1) & MASK, 0, 0, ack.window)
        syn.mss = mss
        if ack.ts_value is not None:
            syn.ts_value = ack.ts_value
            syn.ts_echo = ack.ts_echo
            scale = ack.ts_echo & _SCALE_MASK
            syn.window_scale = None if scale == _SCALE_MASK else scale
            syn.sack_permitted = bool(ack.ts_echo & _SACK_BIT)
        return syn
