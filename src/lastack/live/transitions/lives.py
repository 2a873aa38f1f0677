"""Lives of connections, put together from changes of state and from dumps.

Changes come as they happen and tell everything but the mini-sockets: when the kernel makes one (TIME_WAIT, or the
FIN_WAIT_2 of a socket that nobody holds) it reports that the socket is CLOSED (net/ipv4/tcp_minisocks.c:
tcp_time_wait()). Such a life is in an unknown state until a dump has shown the mini-socket, or that there is none.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.model.close import Closer
from lastack.model.state import State
from lastack.model.time import MILLISECOND, TIME_WAIT_LENGTH

from . import chains
from .life import LIFE, UNKNOWN, Step, nothing
from .record import NUMBERED, SAMPLED, is_birth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lastack.model.record import Array

    from .seen import Look

_TICKS: Final = 20 * MILLISECOND
"""Two ticks of the slowest kernel clock (CONFIG_HZ=100)."""
_FIRST_ROOM: Final = 4_096
_EVICTED: Final = 16
"""One in so many leaves when there is no room."""


class Lives:
    """The lives of connections that are not over, and the way on from step to step.

    `most`: how many are remembered at most. Of more the longest unchanged are forgotten and counted in `forgotten`:
    what happens to them later is told without what was before. Nothing here reads a clock.
    """

    __slots__ = ("_free", "_lives", "_most", "_slot", "forgotten")

    def __init__(self, most: int = 1 << 19) -> None:
        self._most = most
        self._lives = np.zeros(min(_FIRST_ROOM, most), LIFE)
        self._free = list(range(len(self._lives)))
        self._slot: dict[int, int] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._lives) - len(self._free)

    def current(self) -> Array:
        """The lives that are not over, as LIFE rows; a copy."""
        lives: Array = self._lives[self._used()]
        return lives

    def feed(self, rows: Array) -> Step:
        """Take in changes of state, in any order: TRANSITION rows as a source's `read` gives them."""
        if not len(rows):
            return nothing()
        chain = chains.chain(rows)
        rows = chain.rows
        heads = rows[chain.heads]
        slots, superseded = self._slots_of(heads, chain.follows)
        before = self._lives[slots]
        unknown = rows["before"] == UNKNOWN  # a dump's row: what was before is what was known
        rows["before"][unknown] = chains.former_states(chain, before)[unknown]
        stayed = chains.stayed(chain, before)
        mini = chains.may_be_mini(rows)
        rows["after"][mini] = UNKNOWN
        row_slots = slots[chain.number]
        self._record(rows, row_slots, stayed)
        cookies = self._lives["cookie"][row_slots]
        rows["cookie"] = np.where(cookies, cookies, rows["cookie"])
        over = self._lives["state"][slots] == State.CLOSED
        if chain.follows.any():
            over |= self._lookup(heads["cookie"]) != slots
        order = np.argsort(rows["at"], kind="stable")
        return Step(rows[order], stayed[order], self._end(np.concatenate((slots[over], superseded))))

    def look(self, seen: Look, first: bool = False, alone: bool = False, ended: Array | None = None) -> Step:
        """Take in a dump. What happened until the dump was over must have been fed before.

        `first`: sockets not known yet were there before anything was watched, so their appearance is no change.
        `alone`: dumps are all there is, so that such sockets are as young as the last one.
        `ended`: cookies of lives that were over before the dump was taken in; if it shows them, it is behind the times.
        """
        rows = seen.rows.copy()
        slots = self._known(rows)
        new = (slots < 0) & ~np.isin(rows["cookie"], [] if ended is None else ended)
        changes = [self._moved(rows, slots, seen), self._vanished(slots[slots >= 0], seen)]
        if first:
            self._seed(rows[new])
        else:
            rows["before"][new] = State.CLOSED if alone else UNKNOWN
            changes.append(rows[new])
        return self.feed(np.concatenate(changes))

    def owners(self, changes: Array, ended: Array) -> Array:
        """The lives that changes of the last step are of, as LIFE rows in the same order; nulls where one is not known.

        `changes` and `ended` are those of the Step.
        """
        slots = self._lookup(changes["cookie"])
        found: Array = np.where(slots >= 0, self._lives[slots], np.zeros(1, LIFE))
        for name in ("key", "cookie"):
            order = np.argsort(ended[name])
            missing = np.flatnonzero(slots < 0)
            if len(ended) and len(missing):
                at = np.minimum(np.searchsorted(ended[name][order], changes["cookie"][missing]), len(ended) - 1)
                hit = ended[name][order[at]] == changes["cookie"][missing]
                found[missing[hit]] = ended[order[at[hit]]]
                slots[missing[hit]] = 0
        return found

    # -- dumps

    def _moved(self, rows: Array, slots: Array, seen: Look) -> Array:
        """The changes that known sockets have made unobserved, as their state in the dump tells."""
        known = slots >= 0
        lives, shown = self._lives[slots[known]], rows[known]
        self._lives["cookie"][slots[known]] = shown["cookie"]
        self._slot.update(zip(shown["cookie"].tolist(), slots[known].tolist(), strict=True))
        named = self._lives["namespace"][slots[known]] == 0
        self._lives["namespace"][slots[known][named]] = shown["namespace"][named]
        back = (lives["state"] == UNKNOWN) & (shown["after"] == lives["former"])
        # The mini-socket of a FIN_WAIT_2: the state goes on, and its end will be told by a dump.
        at = slots[known][back]
        self._lives["state"][at] = lives["former"][back]
        self._lives["sampled"][at] |= np.left_shift(1, lives["former"][back], dtype=np.uint16)
        moved = (shown["after"] != lives["state"]) & ~back & (lives["changed"] < seen.began)
        changes: Array = shown[moved]
        changes["cookie"] = lives["key"][moved]
        changes["before"] = np.where(lives["state"] == UNKNOWN, lives["former"], lives["state"])[moved]
        # The kernel's timer counts in ticks. Where it agrees with the moment that the socket was let go, that is exact.
        changed = lives["changed"][moved]
        changes["at"] = np.where(changes["at"] < changed + _TICKS, changed, changes["at"])
        return changes

    def _vanished(self, shown: Array, seen: Look) -> Array:
        """The ends of those that the dump should have shown and did not."""
        used = self._used()
        states = self._lives["state"][used]
        asked = np.array([seen.states >> state & 1 for state in range(16)], np.bool_)
        asked[UNKNOWN] = True
        gone = asked[states] & (self._lives["changed"][used] < seen.began)
        place = self._lives["namespace"][used]
        gone &= np.isin(place, list(seen.namespaces)) | ((place == 0) & (states == UNKNOWN))
        used = np.setdiff1d(used[gone], shown, assume_unique=True)
        lives = self._lives[used]
        changes = chains.as_changes(lives)
        pending = lives["state"] == UNKNOWN
        changes["before"] = np.where(pending, lives["former"], lives["state"])
        changes["after"], changes["flags"] = State.CLOSED, SAMPLED
        # There was no mini-socket, so the socket ended when it left; a TIME_WAIT ends by its timer, or earlier.
        timer = np.where(lives["state"] == State.TIME_WAIT, lives["since"] + TIME_WAIT_LENGTH, seen.began)
        changes["at"] = np.where(pending, lives["changed"], np.minimum(timer, seen.began))
        return changes

    def _known(self, rows: Array) -> Array:
        """The slots of the sockets of a dump, by cookie and where that is not known yet by four-tuple; -1 for none."""
        slots = self._lookup(rows["cookie"])
        used = self._used()
        nameless = used[self._lives["cookie"][used] == 0]
        if len(nameless):
            missing = np.flatnonzero(slots < 0)
            slots[missing] = chains.match(rows[missing], self._lives[nameless], nameless)
        return slots

    def _seed(self, rows: Array) -> None:
        slots = self._allocate(rows["cookie"])
        self._fill(slots, rows, np.zeros(len(rows), np.bool_))
        lives = self._lives
        lives["state"][slots], lives["since"][slots], lives["changed"][slots] = rows["after"], rows["at"], rows["at"]
        lives["sampled"][slots] = np.left_shift(1, rows["after"])
        lives["first_closer"][slots] = chains.CLOSER_SEEN[rows["after"]]

    # -- changes

    def _slots_of(self, heads: Array, follows: Array) -> tuple[Array, Array]:
        """The slot of each chain's life, a new one where it begins with the chain or was not known.

        `heads`: the first row of each chain. `follows`: those behind another chain of the same key, which therefore
        are new lives of the same socket. Second come the slots of lives whose key has passed to a new one.
        """
        births = is_birth(heads)
        slots = self._lookup(heads["cookie"])
        lost = np.flatnonzero((slots < 0) & ~births & (heads["cookie"] >= NUMBERED))
        if len(lost):
            # A source without cookies meets a socket that a dump has shown before.
            used = self._used()
            used = used[self._lives["key"][used] < NUMBERED]
            slots[lost] = chains.match(heads[lost], self._lives[used], used)
            found = lost[slots[lost] >= 0]
            self._lives["key"][slots[found]] = heads["cookie"][found]
            self._slot.update(zip(heads["cookie"][found].tolist(), slots[found].tolist(), strict=True))
        again = (slots >= 0) & births
        # A request of the SYN queue becomes a socket and keeps its cookie (inet_csk_clone_lock()).
        again &= follows | (self._lives["state"][slots] != State.SYN_RECEIVED)
        superseded = slots[again & ~follows]
        new = np.flatnonzero((slots < 0) | again)
        slots[new] = self._allocate(heads["cookie"][new])
        self._fill(slots[new], heads[new], births[new])
        return slots, superseded

    def _fill(self, slots: Array, rows: Array, births: Array) -> None:
        """What a life has from its first row on."""
        # Not every source tells of a child in SYN_RECEIVED: what lived in the SYN queue before was no socket yet.
        child = rows["before"] == State.SYN_RECEIVED
        fresh = np.zeros(len(rows), LIFE)
        fresh["key"] = rows["cookie"]
        fresh["cookie"] = np.where(rows["cookie"] < NUMBERED, rows["cookie"], 0)
        fresh["began"] = np.where(births | child, rows["at"], 0)
        fresh["first_closer"] = Closer.UNKNOWN
        fresh["opened_by"] = np.where(child, Closer.REMOTE, Closer.UNKNOWN)
        for name in ("family", "namespace", "local_addr", "remote_addr", "local_port", "remote_port"):
            fresh[name] = rows[name]
        self._lives[slots] = fresh

    def _record(self, rows: Array, slots: Array, stayed: Array) -> None:
        """Write down in the lives what the rows tell, in their order: of several for one life the last one stands."""
        lives, before, after, at = self._lives, rows["before"], rows["after"], rows["at"]
        lives["spent"][slots, before] = stayed
        lives["former"][slots], lives["state"][slots] = before, after
        lives["changed"][slots] = at
        certain = after != UNKNOWN
        lives["since"][slots[certain]] = at[certain]
        for name, table in (("opened_by", chains.OPENER), ("first_closer", chains.CLOSER)):
            told = np.flatnonzero(table[after] != Closer.UNKNOWN)
            lives[name][slots[told]] = table[after[told]]
        for name in ("local_port", "remote_port", "local_addr", "remote_addr", "namespace"):
            told = np.flatnonzero(rows["remote_port"] if "_" in name else rows[name])
            lives[name][slots[told]] = rows[name][told]
        made = np.flatnonzero(rows["pid"])
        for name in ("pid", "command", "cgroup"):
            lives[name][slots[made]] = rows[name][made]
        sampled = np.flatnonzero(rows["flags"] & SAMPLED)
        marks = np.left_shift(1, before[sampled], dtype=np.uint16) | np.left_shift(1, after[sampled], dtype=np.uint16)
        np.bitwise_or.at(lives["sampled"], slots[sampled], marks)

    # -- the table

    def _end(self, over: Array) -> Array:
        """Take the lives in these slots out of the table; their rows come back."""
        over = np.unique(over)
        ended = self._lives[over]
        self._remove(over)
        return ended

    def _remove(self, slots: Array) -> None:
        for name in ("key", "cookie"):
            keys = self._lives[name][slots]
            present = self._lookup(keys) == slots
            _drop(map(self._slot.pop, keys[present].tolist(), repeat(None)))
        self._lives["key"][slots] = 0
        self._free.extend(slots.tolist())

    def _lookup(self, keys: Array) -> Array:
        """The slots of these keys; -1 where there is none."""
        slots: Array = np.fromiter(map(self._slot.get, keys.tolist(), repeat(-1)), np.int64, len(keys))
        return slots

    def _used(self) -> Array:
        return np.flatnonzero(self._lives["key"])

    def _allocate(self, keys: Array) -> Array:
        """Room for new lives with these keys."""
        count = len(keys)
        if count > len(self._free):
            self._make_room(count)
        slots = self._free[len(self._free) - count :]
        del self._free[len(self._free) - count :]
        self._slot.update(zip(keys.tolist(), slots, strict=True))
        return np.array(slots, np.intp)

    def _make_room(self, count: int) -> None:
        former = len(self._lives)
        size = min(max(2 * former, former + count), max(self._most, count))
        if size > former:
            larger = np.zeros(size, LIFE)
            larger[:former] = self._lives
            self._lives = larger
            self._free.extend(range(former, size))
        short = count - len(self._free)
        if short > 0:
            used = self._used()
            oldest = np.argsort(self._lives["changed"][used])[: max(short, len(used) // _EVICTED)]
            self.forgotten += len(oldest)
            self._remove(used[oldest])


def _drop(them: Iterable[object]) -> None:
    """Run through an iterator for what it does."""
    for _ in them:
        pass
