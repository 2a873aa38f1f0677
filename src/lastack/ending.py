"""Ending connections that hang: choose, say what would be done, look again, and do it to those that are still so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from .errors import CallError
from .model.ending import Ending, Endings, Left, Means, Outcome
from .model.record import ConnectionTable
from .model.state import State

if TYPE_CHECKING:
    from .live.act import Target
    from .live.snapshot import Snapshot
    from .live.terminal import Session
    from .model.address import FourTuple
    from .model.filters import Filter
    from .model.host import Holder
    from .model.record import Array

HANGING: Final = "state fin-wait-1 state fin-wait-2 state closing state close-wait state last-ack"
"""What a filter that names no state is about: connections that are closing. TIME_WAIT, which ends by itself, is not."""


def end(
    *which: int | FourTuple,
    where: Filter | str = "",
    netns: str = "own",
    means: Means = Means.FIN,
    agreed: Callable[[Endings], bool] = lambda _: True,
) -> Endings:
    """End the connections of these IDs (cookies or four-tuples), or those that a filter chooses, or those of both.

    A filter that names no state chooses only what is closing. Listening sockets, and the connection that keeps up the
    caller's terminal, are left alone unless `which` names them. `agreed` is told what would be done, and asked; then
    all are looked at again, and what is no longer as it was chosen is left alone.
    Raises CallError where nothing says which, or an ID is nobody's, FilterError for a bad filter, and KernelError where
    the kernel refuses.
    """
    from .linux import namespaces
    from .live.snapshot import take
    from .live.sockdiag import rows_of
    from .live.terminal import session

    if not which and not str(where):
        raise CallError("say which to end: a filter (-f 'state close-wait'), an owner (--process NAME), or their IDs")
    choice = _Choice(which, _wanted(where, bool(which)), means, session())
    spaces = namespaces.choose(netns)
    chosen = [choice.among(snapshot) for snapshot in take(spaces, states=None if which else choice.wanted.states)]
    for each in which:
        if not any(rows_of(one.snapshot.connections, each).any() for one in chosen):
            raise CallError(f"no socket is called {each}; it may have ended: see lastack connections --all")
    told = _together(means, chosen)
    if not told.plan or not agreed(told):
        return told
    now = {one.snapshot.namespace: one for one in map(choice.among, take(spaces))}
    done = [_ended(one, now.get(one.snapshot.namespace), means) for one in chosen]
    return told._replace(done=tuple(ending for endings in done for ending in endings))


class _Chosen(NamedTuple):
    """What was chosen of one namespace: what to act on, a row each, and why some of it is left alone."""

    snapshot: Snapshot
    table: ConnectionTable
    targets: list[Target]
    plan: tuple[Left | None, ...]

    def states(self) -> dict[int, State]:
        """The state of every socket of the namespace by its cookie, chosen or not."""
        table = self.snapshot.connections
        return dict(zip(table.values("cookie").tolist(), _states(table), strict=True))


class _Choice(NamedTuple):
    """How connections are chosen."""

    which: tuple[int | FourTuple, ...]
    wanted: Filter
    means: Means
    session: Session

    def among(self, snapshot: Snapshot) -> _Chosen:
        """The chosen connections of a namespace."""
        table, facts = snapshot.connections, snapshot.facts
        chosen = self.wanted.matches(table, facts.taken_ns, facts.ephemeral, facts)
        if self.which:
            chosen &= _any_of(table, self.which)
        keeps_up = _keeps_up(self.session, snapshot)[chosen]
        table = table.select(chosen)
        targets = _targets(table, facts.holders)
        return _Chosen(snapshot, table, targets, tuple(self._plan(table, targets, keeps_up)))

    def _plan(self, table: ConnectionTable, targets: list[Target], keeps_up: Array) -> Iterator[Left | None]:
        from .live.act import why_left

        by_name = _any_of(table, self.which).tolist()
        inodes = table.values("inode").tolist()
        for row, target in enumerate(targets):
            if target.state is State.LISTEN and not by_name[row]:
                yield Left.LISTENING
            elif keeps_up[row] and not by_name[row]:
                yield Left.TERMINAL
            else:
                yield why_left(self.means, target.state, inodes[row], bool(target.holders))


def _keeps_up(session: Session, snapshot: Snapshot) -> Array:
    """Which connections of a namespace keep up the caller's session: at either end, where both are on this host."""
    import numpy as np

    from .diagnose.joins import found_in, keys

    table, holders = snapshot.connections, snapshot.facts.holders
    # Only one that is open both ways can.
    rows = np.flatnonzero(table.in_state(State.ESTABLISHED))
    open_ = table.select(rows)
    held = [any(h.pid in session.pids for h in holders.get(inode, ())) for inode in open_.values("inode").tolist()]
    mine = np.array(held, np.bool_) | _any_of(open_, tuple(session.connections))
    here, there = ("local_addr", "local_port"), ("remote_addr", "remote_port")
    mine |= found_in(keys(open_, *here, *there), keys(open_.select(mine), *there, *here))
    found = np.zeros(len(table), np.bool_)
    found[rows] = mine
    return found


_STATES: Final = {int(state): state for state in State}


def _states(table: ConnectionTable) -> list[State]:
    return [_STATES[state] for state in table.values("local_state").tolist()]


def _targets(table: ConnectionTable, holders: Mapping[int, tuple[Holder, ...]]) -> list[Target]:
    """What to act on, with who has a descriptor of it, one a row."""
    from .live.act import Target

    cookies, inodes = table.values("cookie").tolist(), table.values("inode").tolist()
    keepers = [holders.get(inode, ()) for inode in inodes]
    return [Target(*each) for each in zip(cookies, _states(table), keepers, strict=True)]


def _wanted(where: Filter | str, by_name: bool) -> Filter:
    from .model.filters import parse
    from .model.filters.words import ALL_STATES

    wanted = parse(where) if isinstance(where, str) else where
    return wanted if by_name or wanted.states != ALL_STATES else wanted & parse(HANGING)


def _any_of(table: ConnectionTable, which: Sequence[int | FourTuple]) -> Array:
    """The rows that one of the IDs names."""
    import numpy as np

    from .live.sockdiag import rows_of

    found: Array = np.any([np.zeros(len(table), np.bool_), *(rows_of(table, each) for each in which)], axis=0)
    return found


def _together(means: Means, chosen: Sequence[_Chosen]) -> Endings:
    """What was chosen of all namespaces, numbered through."""
    import numpy as np

    table = ConnectionTable.concatenate([one.table for one in chosen])
    table = table.with_columns({"id": np.arange(1, len(table) + 1, dtype=np.uint32)})
    unseen = dict.fromkeys(line for one in chosen for line in one.snapshot.facts.unseen)
    return Endings(means, table, tuple(left for one in chosen for left in one.plan), None, tuple(unseen))


def _ended(first: _Chosen, now: _Chosen | None, means: Means) -> list[Ending]:
    """Act on those of the first look that are still chosen at the second, in the same state."""
    from .live.act import destroy, shut

    endings: dict[int, Ending] = {}
    acted: dict[int, Target] = {}
    again = {} if now is None else {t.cookie: (t, left) for t, left in zip(now.targets, now.plan, strict=True)}
    states = {} if now is None else now.states()
    for row, (target, left) in enumerate(zip(first.targets, first.plan, strict=True)):
        state = states.get(target.cookie, State.CLOSED)
        same, left_now = again.get(target.cookie, (None, None))
        if left is not None:
            endings[row] = Ending(Outcome.LEFT, target.state, left)
        elif same is None or state is not target.state:
            endings[row] = Ending(Outcome.VANISHED if state is State.CLOSED else Outcome.CHANGED, state)
        elif left_now is not None:
            endings[row] = Ending(Outcome.LEFT, state, left_now)
        else:
            acted[row] = same
    act = shut if means is Means.FIN else destroy
    if acted:
        endings.update(zip(acted, act(list(acted.values()), first.snapshot.namespace), strict=True))
    return [endings[row] for row in range(len(first.table))]
