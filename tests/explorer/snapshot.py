"""Copies of a world as octets: what can change is kept, what cannot is shared by all copies.

Statistics are not kept: nothing that the engine does may depend on them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from lastack.stack import Dice
from lastack.stack.cookies import Cookies
from lastack.stack.path import Paths
from lastack.stack.ports import Ports
from lastack.stack.timewait import Rows
from lastack.tcp import Counters, Settings, SocketOptions
from lastack.tcp.tcb import Tally
from lastack.wire import Segment

from .scenario import Scenario
from .world import Recorder, World

_SHARED: Final[list[Any]] = []
"""What the copies of all worlds of this process have in common, by number."""
_PORT_OFFSETS: Final[list[int]] = []


def _recall(number: int) -> Any:
    return _SHARED[number]


def _share(one: Any) -> tuple[Callable[[int], Any], tuple[int]]:
    _SHARED.append(one)
    return _recall, (len(_SHARED) - 1,)


def _ports(uses: dict[bytes, dict[int, int]], bound: set[int]) -> Ports:
    ports = Ports.__new__(Ports)
    ports._uses, ports.bound = uses, bound
    ports._offsets = _PORT_OFFSETS
    ports._secrets = _SHARED[0]
    return ports


def _tally(opened_at: int) -> Tally:
    return Tally(opened_at)


def _segment(fields: tuple[Any, ...], options: tuple[Any, ...]) -> Segment:
    segment = Segment(*fields)
    segment.mss, segment.window_scale, segment.sack_permitted, segment.ts_value, segment.ts_echo = options
    return segment


def _reduce_segment(one: Segment) -> tuple[Any, ...]:
    fields = (one.src_port, one.dst_port, one.seq, one.ack, one.flags, one.window, one.payload)
    return _segment, (fields, (one.mss, one.window_scale, one.sack_permitted, one.ts_value, one.ts_echo))


class Copier:
    """Freezes and thaws the worlds of one scenario."""

    def __init__(self, world: World) -> None:
        host = world.sides[0].stack.host
        if not _SHARED:
            _SHARED.append(host.secrets)
            _PORT_OFFSETS.extend(Ports(host.secrets, Dice(1))._offsets)
        recorders = {id(one): _share(one) for one in world.recorders}
        scenario, settings = _share(world.scenario), _share(world.scenario.settings)
        options, counters = _share(world.scenario.options), _share(Counters())
        cookies, paths = _share(host.cookies), _share(host.paths)
        self._table: dict[type, Callable[[Any], Any]] = {
            Recorder: lambda one: recorders[id(one)],
            Scenario: lambda one: scenario,
            Settings: lambda one: settings,
            SocketOptions: lambda one: options,
            Counters: lambda one: counters,
            Cookies: lambda one: cookies,
            Paths: lambda one: paths,
            Ports: lambda one: (_ports, (one._uses, one.bound)),
            Rows: lambda one: one.__reduce_ex__(4) if one.count else (Rows, (one.key_size,)),
            Tally: lambda one: (_tally, (one.opened_at,)),
            Segment: _reduce_segment,
        }

    def freeze(self, world: World) -> bytes:
        """The world as octets."""
        buffer = BytesIO()
        pickler = pickle.Pickler(buffer, 5)
        pickler.dispatch_table = self._table
        pickler.dump(world)
        return buffer.getvalue()

    @staticmethod
    def thaw(frozen: bytes) -> World:
        """A world like the one that was frozen."""
        world: World = pickle.loads(frozen)
        return world
