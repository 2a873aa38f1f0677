"""Copies of a world as octets: what can change is kept, what cannot is shared by all copies.

Statistics are not kept: nothing that the engine does may depend on them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO
from struct import Struct
from typing import Any, Final, NamedTuple

from lastack.model.time import Nanos
from lastack.stack import Dice
from lastack.stack.cookies import Cookies
from lastack.stack.path import Paths
from lastack.stack.ports import Ports, PortSet, Uses
from lastack.stack.rows import Rows
from lastack.tcp import Counters, Settings, SocketOptions
from lastack.tcp.challenges import Challenges
from lastack.tcp.tcb import Tally

from .world import Item, Recorder, Side, World

_SHARED: Final[list[Any]] = []
"""What the copies of all worlds of this process have in common, by number."""
_PORT_OFFSETS: Final[list[int]] = []


def _recall(number: int) -> Any:
    return _SHARED[number]


def _share(one: Any) -> tuple[Callable[[int], Any], tuple[int]]:
    _SHARED.append(one)
    return _recall, (len(_SHARED) - 1,)


def _port_set(pages: dict[int, int]) -> PortSet:
    ports = PortSet()
    for place, page in pages.items():
        ports.pages[place] = page
    return ports


def _ports(uses: dict[bytes, Uses], bound: PortSet) -> Ports:
    ports = Ports.__new__(Ports)
    ports._uses, ports.bound = uses, bound
    ports._offsets = _PORT_OFFSETS
    ports._secrets = _SHARED[0]
    return ports


def _tally(opened_at: int) -> Tally:
    return Tally(opened_at)


class Frozen(NamedTuple):
    """A world that cannot change: the clock, what the network may still do and carries, and either side as octets."""

    now: Nanos
    left: tuple[int, int, int, int, bool]
    ways: tuple[tuple[Item, ...], ...]
    a: bytes
    b: bytes


class Copier:
    """Freezes and thaws the worlds of one scenario."""

    def __init__(self, world: World) -> None:
        self.scenario = world.scenario
        self.recorders = world.recorders
        host = world.sides[0].stack.host
        if not _SHARED:
            _SHARED.append(host.secrets)
            _PORT_OFFSETS.extend(Ports(host.secrets, Dice(1))._offsets)
        recorders = {id(one): _share(one) for one in world.recorders}
        settings = _share(world.scenario.settings)
        options, counters = _share(world.scenario.options), _share(Counters())
        # There is no IPv6 here: its rows stay empty, and can be shared.
        nothing: dict[int, tuple[Any, ...]] = {12: (Rows, (12,)), 36: _share(host.six)}
        cookies, paths, challenges = _share(host.cookies), _share(host.paths), _share(host.challenges)
        self._table: dict[type, Callable[[Any], Any]] = {
            Recorder: lambda one: recorders[id(one)],
            Settings: lambda one: settings,
            SocketOptions: lambda one: options,
            Counters: lambda one: counters,
            Cookies: lambda one: cookies,
            Paths: lambda one: paths,
            Challenges: lambda one: challenges,
            Ports: lambda one: (_ports, (one._uses, one.bound)),
            PortSet: lambda one: (_port_set, ({i: page for i, page in enumerate(one.pages) if page},)),
            Struct: lambda one: (Struct, (one.format,)),
            Rows: lambda one: one.__reduce_ex__(4) if one.count else nothing[one.key_size],
            Tally: lambda one: (_tally, (one.opened_at,)),
        }

    def freeze(self, world: World) -> Frozen:
        """The world, to be thawed any number of times."""
        sides = [world.frozen[side.index] or self._freeze(side) for side in world.sides]
        left = (world.lose, world.duplicate, world.delay, world.early, world.overflowed)
        queues, limbos = world.queues, world.limbos
        ways = (tuple(queues[0]), tuple(queues[1]), tuple(limbos[0]), tuple(limbos[1]))
        return Frozen(world.now, left, ways, sides[0], sides[1])

    def _freeze(self, side: Side) -> bytes:
        buffer = BytesIO()
        pickler = pickle.Pickler(buffer, 5)
        pickler.dispatch_table = self._table
        pickler.dump(side)
        return buffer.getvalue()

    def thaw(self, frozen: Frozen) -> World:
        """A world like the one that was frozen."""
        return self._thaw(frozen, [pickle.loads(frozen.a), pickle.loads(frozen.b)])

    def another(self, frozen: Frozen, like: World, touched: list[int]) -> World:
        """The same, but with the sides of `like`, thawed from it before, where they will not be touched."""
        octets = (frozen.a, frozen.b)
        world = self._thaw(frozen, [pickle.loads(octets[i]) if i in touched else like.sides[i] for i in (0, 1)])
        for index in (0, 1):
            if index not in touched:
                world.frozen[index] = octets[index]
                world.told[index] = like.told[index]
        return world

    def _thaw(self, frozen: Frozen, sides: list[Side]) -> World:
        world = World(self.scenario, self.recorders)
        world.sides = sides
        world.now = frozen.now
        world.lose, world.duplicate, world.delay, world.early, world.overflowed = frozen.left
        a, b, late_a, late_b = frozen.ways
        world.queues, world.limbos = (list(a), list(b)), (list(late_a), list(late_b))
        return world
