"""Small numbers that kernels and their callers share: what became of a frame, where counts are, what state holds."""

from __future__ import annotations

from typing import Final

# What `decode` says of a frame. 1: a row was written; 0: no row, and a count says why.
ROW: Final = 1
NOTHING: Final = 0
FRAGMENT: Final = -1
"""A fragment of an IP datagram; PLACE says where it lies."""

# Counts: 0 to 255 are IP protocols (6: rows written), then what never got as far as IP.
ARP: Final = 256
LLC: Final = 257
ETHERTYPE: Final = 258
PPP_CONTROL: Final = 259
MPLS: Final = 260
GRE: Final = 261
GENEVE: Final = 262
GTP: Final = 263
TEREDO: Final = 264
L2TP: Final = 265
LINK: Final = 266
"""A link type that is not read; each interface counts its own."""
CUT_SHORT: Final = 267
"""The snap length left too little of the headers."""
MALFORMED: Final = 268
FRAGMENTS: Final = 269
ICMP_ERRORS: Final = 270
"""Rows that are ICMP errors quoting a TCP segment."""
LAYERS: Final = 271
"""More headers inside each other than anybody means."""
COUNTS: Final = 272

# State of a walk over records, a flat sequence of numbers.
POSITION: Final = 0
"""Where the next record begins in the buffer."""
STOP: Final = 1
"""Where the octets in the buffer end."""
COUNT: Final = 2
"""Rows in the batch."""
ROOM: Final = 3
"""Rows that the batch can hold."""
FRAME: Final = 4
"""NUMBER of the last frame read: how many they were, with the file's ordinal above."""
FIRST_TIME: Final = 5
LAST_TIME: Final = 6
LIMIT: Final = 7
"""The longest record that is believed, in octets."""
BIG: Final = 8
"""1 where the file's numbers are in network order."""
HEADER: Final = 9
"""Octets of a pcap record's header."""
OLD: Final = 10
"""1 where pcap is so old that it may name the two lengths of a record in the other order."""
INTERFACES: Final = 11
PLACE: Final = 12
"""Of a FRAGMENT: where its IP header is, where its captured octets end, its marks, and its time. Of a frame that was
FOUND: where it is and ends, its octets on the wire, its time, and its interface's ordinal."""
PLACE_END: Final = 13
PLACE_MARKS: Final = 14
PLACE_TIME: Final = 15
WANTED: Final = 16
"""The number of a frame to stop before, or 0."""
FROM: Final = 17
"""Where in the buffer decoding begins: records before it are passed, and only numbered."""
UNTIL: Final = 18
"""Where in the buffer it ends: a record that begins there or later is left to others."""
PASSED: Final = 19
"""Frames that were only numbered."""
PLACE_OF: Final = 20
STATE: Final = 21

# An interface, a row of numbers in a flat table.
LINK_TYPE: Final = 0
MULTIPLY: Final = 1
"""Nanoseconds a tick, where that is whole; else 0."""
DIVIDE: Final = 2
"""Ticks a nanosecond, where that is whole; else 0."""
SHIFT: Final = 3
"""The exponent, where ticks are negative powers of two of a second; with DIVIDE, what to divide by once more."""
OFFSET: Final = 4
"""Nanoseconds to add."""
HIGHEST: Final = 5
"""The upper 32 bits of a tick count beyond which no time is believed."""
SNAP_LENGTH: Final = 6
FRAMES: Final = 7
INTERFACE: Final = 8

# Kinds of pcapng blocks that matter (draft-ietf-opsawg-pcapng 4): three speak of what follows, three hold packets.
SECTION: Final = 0x0A0D0D0A
DESCRIPTION: Final = 1
STATISTICS: Final = 5
OBSOLETE_PACKET: Final = 2
SIMPLE_PACKET: Final = 3
ENHANCED_PACKET: Final = 6

# Why a walk ended.
MORE: Final = 0
"""The buffer holds no further whole record."""
FULL: Final = 1
"""The batch is full."""
FRAGMENTED: Final = 2
"""A fragment must be looked at; its frame has been passed."""
BLOCK: Final = 3
"""A pcapng block that is not a packet is next."""
BROKEN: Final = 4
"""The next record cannot be one."""
FOUND: Final = 5
"""The frame that is WANTED is next, and PLACE says where."""
REACHED: Final = 6
"""The next record is at UNTIL or beyond it."""

FARTHEST: Final = 1 << 62
"""The latest time that is believed, in nanoseconds: the year 2116. What claims to be later is taken for this."""
