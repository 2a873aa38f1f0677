"""A TCP segment: header and options as fields, payload as bytes (RFC 9293 3.1)."""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from lastack.errors import DecodeError
from lastack.native import i64, mypyc_attr

from .checksum import ones_sum, pseudo_header
from .flags import FIN, SYN, spelled
from .options import Options, decode_options, encode_options, options_length
from .seq import Seq

HEADER: Final = 20
PROTOCOL: Final = 6

_HEADER: Final = Struct("!HHIIHHHH")


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Segment(Options):
    """One segment. `window` is the field as it is on the wire, unscaled; `seq` and `ack` are wrapped to 32 bits."""

    __slots__ = ("ack", "dst_port", "flags", "payload", "seq", "src_port", "urgent", "window")

    def __init__(
        self,
        src_port: int,
        dst_port: int,
        seq: Seq,
        ack: Seq,
        flags: i64,
        window: i64,
        payload: bytes = b"",
    ) -> None:
        # The fields of Options, written out: one call less for every segment there is.
        self.mss = None
        self.window_scale = None
        self.sack_permitted = False
        self.sack = ()
        self.stamp = -1
        self.ts_echo = 0
        self.user_timeout = None
        self.fast_open = None
        self.others = ()
        self.src_port = src_port
        self.dst_port = dst_port
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.window = window
        self.urgent: i64 = 0
        self.payload = payload

    @property
    def length(self) -> i64:
        """SEG.LEN: the sequence numbers it occupies, SYN and FIN counted (RFC 9293 3.3.1)."""
        return len(self.payload) + (1 if self.flags & SYN else 0) + (1 if self.flags & FIN else 0)

    def copy(self) -> Segment:
        """Another segment with the same fields."""
        other = Segment(self.src_port, self.dst_port, self.seq, self.ack, self.flags, self.window, self.payload)
        other.urgent = self.urgent
        other.mss = self.mss
        other.window_scale = self.window_scale
        other.sack_permitted = self.sack_permitted
        other.sack = self.sack
        other.stamp = self.stamp
        other.ts_echo = self.ts_echo
        other.user_timeout = self.user_timeout
        other.fast_open = self.fast_open
        other.others = self.others
        return other

    def __str__(self) -> str:
        text = f"{self.src_port} > {self.dst_port} {spelled(self.flags)} seq {self.seq} ack {self.ack}"
        return f"{text} win {self.window} len {len(self.payload)}"


def header_length(segment: Segment) -> int:
    """Octets of header and options."""
    return HEADER + options_length(segment)


def encode_segment(segment: Segment, source: bytes, destination: bytes) -> bytes:
    """The octets of a segment between two addresses (4 or 16 octets each), checksum included."""
    options = encode_options(segment)
    offset_flags = (HEADER + len(options)) << 10 | segment.flags
    tail = options + segment.payload
    length = HEADER + len(tail)
    head = (segment.src_port, segment.dst_port, segment.seq, segment.ack, offset_flags, segment.window)
    raw = _HEADER.pack(*head, 0, segment.urgent) + tail
    total = 0xFFFF - ones_sum(raw, pseudo_header(source, destination, PROTOCOL, length))
    return raw[:16] + total.to_bytes(2, "big") + raw[18:]


def decode_segment(raw: bytes, source: bytes, destination: bytes, *, verify: bool = True) -> Segment:
    """A segment from its octets. Raises DecodeError on a short, lying or (with `verify`) damaged one."""
    if len(raw) < HEADER:
        raise DecodeError(f"a TCP header needs {HEADER} octets, {len(raw)} are there", at=len(raw))
    src_port, dst_port, seq, ack, offset_flags, window, _, urgent = _HEADER.unpack_from(raw)
    header = (offset_flags >> 12) * 4
    if header < HEADER:
        raise DecodeError(f"data offset of {header} octets", at=12)
    if header > len(raw):
        raise DecodeError("header runs past the segment", at=12)
    if verify and ones_sum(raw, pseudo_header(source, destination, PROTOCOL, len(raw))) != 0xFFFF:
        raise DecodeError("wrong TCP checksum", at=16)
    segment = Segment(src_port, dst_port, seq, ack, offset_flags & 0x1FF, window, raw[header:])
    segment.urgent = urgent
    if header > HEADER:
        decode_options(raw, HEADER, header, segment)
    return segment
