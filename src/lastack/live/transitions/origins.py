"""Which network namespace a socket is in, where the events do not tell.

A socket that connects or listens is in the namespace of the thread that calls (unless it was handed over to one of
another, which is rare); a listener's child is where the listener is; what was there before the watching began was in a
dump. So the only sockets in doubt are those of threads that have ended before they could be looked at, told with
namespace 0, and children of listeners on the same address and port in several namespaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.live import sockdiag
from lastack.model.state import State

from . import chains, seen
from .places import Places
from .sorting import distinct
from .source import Namespaces

if TYPE_CHECKING:
    from lastack.model.record import Array

ELSEWHERE: Final = 1
"""In place of an inode: a namespace that is none of those asked for."""


class Origins:
    """Finds the namespaces of sockets; `namespaces` are those asked for. Raises KernelError as `seen.look` does."""

    __slots__ = ("_asked", "_before", "_listeners")

    def __init__(self, namespaces: Namespaces) -> None:
        self._asked = namespaces
        dump = seen.look(Places(namespaces).present(), sockdiag.ALL).rows
        listening = dump["after"] == State.LISTEN
        self._listeners: dict[int, int] = {}
        self._add_listeners(dump[listening])
        rest = dump[~listening]
        self._before = dict(zip(chains.four_tuples(rest).tolist(), rest["namespace"].tolist(), strict=True))

    def of_births(self, rows: Array) -> Array:
        """The namespaces of the sockets that these rows bring about; 0 unknown."""
        called = rows["namespace"].astype(np.int64)
        self._add_listeners(rows[rows["after"] == State.LISTEN])
        children = np.flatnonzero(rows["before"] == State.LISTEN)
        ends = rows["local_addr"][children]
        first, which = distinct(ends["high"], ends["low"], rows["local_port"][children])
        few = rows[children[first]]
        unknown = 0 if self._asked is None else ELSEWHERE
        found = np.full(len(few), unknown, np.int64)
        for wildcard in chains.ANYWHERE:
            told = [self._listeners.get(key, unknown) for key in chains.endpoints(few, wildcard).tolist()]
            found = np.where(found == unknown, told, found)
        called[children] = found[which]
        return called

    def of_strangers(self, rows: Array) -> Array:
        """The namespaces of sockets that were there before the watching began, by a later change of each."""
        unknown = 0 if self._asked is None else ELSEWHERE
        keys = chains.four_tuples(rows).tolist()
        found = np.array([self._before.get(key, unknown) for key in keys], np.int64)
        listening = rows["before"] == State.LISTEN
        ends = chains.endpoints(rows[listening]).tolist()
        found[listening] = [self._listeners.get(key, unknown) for key in ends]
        return found

    def wanted(self, namespaces: Array) -> Array:
        """A mask of the rows in namespaces that were asked for, or may be."""
        if self._asked is None:
            return np.ones(len(namespaces), np.bool_)
        return np.isin(namespaces, [0, *self._asked])

    def _add_listeners(self, rows: Array) -> None:
        asked = (
            rows["namespace"]
            if self._asked is None
            else np.where(self.wanted(rows["namespace"]), rows["namespace"], ELSEWHERE)
        )
        for key, place in zip(chains.endpoints(rows).tolist(), asked.tolist(), strict=True):
            # Where one of those asked for listens at the same place as a foreign one, the child may well be its.
            if place != ELSEWHERE or key not in self._listeners:
                self._listeners[key] = place
