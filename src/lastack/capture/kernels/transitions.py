"""The model's TRANSITIONS as one table of integers: what a state becomes by an event that a capture can see."""

from __future__ import annotations

from typing import Final

from lastack.model.state import TRANSITIONS

SYN_COMES: Final = 0
ANSWER_COMES: Final = 1
SYN_ACKED: Final = 2
SENDS_FIN: Final = 3
FIN_COMES: Final = 4
FIN_ACKED: Final = 5
ENDS_AT_ONCE: Final = 6
SENDS_SYN: Final = 7

EVENTS: Final = {
    "rcv SYN": SYN_COMES,
    "rcv SYN,ACK": ANSWER_COMES,
    "rcv ACK of SYN": SYN_ACKED,
    "CLOSE": SENDS_FIN,
    "rcv FIN": FIN_COMES,
    "rcv ACK of FIN": FIN_ACKED,
    "rcv RST, ABORT or time-out": ENDS_AT_ONCE,
    "active OPEN": SENDS_SYN,
    "SEND": SENDS_SYN,
}
"""The events of the model that segments show. A CLOSE shows by its FIN."""

_table = [0] * 128
for _change in TRANSITIONS:
    _event = EVENTS.get(_change.event)
    if _event is not None and (_event != SENDS_FIN or _change.sends == "FIN"):
        _table[_change.before << 3 | _event] = int(_change.after)

AFTER: Final[tuple[int, ...]] = tuple(_table)
"""`AFTER[state << 3 | event]`: the next state, 0 where the event has no place in the state."""
