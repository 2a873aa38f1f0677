"""Lives of connections, put together from changes of state and from dumps.

Changes come as they happen and tell everything but the mini-sockets: when the kernel makes one (TIME_WAIT, or the
FIN_WAIT_2 of a socket that nobody holds) it reports that the socket is CLOSED (net/ipv4/tcp_minisocks.c:
tcp_time_wait()). Such a life is in an unknown state until a dump has shown the mini-socket, or that there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.model.close import Closer
from lastack.model.state import State
from lastack.model.time import MILLISECOND, TIME_WAIT_LENGTH

from . import chains
from .life import LIFE, UNKNOWN, Step, nothing
from .record import NUMBERED, SAMPLED, copied, is_birth
from .shelf import Shelf

if TYPE_CHECKING:
    from lastack.model.record import Array

    from .seen import Look

_TICKS: Final = 20 * MILLISECOND
"""Two ticks of the slowest kernel clock (CONFIG_HZ=100)."""


class Lives:
    """The lives of connections that are not over, and the way on from step to step.

    `most`: how many are remembered at most. Of more the longest unchanged are forgotten and counted in `forgotten`:
    what happens to them later is told without what was before. Nothing here reads a clock.
    """

    __slots__ = ("_shelf",)

    def __init__(self, most: int = 1 << 19) -> None:
        self._shelf = Shelf(most)

    def __len__(self) -> int:
        return len(self._shelf)

    @property
    def forgotten(self) -> int:
        """How many lives there was no room for."""
        return self._shelf.forgotten

    def current(self) -> Array:
        """The lives that are not over, as LIFE rows; a copy."""
        return copied(self._shelf.lives, self._shelf.used())

    def feed(self, rows: Array) -> Step:
        """Take in changes of state, in any order: TRANSITION rows as a source's `read` gives them.

        The array becomes this object's own: what the step gives back may be the same one, with more known.
        """
        if not len(rows):
            return nothing()
        rows = chains.in_time(rows)
        chain = chains.chain(rows)
        heads = copied(rows, chain.order[chain.heads])
        places, over = self._places_of(heads, chain.follows)
        moves = chains.moves(chain, rows, self._shelf.lives, places)
        stayed = np.empty(len(rows), np.int64)
        stayed[chain.order] = moves.stayed
        rows["before"][chain.order], rows["after"][chain.order] = moves.before, moves.after
        self._record(chain, rows, moves, places)
        ended = moves.after[chain.tails] == State.CLOSED
        if chain.follows.any():
            ended |= self._shelf.find(heads["cookie"]) != places
        return Step(rows, stayed, self._shelf.take(np.concatenate((over, places[ended]))))

    def look(self, seen: Look, first: bool = False, alone: bool = False, ended: Array | None = None) -> Step:
        """Take in a dump. What happened until the dump was over must have been fed before.

        `first`: sockets not known yet were there before anything was watched, so their appearance is no change.
        `alone`: dumps are all there is, so that such sockets are as young as the last one.
        `ended`: cookies of lives that were over before the dump was taken in; if it shows them, it is behind the times.
        """
        places = self._known(seen.rows)
        changes = [self._moved(places, seen), self._vanished(places[places >= 0], seen)]
        new = copied(seen.rows, places < 0)
        if ended is not None:
            new = new[~np.isin(new["cookie"], ended)]
        if first:
            self._seed(new)
        else:
            new["before"] = State.CLOSED if alone else UNKNOWN
            changes.append(new)
        return self.feed(np.concatenate(changes))

    def owners(self, changes: Array, ended: Array) -> Array:
        """The lives that changes of the last step are of, as LIFE rows in the same order; nulls where one is not known.

        `changes` and `ended` are those of the Step.
        """
        places = self._shelf.find(changes["cookie"])
        found = copied(self._shelf.lives, places)
        found[places < 0] = np.zeros(1, LIFE)
        for name in ("key", "cookie"):
            order = np.argsort(ended[name])
            missing = np.flatnonzero(found["key"] == 0)
            at = np.searchsorted(ended[name], changes["cookie"][missing], sorter=order)
            missing, at = missing[at < len(ended)], at[at < len(ended)]
            hit = ended[name][order[at]] == changes["cookie"][missing]
            found[missing[hit]] = ended[order[at[hit]]]
        return found

    def belong(self, cookies: Array, pids: Array, commands: Array) -> None:
        """Say whose the sockets with these cookies are, as far as no change has told it."""
        places = self._shelf.find(cookies)
        told = (places >= 0) & (self._shelf.lives["pid"][places] == 0)
        for name, values in (("pid", pids), ("command", commands)):
            self._shelf.lives[name][places[told]] = values[told]

    # -- dumps

    def _moved(self, places: Array, seen: Look) -> Array:
        """The changes that known sockets have made unobserved, as their state in the dump tells."""
        lives, known = self._shelf.lives, np.flatnonzero(places >= 0)
        places, after = places[known], seen.rows["after"][known]
        state, former = lives["state"][places], lives["former"][places]
        nameless = np.flatnonzero(lives["cookie"][places] == 0)
        shown = copied(seen.rows, known[nameless])
        for name in ("cookie", "namespace"):
            lives[name][places[nameless]] = shown[name]
        self._shelf.name(shown["cookie"], places[nameless])
        back = (state == UNKNOWN) & (after == former)
        # The mini-socket of a FIN_WAIT_2: the state goes on, and its end will be told by a dump.
        lives["state"][places[back]] = former[back]
        lives["sampled"][places[back]] |= np.left_shift(1, former[back], dtype=np.uint16)
        moved = np.flatnonzero((after != state) & ~back & (lives["changed"][places] < seen.began))
        changes = copied(seen.rows, known[moved])
        changes["cookie"] = lives["key"][places[moved]]
        changes["before"] = np.where(state == UNKNOWN, former, state)[moved]
        # The kernel's timer counts in ticks. Where it agrees with the moment that the socket was let go, that is exact.
        changed = lives["changed"][places[moved]]
        changes["at"] = np.where(changes["at"] < changed + _TICKS, changed, changes["at"])
        return changes

    def _vanished(self, shown: Array, seen: Look) -> Array:
        """The ends of those that the dump should have shown and did not."""
        used = self._shelf.used()
        states = self._shelf.lives["state"][used]
        asked = np.array([seen.states >> state & 1 for state in range(16)], np.bool_)
        asked[UNKNOWN] = True
        gone = asked[states] & (self._shelf.lives["changed"][used] < seen.began)
        place = self._shelf.lives["namespace"][used]
        gone &= (
            np.isin(place, list(seen.namespaces)) | ((place == 0) & (states == UNKNOWN)) | self._outlived(used, seen)
        )
        missing = np.ones(len(self._shelf.lives), np.bool_)
        missing[shown] = False
        lives = copied(self._shelf.lives, used[gone & missing[used]])
        changes = chains.as_changes(lives)
        pending = lives["state"] == UNKNOWN
        changes["before"] = np.where(pending, lives["former"], lives["state"])
        changes["after"], changes["flags"] = State.CLOSED, SAMPLED
        # There was no mini-socket, so the socket ended when it left; a TIME_WAIT ends by its timer, or earlier.
        timer = np.where(lives["state"] == State.TIME_WAIT, lives["since"] + TIME_WAIT_LENGTH, seen.began)
        changes["at"] = np.where(pending, lives["changed"], np.minimum(timer, seen.began))
        return changes

    def _outlived(self, places: Array, seen: Look) -> Array:
        """Which mini-sockets must be over by now, also where nobody looks any more: in a namespace that has ended."""
        lives = self._shelf.lives
        mini = np.isin(lives["state"][places], (UNKNOWN, State.TIME_WAIT))
        outlived: Array = mini & (lives["changed"][places] + TIME_WAIT_LENGTH + _TICKS < seen.began)
        return outlived

    def _known(self, rows: Array) -> Array:
        """The places of the sockets of a dump, by cookie and where that is not known yet by four-tuple; -1 for none."""
        places = self._shelf.find(rows["cookie"])
        used = self._shelf.used()
        nameless = used[self._shelf.lives["cookie"][used] == 0]
        if len(nameless):
            missing = np.flatnonzero(places < 0)
            places[missing] = chains.match(rows[missing], self._shelf.lives[nameless], nameless)
        return places

    def _seed(self, rows: Array) -> None:
        fresh = _fresh(rows, np.zeros(len(rows), np.bool_))
        # Only a TIME_WAIT tells when it began; how long others have been in their state is not known.
        fresh["since"] = np.where(rows["after"] == State.TIME_WAIT, rows["at"], 0)
        fresh["state"], fresh["changed"] = rows["after"], rows["at"]
        fresh["sampled"] = np.left_shift(1, rows["after"], dtype=np.uint16)
        fresh["first_closer"] = chains.CLOSER_SEEN[rows["after"]]
        self._shelf.put(fresh)

    # -- changes

    def _places_of(self, heads: Array, follows: Array) -> tuple[Array, Array]:
        """The place of each chain's life, a new one where it begins with the chain or was not known.

        `heads`: the first row of each chain. `follows`: those behind another chain of the same key, which therefore
        are new lives of the same socket. Second come the places of lives whose key has passed to a new one.
        """
        lives, births = self._shelf.lives, is_birth(heads)
        places = self._shelf.find(heads["cookie"])
        lost = np.flatnonzero((places < 0) & ~births & (heads["cookie"] >= NUMBERED))
        if len(lost):
            self._recognise(heads, lost, places)
        again = (places >= 0) & births
        # A request of the SYN queue becomes a socket and keeps its cookie (inet_csk_clone_lock()).
        again &= follows | (lives["state"][places] != State.SYN_RECEIVED)
        over = places[again & ~follows]
        new = np.flatnonzero((places < 0) | again)
        places[new] = self._shelf.put(_fresh(copied(heads, new), births[new]), needed=places)
        return places, over

    def _recognise(self, heads: Array, lost: Array, places: Array) -> None:
        """A source without cookies meets sockets that only a dump has shown before."""
        used = self._shelf.used()
        used = used[self._shelf.lives["key"][used] < NUMBERED]
        places[lost] = chains.match(copied(heads, lost), self._shelf.lives[used], used)
        found = lost[places[lost] >= 0]
        self._shelf.lives["key"][places[found]] = heads["cookie"][found]
        self._shelf.name(heads["cookie"][found], places[found])

    def _record(self, chain: chains.Chain, rows: Array, moves: chains.Moves, places: Array) -> None:
        """Write down in the lives what the rows tell; of several for one life the last one stands."""
        lives, last, each = self._shelf.lives, chain.tails, places[chain.number]
        lives["spent"][each, moves.before] = moves.stayed
        lives["former"][places], lives["state"][places] = moves.before[last], moves.after[last]
        lives["changed"][places] = moves.at[last]
        pending = moves.after[last] == UNKNOWN
        lives["since"][places] = np.where(pending, moves.since[last], moves.at[last])
        for name, table in (("opened_by", chains.OPENER), ("first_closer", chains.CLOSER)):
            told = np.flatnonzero(table[moves.after] != Closer.UNKNOWN)
            lives[name][each[told]] = table[moves.after[told]]
        portless = np.flatnonzero(lives["local_port"][places] == 0)
        final = copied(rows, chain.order[last[portless]])
        for name in ("local_port", "local_addr", "remote_addr", "remote_port"):
            lives[name][places[portless]] = final[name]
        made = np.flatnonzero(rows["pid"][chain.order])
        for name in ("pid", "command", "cgroup"):
            lives[name][each[made]] = rows[name][chain.order[made]]
        sampled = np.flatnonzero(rows["flags"][chain.order] & SAMPLED)
        if len(sampled):
            states = (moves.before[sampled], moves.after[sampled])
            marks = np.bitwise_or(*(np.left_shift(1, state, dtype=np.uint16) for state in states))
            np.bitwise_or.at(lives["sampled"], each[sampled], marks)
        if (rows["cookie"] >= NUMBERED).any():
            cookies = lives["cookie"][each]
            rows["cookie"][chain.order] = np.where(cookies, cookies, rows["cookie"][chain.order])


def _fresh(rows: Array, births: Array) -> Array:
    """New lives, with what they have from their first row on."""
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
    return fresh
