"""A segment for no connection is answered with a RST (RFC 9293 3.10.7.1)."""

from __future__ import annotations

from lastack.wire.flags import ACK, RST
from lastack.wire.segment import Segment
from lastack.wire.seq import add


def reset_for(segment: Segment) -> Segment | None:
    """The RST that answers a segment, placed so that its sender believes it; None for a RST."""
    if segment.flags & RST:
        return None
    if segment.flags & ACK:
        return Segment(segment.dst_port, segment.src_port, segment.ack, 0, RST, 0)
    return Segment(segment.dst_port, segment.src_port, 0, add(segment.seq, segment.length), RST | ACK, 0)
