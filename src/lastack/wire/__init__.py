"""Bytes and values: sequence numbers, segments, IP, ICMP, packets, pcapng. No state, no time, no input or output."""

from __future__ import annotations

from .icmp import IcmpMessage
from .ip import address_bytes, address_words
from .packet import Packet
from .segment import Segment

__all__ = ["IcmpMessage", "Packet", "Segment", "address_bytes", "address_words"]
