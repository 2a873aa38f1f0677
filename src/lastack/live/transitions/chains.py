"""Changes of state of the same connection, one after the other: what follows from their columns alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lastack.model.address import MAPPED_PREFIX
from lastack.model.close import Closer
from lastack.model.state import State

from .life import UNKNOWN
from .record import SAMPLED, TRANSITION, copied, is_birth
from .sorting import mixed, order_of

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
    """Rows in the order of their lives, and of time within each.

    `order`: where each is in the rows. `heads` and `tails`: where chains begin and end in that order. `number`: which
    chain each is in. `follows`: chains of the same key as the one before, which are a later life of the same socket.
    """

    order: Array
    heads: Array
    tails: Array
    number: Array
    follows: Array


def chain(rows: Array) -> Chain:
    """Put changes of state, given in order of time, into chains, each of one life: a birth begins one."""
    order = order_of(rows["cookie"])
    keys = rows["cookie"][order]
    head = np.ones(len(rows), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=head[1:])
    first = head.copy()
    head |= is_birth(rows)[order]
    heads = np.flatnonzero(head)
    tails = np.append(heads[1:], len(rows)) - 1
    return Chain(order, heads, tails, np.cumsum(head) - 1, ~first[heads])


def in_time(rows: Array) -> Array:
    """The rows in order of time: a copy, unless they were."""
    at = np.ascontiguousarray(rows["at"])
    return rows if (at[1:] >= at[:-1]).all() else copied(rows, order_of(at.view(np.uint64)))


class Moves(NamedTuple):
    """The changes of all chains as columns in their order: `since` when each was in its `before`, 0 where unknown."""

    at: Array
    since: Array
    before: Array
    after: Array

    @property
    def stayed(self) -> Array:
        """How long each had been in its `before`, in ns; -1 unknown."""
        return np.where(self.since > 0, np.maximum(self.at - self.since, 0), -1)


def moves(chain: Chain, rows: Array, lives: Array, places: Array) -> Moves:
    """What the rows say, with what was known of each chain's life, which is at its place in `lives`.

    A row of a dump does not say what was before: that is what was known. An end that may be a mini-socket's beginning
    is one to UNKNOWN.
    """
    at, before, after = (rows[name][chain.order] for name in ("at", "before", "after"))
    state = lives["state"][places]
    former = np.empty(len(at), np.uint8)
    former[1:] = after[:-1]
    former[chain.heads] = np.where(state == UNKNOWN, lives["former"][places], state)
    before = np.where(before == UNKNOWN, former, before)
    since = np.empty(len(at), np.int64)
    since[1:] = at[:-1]
    since[chain.heads] = np.where(before[chain.heads] == State.CLOSED, 0, lives["since"][places])
    since[former != before] = 0
    left = (before == State.FIN_WAIT_2) | (before == State.CLOSING)
    mini = left & (after == State.CLOSED) & (rows["flags"][chain.order] & SAMPLED == 0)
    after[mini] = UNKNOWN
    return Moves(at, since, before, after)


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
    return mixed(
        *(rows[f"{side}_addr"][half] for side in ("local", "remote") for half in ("high", "low")),
        rows["local_port"].astype(np.uint64) << np.uint64(16) | rows["remote_port"],
    )


ANYWHERE: Final = (None, MAPPED_PREFIX, 0)
"""What a listener may be bound to that a connection belongs to: its local address, or the lower half of a wildcard."""


def endpoints(rows: Array, wildcard: int | None = None) -> Array:
    """A number for each local endpoint, as in `four_tuples`, or for its port at a wildcard address (see ANYWHERE)."""
    ends = np.zeros(len(rows), TRANSITION)
    ends["local_port"] = rows["local_port"]
    if wildcard is None:
        ends["local_addr"] = rows["local_addr"]
    else:
        ends["local_addr"]["low"] = wildcard
    return four_tuples(ends)
