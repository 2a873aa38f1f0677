"""Everything that two stacks and a bad network can do to each other, within bounds: about a minute of it."""

from __future__ import annotations

from functools import cache

import pytest

import lastack.tcp.tcb
from lastack.errors import CallError
from lastack.model.state import TRANSITIONS, State

from .canonical import bounds, describe, digest
from .explore import Explorer, Report, Violation
from .mutations import MUTATIONS, Mutation
from .pairs import CLAIMS, LAWFUL_PAIRS, lawful_pair
from .quiet import GONE, HALF_CLOSED, HALF_OPEN, IDLE
from .scenario import Scenario
from .scenarios import ABORT, AGAIN, ALL, BOTH_OPEN, CRASH, EXCHANGE, HASTY, STAMPED
from .snapshot import Copier, Frozen
from .world import World

pytestmark = pytest.mark.skipif(
    not str(lastack.tcp.tcb.__file__).endswith(".py"), reason="the states of compiled objects cannot be copied"
)
FEWEST = 1000
"""States of the smallest scenario: a call that stops working must not go unseen."""


@cache
def explored(name: str) -> Report:
    (scenario,) = (one for one in ALL if one.name == name)
    return Explorer(scenario).run()


@pytest.mark.parametrize("scenario", ALL, ids=lambda one: one.name)
def test_no_state_that_can_be_reached_breaks_an_invariant_and_each_leads_to_an_end(scenario: Scenario) -> None:
    report = explored(scenario.name)
    print(report.row())
    assert report.complete
    assert report.states >= FEWEST
    assert report.followed
    assert report.pairs.keys() <= LAWFUL_PAIRS


def test_every_lawful_pair_of_states_is_met() -> None:
    assert {pair for one in ALL for pair in explored(one.name).pairs} == LAWFUL_PAIRS


def test_every_transition_of_figure_5_is_met_but_those_that_need_another_call() -> None:
    met = {(before, after) for one in ALL for before, after, _ in explored(one.name).moves}
    figure = {(one.before, one.after) for one in TRANSITIONS if one.source == "RFC 9293 figure 5"}
    # A listener is no connection here, and SEND does not open one.
    never = {(State.CLOSED, State.LISTEN), (State.LISTEN, State.SYN_SENT), (State.LISTEN, State.CLOSED)}
    assert figure - met == never


def test_both_ends_may_open_and_close_at_once() -> None:
    report = explored(BOTH_OPEN.name)
    assert report.moves[State.SYN_SENT, State.SYN_RECEIVED, "rcv SYN"]
    assert report.pairs[State.SYN_RECEIVED, State.SYN_RECEIVED]
    assert report.pairs[State.CLOSING, State.CLOSING]
    assert report.pairs[State.TIME_WAIT, State.TIME_WAIT]


def test_the_only_deadlocks_are_those_that_tcp_has() -> None:
    met = {name for one in ALL for name in explored(one.name).quiet}
    assert met == {GONE, IDLE, HALF_CLOSED, HALF_OPEN}


def test_a_crash_is_found_out_by_a_reset() -> None:
    report = explored(CRASH.name)
    assert report.quiet[HALF_OPEN]
    assert report.moves[State.ESTABLISHED, State.CLOSED, "rcv RST"]
    assert report.moves[State.LAST_ACK, State.CLOSED, "rcv RST"]


def test_without_a_wait_the_last_ack_is_missed() -> None:
    # RFC 9293 3.6: the TIME_WAIT is there for the FIN that comes again, which otherwise meets a RST.
    forgotten = (State.CLOSED, State.LAST_ACK)
    assert explored(HASTY.name).pairs[forgotten]
    assert explored(HASTY.name).moves[State.LAST_ACK, State.CLOSED, "rcv RST"]
    assert not any(explored(one.name).pairs[forgotten] for one in ALL if one is not HASTY)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name.replace(" ", "-"))
def test_a_broken_engine_is_found_out(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.apply(monkeypatch)
    with pytest.raises(Violation) as caught:
        Explorer(mutation.scenario).run()
    assert mutation.says in caught.value.reason


@pytest.mark.parametrize("scenario", [EXCHANGE, ABORT, STAMPED, CRASH, AGAIN], ids=lambda one: one.name)
def test_states_that_are_taken_for_the_same_behave_the_same(scenario: Scenario) -> None:
    start = World.begin(scenario)
    copier = Copier(start)
    known = {_name(start): copier.freeze(start)}
    layer, compared = list(known.values()), 0
    while layer and len(known) < 800:
        following: list[Frozen] = []
        for frozen in layer:
            for one in _after(copier, frozen):
                other = known.setdefault(_name(copier.thaw(one)), one)
                if other is one:
                    following.append(one)
                elif other != one:
                    compared += 1
                    names = [[_name(copier.thaw(after)) for after in _after(copier, each)] for each in (one, other)]
                    assert names[0] == names[1]
        layer = following
    assert compared > 20


def _name(world: World) -> bytes:
    return digest(describe(world), bounds(world))


def _after(copier: Copier, frozen: Frozen) -> list[Frozen]:
    """Everything that follows a state, in the order of its actions."""
    found: list[Frozen] = []
    for action in copier.thaw(frozen).actions():
        world = copier.thaw(frozen)
        try:
            world.apply(action)
        except CallError:
            continue
        found.append(copier.freeze(world))
    return found


def test_the_lawful_pairs_are_the_same_either_way_round() -> None:
    assert len(LAWFUL_PAIRS) == 23
    assert all(lawful_pair(a, b) == lawful_pair(b, a) for a in CLAIMS for b in CLAIMS)
    assert not lawful_pair(State.ESTABLISHED, State.FIN_WAIT_2)
    assert not lawful_pair(State.LAST_ACK, State.CLOSING)
