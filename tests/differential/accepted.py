"""Where the engine differs from Linux, and is meant to. `python -m tests.differential.accepted` writes the page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from .play import Case, Outcome

PAGE: Final = Path(__file__).parents[2] / "docs" / "differences.md"


class Difference(NamedTuple):
    """One difference: in which situations, at which events (patterns over the whole name), in which fields."""

    name: str
    situations: str
    events: str
    fields: tuple[str, ...]
    kernel: str
    engine: str
    reason: str

    def covers(self, case: Case) -> bool:
        """Whether a case is one that it speaks of."""
        return bool(re.fullmatch(self.situations, case.situation) and re.fullmatch(self.events, case.event))


_ALL: Final = Outcome._fields

ACCEPTED: Final = (
    Difference(
        "urgent-after-the-fin",
        "CLOSE_WAIT.*|CLOSING.*|LAST_ACK.*|TIME_WAIT, held",
        "URG.*|urgent read.*|urgent waited for",
        ("calls", "last_calls"),
        "notes an urgent octet that lies behind the peer's FIN, and gives it to who asks for it",
        "has no urgent octet there",
        "RFC 9293 3.10.7.4, sixth: after a FIN this should not occur, and the URG is ignored.",
    ),
    Difference(
        "push-in-a-burst",
        ".*",
        "write much.*",
        ("answer", "last_answer"),
        "sets PSH on the last segment of each of its aggregates of several segments (TSO)",
        "sets PSH where what is queued ends",
        "RFC 9293 3.9.1.2: PSH belongs on the last segment of what is queued. Where aggregates end depends on the "
        "device and the pacing rate, not on TCP.",
    ),
    Difference(
        "send-while-opening",
        "SYN_SENT|SYN_RECEIVED, crossed",
        "write.*|window shut, write, window open|shutdown write, then write",
        ("calls", "then", "last", "answer", "probed", "last_answer"),
        "makes send() wait: EAGAIN without blocking",
        "queues the octets, and sends them when the connection is open; after shutdown() says EPIPE",
        "RFC 9293 3.10.2: in SYN-SENT and SYN-RECEIVED data are queued for transmission after ESTABLISHED. What "
        "leaves in the end is the same.",
    ),
    Difference(
        "text-on-the-syn-ack",
        "SYN_SENT",
        "SYN,ACK with text|SYN,FIN,ACK of everything",
        _ALL,
        "ignores text and FIN on a SYN,ACK, which the peer must send again",
        "takes them in",
        "RFC 9293 3.10.7.3, fourth: where there are other controls or text in the segment, go on with the sixth step.",
    ),
    Difference(
        "offer-on-crossing-syns",
        "SYN_SENT",
        "SYN.*",
        ("answer",),
        "offers every option again when it answers a crossing SYN",
        "offers only what that SYN offered",
        "RFC 7323 sections 2.2 and 3.2: an answer carries these options only if the SYN did. What is agreed in the "
        "end is the same, for both look at the peer's SYN alone.",
    ),
    Difference(
        "crossing-syn-unacknowledged",
        "SYN_SENT|SYN_RECEIVED, crossed",
        "ACK of half|SYN behind.*",
        _ALL,
        "goes to ESTABLISHED after crossing SYNs on an ACK that does not acknowledge its SYN",
        "answers such an ACK with a RST, and stays in SYN_RECEIVED",
        "RFC 9293 3.10.7.4, fifth: only SND.UNA < SEG.ACK <= SND.NXT enters ESTABLISHED. tcp_ack() takes a duplicate "
        'ACK for an acceptable one. (In "SYN behind" it is the probe that follows.)',
    ),
    Difference(
        "refused-after-crossing-syns",
        "SYN_RECEIVED, crossed",
        ".*RST.*|every flag",
        ("last_calls",),
        "says ECONNRESET to an active opener that is reset after crossing SYNs",
        "says ECONNREFUSED",
        "RFC 9293 3.10.7.4, second: if the connection was opened actively it was refused, and the user is told so.",
    ),
    Difference(
        "shutdown-while-opening",
        "SYN_SENT",
        "shutdown.*",
        ("last_calls",),
        "turns the socket into one that was never connected: reading says ENOTCONN",
        "says the end of file, as for any connection that is over",
        "A connection of the engine is not a socket that could connect again (tcp_disconnect). State, segments and "
        "the error that is told first are the same.",
    ),
    Difference(
        "second-fin",
        "CLOSE_WAIT.*|CLOSING.*|LAST_ACK.*",
        "FIN with text seen before",
        _ALL,
        "takes a second FIN, one number beyond the first, for text, and moves RCV.NXT over it",
        "answers it as what was had before",
        "RFC 9293 3.10.7.4, eighth: nothing follows a FIN. Only a peer that contradicts itself sends this.",
    ),
    Difference(
        "sack-of-what-was-taken",
        "FIN_WAIT_[12]",
        "FIN before its text",
        ("answer",),
        "acknowledges a FIN while the ranges that it ended are still listed as SACK blocks",
        "lists no range below the ACK",
        "RFC 2018 section 4: blocks are of data beyond the ACK. tcp_fin() acknowledges before it empties the queue.",
    ),
    Difference(
        "sack-beyond-the-fin",
        "ESTABLISHED, holed",
        "FIN behind text ahead|FIN before its text|close, then FIN",
        ("answer",),
        "reports the number of a FIN as a duplicate of text that lies beyond it, or such text after the FIN was taken",
        "reports neither",
        "The peer has sent text beyond its own FIN: there is no right answer, and the FIN is honoured by both.",
    ),
)
"""Short on purpose. Every entry must still be seen; every other difference fails a test."""


def page(seen: Iterable[Difference] = ACCEPTED) -> str:
    """docs/differences.md."""
    parts = [
        "# Differences from Linux\n\nThe engine is played the same scripts as a Linux kernel behind a TUN device, and "
        "must answer with the same flags, numbers, windows and options, be in the same state with the same queues and "
        "timer, and tell its owner the same (`tests/differential`). These are all differences that are left. A test "
        "fails where another one appears, and where one of these is gone.\n\n"
        "Losses by chance are told to both, too (`tests/differential/losses.py`). Two things are left out there, for "
        "they are no matter of TCP: what hangs on microseconds (which of two segments that left at once RACK takes for "
        "the earlier), and duplicates reported of what is still out, for Linux joins sacked segments, and takes all "
        "of them for sent again where one was.\n"
    ]
    parts += [
        f"## {one.name}\n\n- Linux {one.kernel}.\n- The engine {one.engine}.\n- Why: {one.reason}\n" for one in seen
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
