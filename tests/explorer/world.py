"""Two hosts, a network of bounded capacity between them, and their applications: one state that can be acted on.

Time passes only when a timer goes off; a delivery takes none. A network's delay is that timers may go off first.
Each direction has a queue, in order, and a limbo for what was delayed or duplicated: it may arrive at any moment
later, until a wait of a maximum segment lifetime or more empties the network.
"""

from __future__ import annotations

from typing import Final, NamedTuple, cast

from lastack.errors import CallError
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.stack import Dice, Listener, Socket, Stack
from lastack.stack.isn import Secrets
from lastack.tcp import Event, Observer
from lastack.tcp.timers import NEVER
from lastack.wire import Packet, Segment, address_bytes

from .scenario import MAXIMUM_SEGMENT_LIFETIME, Scenario

ADDRESSES: Final = ("10.0.0.1", "10.0.0.2")
_PACKED: Final = tuple(address_bytes(address) for address in ADDRESSES)
PORTS: Final = (4000, 5000)
START: Final[Nanos] = 1_000_000_000_000
FIRST_ISN: Final = (0xFFFF_FFFE, 0x7FFF_FFFE)
"""So that the numbers of A wrap with its first octet, and those of B pass the middle of the number space."""
READ_SIZE: Final = 64
TOO_OFTEN: Final = 100

_UNSURE: Final = (State.SYN_SENT, State.SYN_RECEIVED)
_GIVES_WAY: Final = ((State.TIME_WAIT, State.SYN_RECEIVED), (State.TIME_WAIT, State.SYN_SENT))
ORDERLY: Final = frozenset({"rcv ACK of FIN", "2 MSL have passed"})


class Action(NamedTuple):
    """What happens next. `side` 0 is A, 1 is B; for the network, the side that sent. `at`: which one in limbo."""

    what: str
    side: int = 0
    at: int = 0

    def __str__(self) -> str:
        which = f" #{self.at}" if self.what == "late" else ""
        return self.what if self.what == "timer" else f"{self.what} {'AB'[self.side]}{which}"


class Move(NamedTuple):
    """A change of state as the observer saw it."""

    side: int
    number: int
    before: State
    after: State
    cause: str


class Recorder(Observer):
    """Keeps the changes of state of one side until the world has looked at them."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.moves: list[Move] = []

    def moved(self, number: int, before: State, after: State, cause: str, now: Nanos) -> None:
        self.moves.append(Move(self.side, number, before, after, cause))


class Pinned:
    """Initial sequence numbers that depend on nothing but how many were drawn, so that equal states are equal."""

    __slots__ = ("clock", "next", "step")

    def __init__(self, first: int, step: int, clock: int) -> None:
        self.next = first
        self.step = step
        self.clock = clock

    def initial(self, key: bytes, now: Nanos) -> int:
        isn = self.next
        self.next = (self.next + self.step) & 0xFFFF_FFFF
        return isn

    def timestamp_offset(self, local: bytes, remote: bytes) -> int:
        return self.clock

    def digest(self, data: bytes) -> int:
        return 0


class Life:
    """One connection of one side, and what its application did and saw: the ghost that the invariants speak of.

    `number` is the connection's ordinal on its host, over crashes; `peer` that of the connection it is with, 0 while
    there is none. `end`: how it ended, see the constants. `read` are the octets that the application got.
    """

    __slots__ = ("accepted", "closed", "end", "eof", "error", "number", "peer", "read", "sent", "shut", "socket")

    ALIVE, IN_ORDER, BROKEN, CRASHED = range(4)

    def __init__(self, number: int, socket: Socket, accepted: bool) -> None:
        self.number = number
        self.socket: Socket | None = socket
        self.accepted = accepted
        self.peer = 0
        self.sent = 0
        self.read = b""
        self.eof = False
        self.error = False
        self.shut = False
        """It has said that it sends nothing more: shutdown() or close()."""
        self.closed = False
        self.end = Life.ALIVE


class Side:
    """A host, its connections so far, and what its application may still do."""

    __slots__ = ("crashes", "index", "listener", "lives", "opens", "sends", "stack")

    def __init__(self, index: int, scenario: Scenario, recorder: Recorder) -> None:
        self.index = index
        self.lives: list[Life] = []
        self.opens = scenario.opens[index]
        self.sends = scenario.sends[index]
        self.crashes = scenario.crashes[index]
        self.listener: Listener | None = None
        self.boot(scenario, recorder, FIRST_ISN[index], 0)

    def boot(self, scenario: Scenario, recorder: Recorder, isn: int, number: int) -> None:
        """Begin with nothing but the configuration; connections are numbered on from `number`."""
        self.stack = Stack([ADDRESSES[self.index]], scenario.settings, Dice(1), recorder)
        # After a crash the clock of the timestamps has moved back: nothing else is promised.
        clock = 0x1000_0000 - (number << 20)
        self.stack.host.secrets = cast(Secrets, Pinned(isn, scenario.isn_steps[self.index], clock))
        self.stack.host.numbers = number
        self.listener = None
        if scenario.listens and self.index == 1:
            self.listener = self.stack.listen(PORTS[1], options=scenario.options)

    @property
    def life(self) -> Life | None:
        """The latest connection."""
        return self.lives[-1] if self.lives else None

    def find(self, number: int) -> Life | None:
        """The connection of that number."""
        for life in self.lives:
            if life.number == number:
                return life
        return None

    def state(self, life: Life) -> State:
        """The state of a connection, rows that wait included."""
        if life.socket is None or life.end != Life.ALIVE:
            return State.CLOSED
        return self.stack.state_of(life.socket)


Item = tuple[int, Segment]
"""What is on its way: the number of the connection that sent it, or 0, and the segment, which never changes."""


class World:
    """Everything there is. `queues` and `limbos`: what is on its way from either side.

    `frozen` and `told` are of a copy whose side is, so far, that of the original: its octets and its description.
    """

    __slots__ = (
        "delay",
        "duplicate",
        "early",
        "frozen",
        "limbos",
        "lose",
        "now",
        "overflowed",
        "queues",
        "recorders",
        "scenario",
        "sides",
        "told",
    )

    def __init__(self, scenario: Scenario, recorders: tuple[Recorder, Recorder]) -> None:
        self.scenario = scenario
        self.now: Nanos = START
        self.recorders = recorders
        self.sides: list[Side] = []
        self.queues: tuple[list[Item], list[Item]] = ([], [])
        self.limbos: tuple[list[Item], list[Item]] = ([], [])
        self.lose = scenario.lose
        self.duplicate = scenario.duplicate
        self.delay = scenario.delay
        self.early = scenario.early
        self.overflowed = False
        """A queue was full: what came then was lost, and that is not counted."""
        self.frozen: list[bytes | None] = [None, None]
        self.told: list[str | None] = [None, None]

    @staticmethod
    def begin(scenario: Scenario) -> World:
        """Both hosts are up, and nothing has happened."""
        world = World(scenario, (Recorder(0), Recorder(1)))
        world.sides = [Side(index, scenario, world.recorders[index]) for index in (0, 1)]
        return world

    # -- what may happen

    def actions(self) -> list[Action]:
        """Everything that may happen next, within the bounds."""
        found: list[Action] = []
        for side in self.sides:
            index = side.index
            if self.queues[index]:
                found.append(Action("deliver", index))
                found.extend(
                    Action(what, index)
                    for what, left in (("lose", self.lose), ("duplicate", self.duplicate), ("delay", self.delay))
                    if left
                )
            found.extend(Action("late", index, at) for at in range(len(self.limbos[index])))
            if self._may_open(side):
                found.append(Action("open", index))
            if side.crashes:
                found.append(Action("crash", index))
            found.extend(Action(what, index) for what in self._calls(side))
        if self.deadline() < NEVER and (self.early or not any(self.queues)):
            found.append(Action("timer"))
        return found

    def _may_open(self, side: Side) -> bool:
        """Whether the application may connect: at first, and after it has closed."""
        life = side.life
        if not side.opens or life is None:
            return bool(side.opens)
        if self.scenario.again_after_order:
            return life.end == Life.IN_ORDER or side.state(life) is State.TIME_WAIT
        return life.closed or life.end != Life.ALIVE

    def _calls(self, side: Side) -> list[str]:
        """What the application may do with its connection."""
        life = side.life
        if life is None or life.socket is None or not life.accepted or life.closed:
            return []
        calls: list[str] = []
        state = side.state(life)
        waits = self.scenario.follows == side.index and not life.eof
        if side.sends and not life.shut and state in (State.ESTABLISHED, State.CLOSE_WAIT, State.SYN_SENT):
            calls.append("send")
        if not self.scenario.reads_at_once and life.socket.connection.receiver.unread:
            calls.append("read")
        if not waits:
            half = not life.shut and state is not State.SYN_SENT and state is not State.CLOSED
            calls.extend(what for what in self.scenario.ends if what != "shutdown" or half)
        return calls

    def touched(self, action: Action) -> list[int]:
        """The sides that an action may change."""
        if action.what == "timer":
            at = self.deadline()
            return [side.index for side in self.sides if side.stack.deadline() <= at]
        if action.what in ("lose", "delay"):
            return []
        return [1 - action.side if action.what in _NETWORK else action.side]

    def misuse(self) -> int:
        """How often the network, or a lack of power, has kept a segment from arriving in time."""
        scenario, crashes = self.scenario, sum(side.crashes for side in self.sides)
        used = scenario.lose - self.lose + scenario.delay - self.delay + scenario.early - self.early
        return used + sum(scenario.crashes) - crashes + (TOO_OFTEN if self.overflowed else 0)

    def deadline(self) -> Nanos:
        """When the next timer goes off on either side."""
        return min(side.stack.deadline() for side in self.sides)

    # -- what happens

    def apply(self, action: Action) -> list[Move]:
        """Let it happen, and everything that follows at once. The changes of state that it made."""
        side = self.sides[action.side]
        for recorder in self.recorders:
            recorder.moves.clear()
        if action.what == "timer":
            self._timer()
        elif action.what in _NETWORK:
            self._network(action)
        else:
            self._application(action.what, side)
        for one in self.sides:
            self._flush(one)
        moves = [move for recorder in self.recorders for move in recorder.moves]
        for move in moves:
            life = self.sides[move.side].find(move.number)
            if life is not None and (move.after is State.CLOSED or move.before is State.TIME_WAIT):
                # TIME_WAIT that gives way to a new connection has ended as well as one that has lasted.
                orderly = move.cause in ORDERLY or (move.before, move.after) in _GIVES_WAY
                life.end = Life.IN_ORDER if orderly else Life.BROKEN
        for side in self.sides:
            for life in side.lives:
                if life.end and life.socket is not None and not life.socket.connection.receiver.unread:
                    life.socket = None
        return moves

    def _timer(self) -> None:
        """Sleep until the next timer goes off; a long sleep empties the network."""
        if any(self.queues):
            self.early -= 1
        at = self.deadline()
        if at - self.now >= MAXIMUM_SEGMENT_LIFETIME:
            for items in (*self.queues, *self.limbos):
                items.clear()
        self.now = at
        self.told = [None, None]
        for side in self.sides:
            if side.stack.deadline() <= at:
                side.stack.on_timeout(at)

    def _network(self, action: Action) -> None:
        what, index = action.what, action.side
        queue, limbo = self.queues[index], self.limbos[index]
        if what == "late":
            self._deliver(1 - index, limbo.pop(action.at))
            return
        item = queue.pop(0)
        if what == "lose":
            self.lose -= 1
        elif what == "delay":
            self.delay -= 1
            limbo.append(item)
        elif what == "duplicate":
            self.duplicate -= 1
            limbo.append(item)
            self._deliver(1 - index, item)
        else:
            self._deliver(1 - index, item)

    def _deliver(self, index: int, item: Item) -> None:
        """A segment arrives; see whether it made a connection, or told one with whom it is."""
        number, segment = item
        side = self.sides[index]
        life = side.life
        before = State.CLOSED if life is None else side.state(life)
        known = side.stack.host.numbers
        side.stack.on_packet(Packet(_PACKED[1 - index], _PACKED[index], segment), self.now)
        if side.stack.host.numbers > known:
            (socket,) = side.stack.host.sockets.values()
            made = Life(side.stack.host.numbers, socket, accepted=False)
            made.peer = number
            side.lives.append(made)
        elif life is not None and before in _UNSURE and side.state(life) not in (before, State.CLOSED):
            life.peer = number

    def _application(self, what: str, side: Side) -> None:
        life = side.life
        if what == "open":
            self._open(side)
        elif what == "crash":
            self._crash(side)
        elif life is not None and life.socket is not None:
            if what == "send":
                side.sends -= 1
                life.socket.send(octet(side.index, life.number, life.sent), self.now)
                life.sent += 1
            elif what == "read":
                self._read(life)
            elif what == "shutdown":
                life.shut = True
                life.socket.shutdown("write", self.now)
            elif what == "close":
                life.shut = life.closed = True
                life.socket.close(self.now)
            elif what == "abort":
                life.shut = life.closed = True
                life.socket.abort(self.now)

    def _open(self, side: Side) -> None:
        here, there = side.index, 1 - side.index
        local, remote = (ADDRESSES[here], PORTS[here]), (ADDRESSES[there], PORTS[there])
        socket = side.stack.connect(remote, self.now, self.scenario.options.copy(), local)
        side.opens -= 1
        side.lives.append(Life(side.stack.host.numbers, socket, accepted=True))

    def _crash(self, side: Side) -> None:
        """Power is lost and comes back: what was on its way is still on its way."""
        side.crashes -= 1
        secrets = cast(Pinned, side.stack.host.secrets)
        number = side.stack.host.numbers
        for life in side.lives:
            life.socket = None
            life.closed = True
            if life.end == Life.ALIVE:
                life.end = Life.CRASHED
        side.boot(self.scenario, self.recorders[side.index], secrets.next, number)

    # -- what follows at once

    def _flush(self, side: Side) -> None:
        """Take what the stack has to send, and let the application read what it was told of, until there is no more."""
        stack, queue = side.stack, self.queues[side.index]
        while True:
            while (packet := stack.poll(self.now)) is not None:
                if packet.segment is None or len(queue) >= self.scenario.capacity:
                    self.overflowed = True
                    continue
                life = side.life
                queue.append((life.number if life is not None else 0, packet.segment))
            notice = stack.next_event()
            if notice is None:
                return
            if isinstance(notice.source, Listener):
                while (socket := stack.accept(notice.source)) is not None:
                    for life in side.lives:
                        life.accepted = life.accepted or life.socket is socket
            elif self.scenario.reads_at_once or notice.event in (Event.ERROR, Event.CLOSED):
                for life in side.lives:
                    if life.socket is notice.source and not life.closed:
                        self._read(life)

    def _read(self, life: Life) -> None:
        assert life.socket is not None
        try:
            while (data := life.socket.receive(READ_SIZE, self.now)) is not None:
                if not data:
                    life.eof = life.eof or not life.error
                    return
                life.read += data
        except CallError:
            life.error = True


_NETWORK: Final = frozenset({"deliver", "lose", "duplicate", "delay", "late"})


def octet(side: int, number: int, index: int) -> bytes:
    """The octet that a connection's application sends as its `index`-th: none is like another."""
    return bytes((side << 7 | (number & 15) << 3 | index & 7,))
