"""Breadth first through everything that can happen, and from every state to the end."""

from __future__ import annotations

import gc
from array import array
from collections import Counter
from dataclasses import dataclass, field
from time import process_time
from typing import Final, NamedTuple

from lastack.errors import CallError
from lastack.model.state import State
from lastack.model.time import SECOND, Nanos

from .canonical import bounds, describe, digest
from .invariants import Broken, check, check_poll_contract, marks
from .progress import Astray, Ways, check_over, next_action
from .quiet import classify
from .scenario import Scenario
from .snapshot import Copier, Frozen
from .world import Action, Life, Move, World


class Violation(AssertionError):
    """An invariant is broken in a state that can be reached; `path` is a shortest way there."""

    def __init__(self, scenario: str, path: list[Action], reason: str) -> None:
        steps = "\n".join(f"  {number:2}. {action}" for number, action in enumerate(path, 1))
        super().__init__(f"{scenario}: {reason}\n{steps}")
        self.path = path
        self.reason = reason


@dataclass
class Report:
    """What an exploration came to. `complete`: nothing within the bounds was left out."""

    scenario: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    complete: bool = False
    followed: int = 0
    """States that were led to their end, those met only on the way there included."""
    longest: Nanos = 0
    """The longest virtual time that any state needed to its end, once the network behaved and everybody closed."""
    pairs: Counter[tuple[State, State]] = field(default_factory=Counter)
    moves: Counter[tuple[State, State, str]] = field(default_factory=Counter)
    quiet: Counter[str] = field(default_factory=Counter)

    def row(self) -> str:
        """One line of the table in the documentation."""
        return (
            f"{self.scenario:<14} {self.states:>9,} {self.transitions:>11,} {self.depth:>6} "
            f"{'yes' if self.complete else 'no':>4} {len(self.pairs):>6} {len(self.moves):>6} "
            f"{self.longest / SECOND:>6.0f} s {self.seconds:>6.0f} s"
        )


HEADING: Final = (
    f"{'scenario':<14} {'states':>9} {'transitions':>11} {'depth':>6} "
    f"{'all':>4} {'pairs':>6} {'moves':>6} {'to end':>8} {'time':>8}"
)


class _Open(NamedTuple):
    """A state that was found and not looked behind yet. `node` is its number for the ways to the end."""

    number: int
    node: int
    actions: list[Action]
    policy: tuple[Action | None, Action | None]
    frozen: Frozen


class Explorer:
    """One scenario, breadth first. `contract`: also ask every state twice what it has to send."""

    def __init__(self, scenario: Scenario, contract: bool = True) -> None:
        self.scenario = scenario
        self.report = Report(scenario.name)
        self.contract = contract
        self._ways = (Ways(closing=True), Ways(closing=False))
        self._nodes: dict[bytes, int] = {}
        self._first = array("i")
        """The first state of each node: nodes are states without the bounds."""
        self._known: set[bytes] = set()
        self._parents = array("i")
        self._actions: list[Action] = []
        start = World.begin(scenario)
        self.copier = Copier(start)
        self._layer: list[_Open] = []
        self._found(start, -1, Action("start"), self._layer)

    def run(self, at_most: int | None = None, seconds: float | None = None) -> Report:
        """Go on until everything is seen, or so many states are, or so much processor time is used."""
        report, began = self.report, process_time()
        # Worlds are garbage at once, and in cycles; what is kept must not be looked through every time.
        before = gc.get_threshold()
        gc.set_threshold(100_000, 100, 1000)
        try:
            self._search(at_most, None if seconds is None else began + seconds)
            self._settle()
        finally:
            gc.set_threshold(*before)
        report.states = len(self._known)
        report.followed = len(self._nodes)
        report.seconds += process_time() - began
        return report

    def _search(self, at_most: int | None, until: float | None) -> None:
        while self._layer:
            following: list[_Open] = []
            self.report.depth += 1
            while self._layer:
                late = until is not None and process_time() > until
                if late or (at_most is not None and len(self._known) >= at_most):
                    self._layer.extend(following)
                    return
                self._expand(self._layer.pop(), following)
            self._layer = following
        self.report.complete = True

    def _expand(self, state: _Open, following: list[_Open]) -> None:
        """Every state that follows one."""
        original = self.copier.thaw(state.frozen)
        describe(original)
        for action in state.actions:
            world = self.copier.another(state.frozen, original, original.touched(action))
            began = world.now
            try:
                moves = self._step(world, action)
            except CallError:
                # The call is refused, and changes nothing.
                continue
            except Exception as error:
                raise self._violation(state.number, error, action) from error
            self.report.transitions += 1
            for move in moves:
                self.report.moves[move.before, move.after, move.cause] += 1
            node = self._found(world, state.number, action, following)
            for way, chosen in zip(self._ways, state.policy, strict=True):
                if chosen == action:
                    way.note(state.node, node, world.now - began)

    def _step(self, world: World, action: Action) -> list[Move]:
        before = marks(world)
        moves = world.apply(action)
        check(world, moves, before)
        return moves

    def _found(self, world: World, parent: int, action: Action, into: list[_Open]) -> int:
        """Keep a state, if it is new, and ask it everything that is asked once. Its node."""
        description = describe(world)
        node = self._node(digest(description), len(self._known))
        name = digest(description, bounds(world))
        if name in self._known:
            return node
        number = len(self._known)
        self._known.add(name)
        self._parents.append(parent)
        self._actions.append(action)
        policy = (next_action(world, closing=True), next_action(world, closing=False))
        found = _Open(number, node, world.actions(), policy, self.copier.freeze(world))
        into.append(found)
        try:
            self._ask(world, node, policy)
        except Exception as error:
            raise self._violation(number, error) from error
        for way, chosen in zip(self._ways, policy, strict=True):
            if chosen is not None and chosen not in found.actions:
                self._lead(way, found)
        return node

    def _node(self, name: bytes, number: int) -> int:
        node = self._nodes.setdefault(name, len(self._nodes))
        if node == len(self._first):
            self._first.append(number)
        return node

    def _ask(self, world: World, node: int, policy: tuple[Action | None, Action | None]) -> None:
        self._count(world)
        quiet = classify(world)
        if quiet is not None:
            self.report.quiet[quiet] += 1
        for way, chosen in zip(self._ways, policy, strict=True):
            if chosen is None:
                way.end(node)
                if way.closing:
                    check_over(world)
        if self.contract:
            check_poll_contract(world)

    def _count(self, world: World) -> None:
        """Note the pair of states, where both ends know each other."""
        a, b = world.sides
        if a.life is None or b.life is None or a.life.end > Life.IN_ORDER or b.life.end > Life.IN_ORDER:
            return
        if a.life.peer in (0, b.life.number) and b.life.peer in (0, a.life.number):
            one, two = a.state(a.life), b.state(b.life)
            self.report.pairs[min(one, two), max(one, two)] += 1

    # -- to the end

    def _settle(self) -> None:
        """Lead every state to its end, those first that were found and not looked behind."""
        for way in self._ways:
            for state in self._layer:
                self._lead(way, state)
            try:
                longest, _ = way.settle()
            except Astray as error:
                raise self._violation(self._first[error.state], error) from error
            if way.closing:
                self.report.longest = longest

    def _lead(self, way: Ways, state: _Open) -> None:
        """Step by step, until what follows is known."""
        world, node = self.copier.thaw(state.frozen), state.node
        while not way.known(node):
            action = next_action(world, way.closing)
            began = world.now
            try:
                if action is None:
                    way.end(node)
                    classify(world)
                    if way.closing:
                        check_over(world)
                    return
                world.told = [None, None]
                self._step(world, action)
            except Exception as error:
                raise self._violation(state.number, error) from error
            following = self._node(digest(describe(world)), state.number)
            way.note(node, following, world.now - began)
            node = following

    # -- how it came to this

    def path(self, number: int) -> list[Action]:
        """A shortest way to a state."""
        found: list[Action] = []
        while number > 0:
            found.append(self._actions[number])
            number = self._parents[number]
        return found[::-1]

    def _violation(self, number: int, error: Exception, *last: Action) -> Violation:
        reason = str(error) if isinstance(error, Broken | Astray) else f"{type(error).__name__}: {error}"
        return Violation(self.scenario.name, [*self.path(number), *last], reason)
