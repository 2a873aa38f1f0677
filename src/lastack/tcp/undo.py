"""Was the loss one? What lets a sender see that it took late for lost, and give itself back what it had cut.

F-RTO after a time-out (RFC 5682, with SACK or without), Eifel by the echoed timestamp (RFC 3522, RFC 4015), and
duplicates that the receiver reports of everything that was sent again (RFC 3708). As in Linux: tcp_process_loss,
tcp_packet_delayed, tcp_try_undo_dsack.
"""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import Nanos
from lastack.native import mypyc_attr

from .congestion import Controller

# What was undone, as it is counted. Plain numbers, for they are looked at with every ACK of a recovery.
NOTHING: Final = 0
FULL: Final = 1
PARTIAL: Final = 2
REPORTED: Final = 3
TIMED_OUT: Final = 4
SPURIOUS: Final = 5


@mypyc_attr(acyclic=True)
@final
class Undo:
    """What is remembered from the moment the window was cut, and what the present ACK tells.

    `marker`: SND.UNA then, -1: there is nothing to undo. `resent`: how often something was sent again since, less
    what the receiver reports to have had twice; -1: nothing was. `stamp`: when the first retransmission left, -1:
    none has. `window`, `threshold`: as they were; a threshold of 0 must not come back.
    """

    __slots__ = (
        "delayed",
        "done",
        "frto",
        "late",
        "marker",
        "new_first",
        "new_waits",
        "original",
        "resent",
        "stamp",
        "threshold",
        "window",
    )

    def __init__(self) -> None:
        self.marker = -1
        self.resent = -1
        self.stamp: Nanos = -1
        self.window = 0
        self.threshold = 0
        self.frto = False
        """RFC 5682 is being tried."""
        self.new_first = False
        """RFC 5682 2.1 step 2: new text is to be sent now, and nothing that is thought lost."""
        # What the present ACK tells.
        self.original = False
        """It acknowledges something that was sent before the time-out and never again."""
        self.delayed = False
        """It echoes a timestamp from before the first retransmission."""
        self.late = False
        """It fills a hole with what was late and not with what was sent again."""
        self.new_waits = False
        """There is new text, and the peer's window takes it."""
        self.done: int = NOTHING

    def begin(self, una: int, out_again: int, control: Controller, reducing: bool) -> None:
        """The window is about to be cut (tcp_init_undo). `out_again`: retransmissions that are out already."""
        self.marker = una
        self.resent = out_again or -1
        kept = control.threshold
        if not reducing:
            # Three quarters of a window that was in use count as a threshold (tcp_current_ssthresh).
            kept = max(kept, (control.window >> 1) + (control.window >> 2))
        self.threshold = kept
        self.window = control.window

    def sent_again(self, now: Nanos) -> None:
        """A retransmission has left."""
        if self.stamp < 0:
            self.stamp = now
        self.resent = max(self.resent, 0) + 1

    def reported(self, end: int, segments: int) -> None:
        """The receiver has had so many segments twice, up to `end` (tcp_check_dsack)."""
        if self.marker >= 0 and self.resent > 0 and end > self.marker:
            self.resent = max(self.resent - segments, 0)

    def possible(self) -> bool:
        """Whether it is certain that nothing was lost (tcp_may_undo)."""
        return self.marker >= 0 and (self.resent == 0 or self.delayed)

    def take_back(self, control: Controller, kind: int) -> None:
        """The window and the threshold as they were (tcp_undo_cwnd_reduction)."""
        if self.threshold:
            control.window = max(control.window, self.window)
            control.threshold = max(control.threshold, self.threshold)
        self.marker = -1
        self.done = kind
