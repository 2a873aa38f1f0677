"""Which two states the two ends of one connection can be in at the same moment.

Nobody can know more than the other has said. Every state is a claim about four events of its own side and two of
the peer's, and four implications hold whatever the network does: what was acknowledged has been received; what was
received has been sent; a FIN sent before the peer's was received is not one sent after it; and not both FINs were
sent after the other's was received. A pair is lawful when the two claims contradict none of them. An end that was
reset, gave up or lost its memory claims nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from lastack.model.state import State


class Claim(NamedTuple):
    """What a state says of its side: True, False, or None where it leaves it open (RFC 9293 3.3.2).

    `early`: its FIN was sent before the peer's FIN was received. `saw_early`: so was the peer's, for its FIN
    arrived without acknowledging ours (only CLOSING is reached like that).
    """

    syn_received: bool
    syn_acked: bool | None
    fin_sent: bool
    fin_received: bool
    fin_acked: bool
    early: bool | None = None
    saw_early: bool = False


CLAIMS: Final[dict[State, Claim]] = {
    State.SYN_SENT: Claim(False, False, False, False, False),
    State.SYN_RECEIVED: Claim(True, False, False, False, False),
    State.ESTABLISHED: Claim(True, True, False, False, False),
    # CLOSE in SYN_RECEIVED leads here too, before the SYN is acknowledged.
    State.FIN_WAIT_1: Claim(True, None, True, False, False, True),
    State.FIN_WAIT_2: Claim(True, True, True, False, True, True),
    State.CLOSE_WAIT: Claim(True, True, False, True, False),
    State.CLOSING: Claim(True, True, True, True, False, True, True),
    State.LAST_ACK: Claim(True, True, True, True, False, False),
    State.TIME_WAIT: Claim(True, True, True, True, True, True),
    # In order: by way of LAST_ACK or of TIME_WAIT.
    State.CLOSED: Claim(True, True, True, True, True),
}


def _contradicts(one: Claim, other: Claim) -> bool:
    """Whether `one` claims something of the other side that the other side denies."""
    return (
        (one.syn_acked is True and not other.syn_received)
        or (one.fin_acked and not other.fin_received)
        or (one.fin_received and not other.fin_sent)
        or (one.saw_early and other.early is False)
        or (one.early is False and other.early is False)
    )


def lawful_pair(one: State, other: State) -> bool:
    """Whether the two ends of a connection can be in these states, neither having ended but in order."""
    return not _contradicts(CLAIMS[one], CLAIMS[other]) and not _contradicts(CLAIMS[other], CLAIMS[one])


LAWFUL_PAIRS: Final = frozenset((min(a, b), max(a, b)) for a in CLAIMS for b in CLAIMS if lawful_pair(a, b))
"""The lawful pairs, either way round once."""
