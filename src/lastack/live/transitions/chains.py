"""Changes of state of the same connection, one after the other: what follows from their columns alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lastack.model.close import Closer
from lastack.model.state import State

from .life import UNKNOWN
from .record import SAMPLED, TRANSITION, is_birth

if TYPE_CHECKING:
    from lastack.model.record import Array

_S = State


def _by_state(told: dict[State, Closer]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    table = np.full(256, Closer.UNKNOWN, np.uint8)
    table[list(told)] = list(told.values())
    return table


OPENER: Final = _by_state({_S.SYN_SENT: Closer.LOCAL, _S.SYN_RECEIVED: Closer.REMOTE})
"""For each state that is entered, who opened the connection."""
CLOSER: Final = _by_state({_S.FIN_WAIT_1: Closer.LOCAL, _S.CLOSE_WAIT: Closer.REMOTE, _S.CLOSING: Closer.BOTH})
"""For each state that is entered, who closed first."""
CLOSER_SEEN: Final = _by_state(
    {
        **dict.fromkeys((_S.SYN_SENT, _S.SYN_RECEIVED, _S.ESTABLISHED, _S.LISTEN), Closer.NOBODY),
        **dict.fromkeys((_S.FIN_WAIT_1, _S.FIN_WAIT_2, _S.TIME_WAIT), Closer.LOCAL),
        **dict.fromkeys((_S.CLOSE_WAIT, _S.LAST_ACK), Closer.REMOTE),
        _S.CLOSING: Closer.BOTH,
    }
)
"""For each state that a socket is found in, who closed first."""


class Chain(NamedTuple):
    """Rows sorted by life, and by time within each.

    `rows`: a copy. `number`: of each row, which chain it is in. `heads`: where each chain begins. `follows`: the chains
    that belong to the same key as the one before, and so are a later life of the same socket.
    """

    rows: Array
    number: Array
    heads: Array
    follows: Array


def chain(rows: Array) -> Chain:
    """Sort changes of state into chains, each of one life: what begins one is a birth."""
    rows = rows[np.lexsort((rows["at"], rows["cookie"]))]
    same = np.zeros(len(rows), np.bool_)
    same[1:] = rows["cookie"][1:] == rows["cookie"][:-1]
    head = ~same | is_birth(rows)
    heads = np.flatnonzero(head)
    return Chain(rows, np.cumsum(head) - 1, heads, same[heads])


def may_be_mini(rows: Array) -> Array:
    """Which ends may be the beginning of a mini-socket (net/ipv4/tcp_minisocks.c: tcp_time_wait())."""
    left = (rows["before"] == State.FIN_WAIT_2) | (rows["before"] == State.CLOSING)
    may: Array = left & (rows["after"] == State.CLOSED) & (rows["flags"] & SAMPLED == 0)
    return may


def former_states(chain: Chain, lives: Array) -> Array:
    """The state that each row's life was in before it; `lives` are those of the chains before any of the rows."""
    former = np.empty(len(chain.rows), np.uint8)
    former[1:] = chain.rows["after"][:-1]
    pending = lives["state"] == UNKNOWN
    former[chain.heads] = np.where(pending, lives["former"], lives["state"])
    return former


def stayed(chain: Chain, lives: Array) -> Array:
    """How long each row's life had been in its `before`, in ns; -1 where the beginning of that was not seen."""
    rows = chain.rows
    since, former = np.empty(len(rows), np.int64), former_states(chain, lives)
    since[1:] = rows["at"][:-1]
    since[chain.heads] = lives["since"]
    known = (since > 0) & (former == rows["before"])
    known[chain.heads] &= ~is_birth(rows[chain.heads])
    return np.where(known, np.maximum(rows["at"] - since, 0), -1)


def as_changes(lives: Array) -> Array:
    """Rows for changes of these lives; what changed is yet to be filled in."""
    changes = np.zeros(len(lives), TRANSITION)
    changes["cookie"] = lives["key"]
    for name in ("local_addr", "remote_addr", "local_port", "remote_port", "family", "namespace"):
        changes[name] = lives[name]
    return changes


def match(rows: Array, lives: Array, places: Array) -> Array:
    """For each row the place of the life with the same four-tuple, the latest of several; -1 where there is none."""
    if not len(lives):
        return np.full(len(rows), -1)
    wanted, have = four_tuples(rows), four_tuples(lives)
    order = np.lexsort((lives["changed"], have))
    at = np.searchsorted(have[order], wanted, side="right") - 1
    candidate = order[at]
    return np.where((at >= 0) & (have[candidate] == wanted), places[candidate], -1)


def four_tuples(rows: Array) -> Array:
    """A number of 64 bits for each row that the same four-tuple always has, and another one hardly ever."""
    mixed = np.zeros(len(rows), np.uint64)
    for part in (
        *(rows[f"{side}_addr"][half] for side in ("local", "remote") for half in ("high", "low")),
        rows["local_port"].astype(np.uint64) << np.uint64(16) | rows["remote_port"],
    ):
        # Multiply and fold, as in splitmix64: every bit of a part moves about half of the result.
        mixed = (mixed ^ part) * np.uint64(0xBF58_476D_1CE4_E5B9)
        mixed ^= mixed >> np.uint64(31)
    return mixed
