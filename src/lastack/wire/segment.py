"""A TCP segment: header and options as fields, payload as bytes (RFC 9293 3.1)."""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from lastack.errors import DecodeError
from lastack.native import i64, mypyc_attr

from .checksum import ones_sum, pseudo_header
from .flags import FIN, PSH, SYN, spelled
from .options import Options, decode_options, encode_options, options_length
from .seq import MASK, Seq

HEADER: Final = 20
PROTOCOL: Final = 6

_HEADER: Final = Struct("!HHIIHHHH")


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Segment(Options):
    """One segment. `window` is the field as it is on the wire, unscaled; `seq` and `ack` are wrapped to 32 bits.

    With `gso` it stands for several that follow each other, `gso` octets of text in each: a device with offload
    (linux/virtio_net.h) takes and gives up to 64 KiB at once.
    """

    __slots__ = ("ack", "dst_port", "flags", "gso", "payload", "seq", "src_port", "urgent", "window")

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
        self.gso = 0

    @property
    def length(self) -> i64:
        """SEG.LEN: the sequence numbers it occupies, SYN and FIN counted (RFC 9293 3.3.1)."""
        return len(self.payload) + (1 if self.flags & SYN else 0) + (1 if self.flags & FIN else 0)

    @property
    def count(self) -> int:
        """How many segments it is on a wire."""
        return (len(self.payload) + self.gso - 1) // self.gso if self.gso else 1

    def copy(self) -> Segment:
        """Another segment with the same fields."""
        other = Segment(self.src_port, self.dst_port, self.seq, self.ack, self.flags, self.window, self.payload)
        other.urgent = self.urgent
        other.gso = self.gso
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


def split(segment: Segment) -> list[Segment]:
    """The segments that one with `gso` is on a wire: PSH and FIN belong to the last (tcp_gso_segment)."""
    if not segment.gso:
        return [segment]
    parts: list[Segment] = []
    octets = len(segment.payload)
    for at in range(0, octets, segment.gso):
        part = segment.copy()
        part.gso = 0
        part.seq = (segment.seq + at) & MASK
        part.payload = segment.payload[at : at + segment.gso]
        if at + segment.gso < octets:
            part.flags &= ~(PSH | FIN)
        parts.append(part)
    return parts


def header_length(segment: Segment) -> int:
    """Octets of header and options."""
    return HEADER + options_length(segment)


def encode_header(segment: Segment, options: bytes, check: int) -> bytes:
    """The octets before the payload, with `check` where the checksum belongs."""
    offset_flags = (HEADER + len(options)) << 10 | segment.flags
    head = (segment.src_port, segment.dst_port, segment.seq, segment.ack, offset_flags, segment.window)
    return _HEADER.pack(*head, check, segment.urgent) + options


def encode_segment(segment: Segment, source: bytes, destination: bytes) -> bytes:
    """The octets of a segment between two addresses (4 or 16 octets each), checksum included."""
    options = encode_options(segment)
    raw = encode_header(segment, options, 0) + segment.payload
    total = 0xFFFF - ones_sum(raw, pseudo_header(source, destination, PROTOCOL, len(raw)))
    return raw[:16] + total.to_bytes(2, "big") + raw[18:]


def decode_segment(
    raw: bytes, source: bytes, destination: bytes, *, verify: bool = True, start: int = 0, end: int = -1
) -> Segment:
    """A segment from octets [start, end) of `raw`, or from all of them.

    Raises DecodeError on a short, lying or (with `verify`) damaged one.
    """
    if end < 0:
        end = len(raw)
    if end - start < HEADER:
        raise DecodeError(f"a TCP header needs {HEADER} octets, {end - start} are there", at=end)
    src_port, dst_port, seq, ack, offset_flags, window, _, urgent = _HEADER.unpack_from(raw, start)
    header = (offset_flags >> 12) * 4
    if header < HEADER:
        raise DecodeError(f"data offset of {header} octets", at=start + 12)
    text = start + header
    if text > end:
        raise DecodeError("header runs past the segment", at=start + 12)
    if verify and ones_sum(raw[start:end], pseudo_header(source, destination, PROTOCOL, end - start)) != 0xFFFF:
        raise DecodeError("wrong TCP checksum", at=start + 16)
    segment = Segment(src_port, dst_port, seq, ack, offset_flags & 0x1FF, window, raw[text:end])
    segment.urgent = urgent
    if header > HEADER:
        decode_options(raw, start + HEADER, text, segment)
    return segment
