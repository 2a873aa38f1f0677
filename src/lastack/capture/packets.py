"""Decoded packets, as the reader hands them to the analyser: rows of plain integers in one flat sequence.

A batch is `(packets, count)`: `packets` is one flat sequence of signed 64-bit integers (a NumPy `int64` array where the
kernels are compiled, an `array('q')` where they run as plain Python), and row i is at `packets[i * WIDTH]`, with the
fields below at their offsets. The sequence belongs to the reader: it is overwritten by the next batch.

Rows are in the order of the stream. A row is a TCP segment, unless ICMP is set in its FLAGS: then it is an ICMP error
that quotes one (addresses, ports and SEQ are the *quoted* segment's, WINDOW holds `type << 8 | code`, the flag IPV6
says which protocol's types those are, IP is that of the message itself; ACK, LENGTH and OPTIONS are 0). Whoever counts
segments skips those.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Final, NamedTuple, TypeAlias

from lastack.model.address import address_text

Packets: TypeAlias = MutableSequence[int]
"""A batch's rows: flat, `count * WIDTH` of them in use."""

WIDTH: Final = 16
"""Numbers a row."""

TIME: Final = 0
"""Nanoseconds since 1970-01-01 UTC."""
SRC_HIGH: Final = 1
"""Address halves as *signed* 64-bit numbers, IPv4 mapped into ::ffff:0:0/96 (as in `model.address`): for IPv4 the high
half is 0 and the low half is `MAPPED_PREFIX | address`."""
SRC_LOW: Final = 2
DST_HIGH: Final = 3
DST_LOW: Final = 4
PORTS: Final = 5
"""`source << 16 | destination`."""
SEQ: Final = 6
"""The sequence number as on the wire, 0 to 2^32 - 1."""
ACK: Final = 7
"""The acknowledgment number as on the wire, whether or not the ACK flag is set."""
FLAGS: Final = 8
"""The nine TCP flags in their wire positions (FIN is bit 0, AE bit 8), and from bit 16 on what is known of the packet:
CUT and the others below."""
WINDOW: Final = 9
"""The window field as on the wire, not scaled; -1 where the header was cut before it."""
LENGTH: Final = 10
"""Octets of TCP payload by the IP header, whether or not they were captured; SYN and FIN do not count."""
IP: Final = 11
"""Of the innermost IP header: bits 0-15 the identification, bit 16 there is none (NO_ID: IPv6 unless fragmented),
bits 17-24 the TTL or hop limit, bits 25-26 ECN, bit 27 do not fragment."""
TS_VALUE: Final = 12
"""TSval of the timestamps option; -1 without one."""
TS_ECHO: Final = 13
"""TSecr of the timestamps option; -1 without one."""
OPTIONS: Final = 14
"""Bits 0-16 the MSS plus 1 (0: none), bits 17-25 the window scale plus 1 (0: none), bits 26-29 the number of SACK
blocks, and above that SACK_PERMITTED, DSACK, FAST_OPEN, SIGNED and MULTIPATH."""
NUMBER: Final = 15
"""`file << 40 | frame`: the frame's number in its file, from 1 (every frame counts, TCP or not), and the ordinal of the
file among those opened, from 0. With one file it is just the frame's number."""

# FLAGS, above the nine of TCP.
TCP_FLAGS: Final = 0x1FF
CUT: Final = 1 << 16
"""Not all octets of the IP packet were captured: LENGTH is by its header."""
OPTIONS_UNREAD: Final = 1 << 17
"""The TCP options were cut or are malformed: an absent option says nothing."""
IPV6: Final = 1 << 18
"""The segment came in IPv6."""
VLAN: Final = 1 << 19
"""A VLAN tag was seen."""
TUNNEL: Final = 1 << 20
"""The segment was inside a tunnel (GRE, IP in IP, 6in4, VXLAN, ...); the addresses are the innermost."""
REASSEMBLED: Final = 1 << 21
"""Put together from IP fragments; TIME and NUMBER are those of the last to come."""
LENGTH_GUESSED: Final = 1 << 22
"""The IP header says length 0 (segmentation offload): LENGTH is by the length of the frame."""
OUTBOUND: Final = 1 << 23
"""The capture says that its own host sent this (Linux cooked captures know)."""
ICMP: Final = 1 << 24
"""Not a segment but an ICMP error that quotes one; see the module's docstring."""

# IP.
IP_ID: Final = 0xFFFF
NO_ID: Final = 1 << 16
TTL_SHIFT: Final = 17
TTL_MASK: Final = 0xFF
ECN_SHIFT: Final = 25
ECN_MASK: Final = 3
DONT_FRAGMENT: Final = 1 << 27

# OPTIONS.
MSS_MASK: Final = 0x1FFFF
WSCALE_SHIFT: Final = 17
WSCALE_MASK: Final = 0x1FF
SACK_SHIFT: Final = 26
SACK_MASK: Final = 0xF
SACK_PERMITTED: Final = 1 << 30
DSACK: Final = 1 << 31
"""The first SACK block says that something came twice (RFC 2883 4): it lies below ACK or inside the second."""
FAST_OPEN: Final = 1 << 32
"""A Fast Open option, request or cookie (RFC 7413), also in its experimental form."""
SIGNED: Final = 1 << 33
"""TCP MD5 (RFC 2385) or TCP-AO (RFC 5925)."""
MULTIPATH: Final = 1 << 34
"""Multipath TCP (RFC 8684)."""

# NUMBER.
FILE_SHIFT: Final = 40
FRAME_MASK: Final = (1 << 40) - 1


class Packet(NamedTuple):
    """One row in words, for tests and for whoever looks at few."""

    time: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    seq: int
    ack: int
    flags: int
    window: int
    length: int
    ttl: int
    ip_id: int | None
    ts_value: int | None
    ts_echo: int | None
    mss: int | None
    wscale: int | None
    sack_permitted: bool
    sack_blocks: int
    number: int
    marks: int


def packet_at(packets: Packets, i: int) -> Packet:
    """Row i of a batch in words. `flags` are TCP's own; `marks` the rest of FLAGS (CUT and the others)."""
    row = [int(value) for value in packets[i * WIDTH : (i + 1) * WIDTH]]
    unsigned = (1 << 64) - 1
    options = row[OPTIONS]
    return Packet(
        time=row[TIME],
        source=address_text(row[SRC_HIGH] & unsigned, row[SRC_LOW] & unsigned),
        source_port=row[PORTS] >> 16,
        destination=address_text(row[DST_HIGH] & unsigned, row[DST_LOW] & unsigned),
        destination_port=row[PORTS] & 0xFFFF,
        seq=row[SEQ],
        ack=row[ACK],
        flags=row[FLAGS] & TCP_FLAGS,
        window=row[WINDOW],
        length=row[LENGTH],
        ttl=row[IP] >> TTL_SHIFT & TTL_MASK,
        ip_id=None if row[IP] & NO_ID else row[IP] & IP_ID,
        ts_value=None if row[TS_VALUE] < 0 else row[TS_VALUE],
        ts_echo=None if row[TS_ECHO] < 0 else row[TS_ECHO],
        mss=(options & MSS_MASK) - 1 if options & MSS_MASK else None,
        wscale=(options >> WSCALE_SHIFT & WSCALE_MASK) - 1 if options >> WSCALE_SHIFT & WSCALE_MASK else None,
        sack_permitted=bool(options & SACK_PERMITTED),
        sack_blocks=options >> SACK_SHIFT & SACK_MASK,
        number=row[NUMBER],
        marks=row[FLAGS] & ~TCP_FLAGS,
    )
