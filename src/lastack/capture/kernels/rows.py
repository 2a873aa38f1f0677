"""What is kept of a connection: one row of ROW integers in a flat sequence, and the bits in them.

Side 0 is whoever sent the first segment that was seen, side 1 the other; who opened is a bit of META. The first eight
numbers (one cache line) name the connection; each side follows with eight that every segment touches and eight that
few do; the rest is about both.
"""

from __future__ import annotations

from typing import Final

ROW: Final = 48

HIGH_0: Final = 0
LOW_0: Final = 1
HIGH_1: Final = 2
LOW_1: Final = 3
ENDS: Final = 4
"""`port of side 0 << 16 | port of side 1`."""
META: Final = 5
FIRST: Final = 6
LAST: Final = 7

SIDE: Final = 8
"""Where side 0 begins, and how long a side is: side s is at `SIDE + (s << SIDE_SHIFT)`."""
SIDE_SHIFT: Final = 4
NEXT: Final = 0
"""What follows all that this side sent without a hole."""
TOP: Final = 1
"""What follows the highest that this side sent."""
ACKED: Final = 2
"""The highest acknowledgment that this side sent; -1: none."""
OCTETS: Final = 3
SEGMENTS: Final = 4
"""Segments, and from bit 32 on retransmissions."""
HEARD: Final = 5
"""When this side's last segment passed."""
IDS: Final = 6
"""The last three IP identifications (16 bits each, the latest lowest), the TTL of the last segment from bit 48."""
SINCE: Final = 7
"""When this side's present state began."""
BASE: Final = 8
"""Its initial sequence number; without a SYN (SYN_SEEN) the first number that was seen; -1 before both."""
FIN_AT: Final = 9
"""The sequence number of its FIN; -1: none was seen."""
SPENT_1: Final = 10
"""Time in FIN_WAIT_1 or CLOSE_WAIT, once that is over."""
SPENT_2: Final = 11
"""Time in FIN_WAIT_2, CLOSING or LAST_ACK, once that is over."""
WAIT: Final = 12
"""In TIME_WAIT: when the wait last began anew. Earlier: when a hole in what this side sent was first seen."""
CONTROLS: Final = 13
"""SYNs, FINs (from bit 20 on) and RSTs (from bit 40 on)."""
EVENTS: Final = 14
"""Keepalive probes, zero windows, last ACKs sent again: 20 bits each, and PASSIVE and WAS_CLOSING."""
WAITED: Final = 15
"""Time in TIME_WAIT, once that is over; -1 before."""

SYN_TIME: Final = 40
"""When the last SYN before the first answer passed."""
ANSWER_TIME: Final = 41
"""When the last SYN,ACK before the first ACK of it passed."""
ROUND_TRIP: Final = 42
"""From SYN to the ACK of the SYN,ACK; -1: not known."""
NUMBER: Final = 43
"""The number of its first frame."""
REUSED: Final = 44
"""From its end to the next SYN of the same four-tuple; -1: there was none."""
BEFORE: Final = 45
"""The row of the incarnation before this one, plus 1, while it is not certain what the SYN did to that; 0: none."""
RESET: Final = 46
"""The cause of the RST that ended it (5 bits), the state it met (4 bits, from bit 5), its sender (bit 9), and for how
many microseconds that one had been silent (from bit 16)."""
CLOSE: Final = 47
"""Segments from the first FIN or RST on (32 bits), retransmissions in a row without an answer (10 bits), and duplicates
of the capture (21 bits)."""

# META, one bit for each side where it says so: `BIT << side`.
STATE_BITS: Final = 4
"""The states, side 0's lowest."""
STATES: Final = 0xFF
NEAR: Final = 1 << 8
"""The capture was made at this side: what passes has reached it."""
PROVEN: Final = 1 << 10
"""This side's FIN, if it sent one, was seen: nothing of it is missing that could have held one."""
SYN_SEEN: Final = 1 << 12
HOLE: Final = 1 << 14
ZERO_WINDOW: Final = 1 << 16
PROBED: Final = 1 << 18
"""This side has sent a keepalive probe, and nothing came back since."""
DOUBTED: Final = 1 << 20
"""This side has sent a RST or SYN that the other will not believe, but challenge."""
SPOKE: Final = 1 << 22
FIRST_CLOSER: Final = 1 << 24
FIN_EARLY: Final = 1 << 26
"""Its FIN came before data that belongs in front of it."""
GAP: Final = 1 << 28
"""The capture lacks segments of this side: the other acknowledged them."""
HELD: Final = 1 << 30
"""The ACK of its FIN passed after a FIN that it has to receive first."""
AGAIN: Final = 1 << 32
"""It retransmits, and nothing came back since."""
OPENER: Final = 1 << 34
"""It sent the first SYN. Both bits: the SYNs crossed."""
RST_BY: Final = 1 << 36
"""Its RST ended the connection."""
CROSSED: Final = 1 << 38
"""The FINs crossed."""
SIX: Final = 1 << 39
"""IPv6 on the wire."""
SURE: Final = 1 << 40
"""Its whole handshake was seen: what came before cannot matter."""
SUPERSEDED: Final = 1 << 41
"""Another incarnation has its four-tuple."""
BY_RST: Final = 1 << 42
"""A RST ended it."""
FORGED: Final = 1 << 43
"""A RST came from neither side."""
ICMP_ENDED: Final = 1 << 44
COOKED: Final = 1 << 45
"""The capture itself says which side is near."""
GIVEN_UP: Final = 1 << 46
"""It left for lack of memory, not because it had ended."""
ANSWERED: Final = 1 << 47
"""A SYN,ACK was seen."""
ESTABLISHED_ONCE: Final = 1 << 48
"""Both sides were established at some time."""
SYN_FIRST: Final = 1 << 49
"""Its first segment was a SYN without an ACK."""
FILLED: Final = 1 << 50
"""Something came into a hole of this side."""
UNREAD_TEXT: Final = 1 << 52
"""Since this side's FIN, the other has sent more text."""

UNUSUAL: Final = 3 * (HOLE | ZERO_WINDOW | PROBED | DOUBTED | AGAIN | HELD)
"""With any of these a segment needs a closer look."""
USUAL: Final = STATES | UNUSUAL | 3 * (PROVEN | SPOKE)
OPEN_AND_USUAL: Final = 0x11 | 3 * (PROVEN | SPOKE)
"""META & USUAL of a connection that is established, with nothing the matter."""

# CONTROLS and EVENTS: three counts of 20 bits, that stop at the highest.
COUNT_MASK: Final = (1 << 20) - 1
FINS_AT: Final = 20
RSTS_AT: Final = 40
ONE_RST: Final = 1 << RSTS_AT
# SEGMENTS and CLOSE.
ONE_MORE: Final = 1 << 32
LOW_32: Final = (1 << 32) - 1
TRIES: Final = 1023 << 32
DUPLICATES_AT: Final = 42
DUPLICATES: Final = ((1 << 21) - 1) << DUPLICATES_AT
# EVENTS.
ZERO_WINDOWS_AT: Final = 20
LAST_ACKS_AT: Final = 40
PASSIVE: Final = 1 << 60
"""It was in CLOSE_WAIT."""
WAS_CLOSING: Final = 1 << 61

# The causes of a RST.
REFUSED: Final = 1
HANDSHAKE_ABORT: Final = 2
DATA_AFTER_CLOSE: Final = 3
ABORT: Final = 4
ABORT_OR_UNREAD: Final = 5
NO_CONNECTION: Final = 6
ASSASSINATION: Final = 7
CHALLENGE: Final = 8
KEEPALIVE: Final = 9
MIDDLEBOX: Final = 10
CAUSES: Final = (
    "",
    "refused",
    "handshake-abort",
    "data-after-close",
    "abort",
    "abort-or-unread-data",
    "no-connection",
    "time-wait-assassination",
    "challenge-ack",
    "keepalive",
    "middlebox",
)

# What a segment meant, as `step` answers.
DUPLICATE: Final = 1
RETRANSMITTED: Final = 1 << 1
OUT_OF_ORDER: Final = 1 << 2
PROBE: Final = 1 << 3
PROBE_ANSWER: Final = 1 << 4
WINDOW_PROBE: Final = 1 << 5
WINDOW_CLOSED: Final = 1 << 6
WINDOW_OPENED: Final = 1 << 7
SYN_AGAIN: Final = 1 << 8
FIN_AGAIN: Final = 1 << 9
LAST_ACK_AGAIN: Final = 1 << 10
WAIT_RESTARTED: Final = 1 << 11
FIN_TOO_EARLY: Final = 1 << 12
UNSEEN_ACKED: Final = 1 << 13
CHALLENGED: Final = 1 << 14
UNBELIEVED: Final = 1 << 15
"""A RST or SYN that is not at the exact number, and so will be challenged or dropped."""
WAS_RESET: Final = 1 << 16
NOBODYS: Final = 1 << 17
"""A RST that neither side sent."""
TAKEN_BACK: Final = 1 << 18
"""The sender's state went back: it repeats what it was thought to have an ACK of."""
LATE: Final = 1 << 19
"""After the end."""
UNREACHABLE: Final = 1 << 20
OF_OLD: Final = 1 << 21
"""It ends the incarnation before, and counts there."""

SECOND: Final = 1_000_000_000
WAIT_LENGTH: Final = 60 * SECOND
QUARANTINE: Final = 120 * SECOND
"""A connection that has ended takes late segments for so long after its last; then the four-tuple is new."""
OVERTAKING: Final = 3_000_000
"""What fills a hole within so many ns was overtaken on its way; later, it was sent again."""
TWICE_WITHIN: Final = 100_000_000
"""A packet that the capture has twice passes the second time within so many ns."""
NEAR_TIME: Final = 100_000
"""Who answers within so many ns is near."""

# The book: what the loop keeps between batches.
BOOK: Final = 8
USED: Final = 0
"""Rows in use."""
ROOM: Final = 1
"""Rows that there is room for."""
SLOT_MASK: Final = 2
NOW: Final = 3
"""The latest instant seen."""
LOGGED: Final = 4
"""Numbers in the log."""
LOG_ROOM: Final = 5
SKIPPED: Final = 6
"""Bits of the partition's mask from bit 8, of its own number below: a kernel minds only its own four-tuples."""
NOTES: Final = 7
"""What the last segment was, where it was not a usual one."""
