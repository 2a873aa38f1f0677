"""Lives put together from changes and dumps that are made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.live.transitions.life import LIFE, UNKNOWN, Step, joined
from lastack.live.transitions.lives import Lives
from lastack.live.transitions.record import NUMBERED, SAMPLED, TRANSITION
from lastack.live.transitions.seen import MINI, Look
from lastack.model.close import Closer
from lastack.model.state import State, bits
from lastack.model.time import MILLISECOND, SECOND

T = 1_800_000_000 * SECOND
HERE = 4_026_531_840
S = State
ACTIVE = (S.CLOSED, S.SYN_SENT, S.ESTABLISHED, S.FIN_WAIT_1, S.FIN_WAIT_2, S.CLOSED)
PASSIVE = (S.LISTEN, S.SYN_RECEIVED, S.ESTABLISHED, S.CLOSE_WAIT, S.LAST_ACK, S.CLOSED)

Rows = Any


def change(
    at: int, cookie: int, before: int, after: int, *, pid: int = 0, flags: int = 0, port: int = 0, namespace: int = HERE
) -> Rows:
    row = np.zeros(1, TRANSITION)
    row["at"], row["cookie"], row["before"], row["after"] = at, cookie, before, after
    row["pid"], row["command"], row["flags"], row["family"] = pid, b"nginx" if pid else b"", flags, 4
    row["local_port"], row["remote_port"], row["namespace"] = port or 40_000 + (cookie & 0xFFFF) % 20_000, 80, namespace
    row["local_addr"]["low"] = row["remote_addr"]["low"] = 0xFFFF_7F00_0001
    return row


def path(cookie: int, states: Sequence[int], begin: int = T, step: int = SECOND) -> list[Rows]:
    """The changes through these states, one a second."""
    return [change(begin + number * step, cookie, *pair) for number, pair in enumerate(pairwise(states))]


def rows(*changes: Rows) -> Rows:
    return np.concatenate([np.zeros(0, TRANSITION), *changes])


def dump(began: int, *seen: tuple[int, int, int], states: int = MINI, port: int = 0, namespace: int = HERE) -> Look:
    """A dump that shows (cookie, state, since when)."""
    found = [
        change(at, cookie, UNKNOWN, state, flags=SAMPLED, port=port, namespace=namespace) for cookie, state, at in seen
    ]
    return Look(rows(*found), began, states, frozenset({namespace}))


def told(step: Step) -> list[tuple[Any, ...]]:
    """(before, after, stayed in s, sampled) of each change."""
    return [
        (
            State(row["before"]).name if row["before"] else None,
            State(row["after"]).name if row["after"] else None,
            None if stayed < 0 else stayed / SECOND,
            bool(row["flags"] & SAMPLED),
        )
        for row, stayed in zip(step.changes, step.stayed.tolist(), strict=True)
    ]


def the_life(lives: Lives) -> Any:
    (life,) = lives.current()
    return life


def test_a_change_tells_how_long_the_state_before_it_lasted() -> None:
    lives = Lives()
    assert told(lives.feed(rows(*path(7, PASSIVE)))) == [
        ("LISTEN", "SYN_RECEIVED", None, False),
        ("SYN_RECEIVED", "ESTABLISHED", 1, False),
        ("ESTABLISHED", "CLOSE_WAIT", 1, False),
        ("CLOSE_WAIT", "LAST_ACK", 1, False),
        ("LAST_ACK", "CLOSED", 1, False),
    ]
    assert len(lives) == 0


def test_a_life_that_is_over_tells_its_times_and_who_closed() -> None:
    (ended,) = Lives().feed(rows(*path(7, PASSIVE))).ended
    assert (ended["cookie"], ended["began"], ended["state"]) == (7, T, S.CLOSED)
    assert (ended["opened_by"], ended["first_closer"], ended["sampled"]) == (Closer.REMOTE, Closer.REMOTE, 0)
    assert ended["spent"][S.CLOSE_WAIT] == ended["spent"][S.LAST_ACK] == SECOND
    assert ended["spent"][S.FIN_WAIT_1] == 0


@pytest.mark.parametrize(
    ("states", "closer"),
    [
        (ACTIVE, Closer.LOCAL),
        (PASSIVE, Closer.REMOTE),
        ((S.CLOSED, S.SYN_SENT, S.ESTABLISHED, S.FIN_WAIT_1, S.CLOSING), Closer.BOTH),
        ((S.CLOSED, S.SYN_SENT, S.CLOSED), Closer.UNKNOWN),
    ],
)
def test_who_closed_first_follows_from_the_states(states: Sequence[State], closer: Closer) -> None:
    lives = Lives()
    step = lives.feed(rows(*path(7, states)))
    (life,) = (*step.ended, *lives.current())
    assert life["first_closer"] == closer


def test_what_was_before_the_watching_is_unknown() -> None:
    lives = Lives()
    assert told(lives.feed(change(T, 7, S.ESTABLISHED, S.CLOSE_WAIT))) == [("ESTABLISHED", "CLOSE_WAIT", None, False)]
    life = the_life(lives)
    assert (life["began"], life["since"], life["spent"][S.ESTABLISHED]) == (0, T, -1)


def test_a_lost_change_makes_the_time_unknown_and_nothing_wrong() -> None:
    lives = Lives()
    lives.feed(change(T, 7, S.SYN_SENT, S.ESTABLISHED))
    step = lives.feed(change(T + SECOND, 7, S.CLOSE_WAIT, S.LAST_ACK))
    assert told(step) == [("CLOSE_WAIT", "LAST_ACK", None, False)]


def test_the_process_is_the_last_that_made_a_change_by_a_call() -> None:
    lives = Lives()
    lives.feed(rows(change(T, 7, S.CLOSED, S.SYN_SENT, pid=10), change(T + 1, 7, S.SYN_SENT, S.ESTABLISHED)))
    assert (the_life(lives)["pid"], the_life(lives)["command"]) == (10, b"nginx")
    lives.feed(change(T + 2, 7, S.ESTABLISHED, S.FIN_WAIT_1, pid=11))
    assert the_life(lives)["pid"] == 11


def test_the_port_that_connect_chose_is_learnt_from_the_next_change() -> None:
    lives = Lives()
    first = change(T, 7, S.CLOSED, S.SYN_SENT)
    first["local_port"] = 0
    lives.feed(first)
    lives.feed(change(T + 1, 7, S.SYN_SENT, S.ESTABLISHED, port=40_123))
    assert the_life(lives)["local_port"] == 40_123


def let_go(cookie: int = 7) -> Lives:
    """Lives with one whose socket the kernel has let go of, four seconds after its birth."""
    lives = Lives()
    lives.feed(rows(*path(cookie, ACTIVE)))
    return lives


def test_the_end_of_a_fin_wait_2_is_unknown_until_a_dump_is_seen() -> None:
    lives = Lives()
    step = lives.feed(rows(*path(7, ACTIVE)))
    assert told(step)[-1] == ("FIN_WAIT_2", None, 1, False)
    assert len(step.ended) == 0
    assert (the_life(lives)["state"], the_life(lives)["former"]) == (UNKNOWN, S.FIN_WAIT_2)


def test_a_time_wait_is_found_by_cookie_and_ends_by_its_timer() -> None:
    lives = let_go()
    begun = T + 4 * SECOND
    step = lives.look(dump(T + 9 * SECOND, (7, S.TIME_WAIT, begun - 3 * MILLISECOND)))
    assert told(step) == [("FIN_WAIT_2", "TIME_WAIT", 1, True)]
    assert step.changes["at"].tolist() == [begun]  # the kernel counts in ticks; when it let the socket go is exact
    assert told(lives.look(dump(T + 30 * SECOND, (7, S.TIME_WAIT, begun)))) == []
    step = lives.look(dump(T + 90 * SECOND))
    assert told(step) == [("TIME_WAIT", "CLOSED", 60, True)]
    (ended,) = step.ended
    assert ended["sampled"] == bits(S.FIN_WAIT_2, S.TIME_WAIT, S.CLOSED)
    assert ended["spent"][S.TIME_WAIT] == 60 * SECOND
    assert len(lives) == 0


def test_a_time_wait_that_vanishes_early_has_ended_by_the_dump() -> None:
    lives = let_go()
    lives.look(dump(T + 5 * SECOND, (7, S.TIME_WAIT, T + 4 * SECOND)))
    step = lives.look(dump(T + 6 * SECOND))
    assert told(step) == [("TIME_WAIT", "CLOSED", 2, True)]


def test_without_a_mini_socket_it_ended_when_it_was_let_go() -> None:
    step = let_go().look(dump(T + 9 * SECOND))
    assert told(step) == [("FIN_WAIT_2", "CLOSED", 1, True)]
    assert step.changes["at"].tolist() == [T + 4 * SECOND]


def test_the_fin_wait_2_of_a_mini_socket_goes_on_and_its_end_is_sampled() -> None:
    lives = let_go()
    assert told(lives.look(dump(T + 9 * SECOND, (7, S.FIN_WAIT_2, T + 9 * SECOND)))) == []
    assert the_life(lives)["state"] == S.FIN_WAIT_2
    step = lives.look(dump(T + 20 * SECOND, (7, S.TIME_WAIT, T + 15 * SECOND)))
    assert told(step) == [("FIN_WAIT_2", "TIME_WAIT", 12, True)]


def test_a_mini_socket_in_fin_wait_2_that_vanishes_has_timed_out() -> None:
    lives = let_go()
    lives.look(dump(T + 9 * SECOND, (7, S.FIN_WAIT_2, T + 9 * SECOND)))
    assert told(lives.look(dump(T + 64 * SECOND))) == [("FIN_WAIT_2", "CLOSED", 61, True)]


def test_a_dump_says_nothing_of_what_changed_while_it_was_taken() -> None:
    lives = let_go()
    assert told(lives.look(dump(T + 4 * SECOND - 1))) == []
    assert the_life(lives)["state"] == UNKNOWN


def test_a_dump_says_nothing_of_other_namespaces_and_states() -> None:
    lives = Lives()
    lives.feed(rows(*path(7, ACTIVE[:3])))
    lives.feed(rows(*path(8, ACTIVE)))
    assert told(lives.look(dump(T + 30 * SECOND, namespace=HERE + 1))) == []
    assert told(lives.look(dump(T + 30 * SECOND))) == [("FIN_WAIT_2", "CLOSED", 1, True)]
    assert len(lives) == 1


def test_mini_sockets_of_a_namespace_that_has_ended_are_over_after_their_minute() -> None:
    lives = let_go()
    lives.look(dump(T + 5 * SECOND, (7, S.TIME_WAIT, T + 4 * SECOND)))
    assert told(lives.look(dump(T + 60 * SECOND, namespace=HERE + 1))) == []
    step = lives.look(dump(T + 65 * SECOND, namespace=HERE + 1))
    assert told(step) == [("TIME_WAIT", "CLOSED", 60, True)]


def test_what_the_first_dump_shows_is_no_change_but_begins_to_be_known() -> None:
    lives = Lives()
    first = dump(T, (7, S.TIME_WAIT, T - 5 * SECOND), (8, S.CLOSE_WAIT, T - 9 * SECOND), states=0xFFE)
    assert told(lives.look(first, first=True)) == []
    assert sorted(lives.current()["state"].tolist()) == [S.TIME_WAIT, S.CLOSE_WAIT]
    step = lives.feed(change(T + SECOND, 8, S.CLOSE_WAIT, S.LAST_ACK))
    assert told(step) == [("CLOSE_WAIT", "LAST_ACK", None, False)]  # nine seconds at least is no time
    assert lives.current()["sampled"][lives.current()["cookie"] == 8] & 1 << S.CLOSE_WAIT
    assert told(lives.look(dump(T + 70 * SECOND))) == [("TIME_WAIT", "CLOSED", 60, True)]


def test_with_dumps_alone_changes_are_the_differences() -> None:
    lives = Lives()
    lives.look(dump(T, (7, S.ESTABLISHED, T), states=0xFFE), first=True)
    seen = dump(T + SECOND, (7, S.CLOSE_WAIT, T + SECOND), (8, S.SYN_SENT, T + SECOND), states=0xFFE)
    assert told(lives.look(seen, alone=True)) == [
        ("ESTABLISHED", "CLOSE_WAIT", None, True),
        ("CLOSED", "SYN_SENT", None, True),
    ]
    step = lives.look(dump(T + 3 * SECOND, states=0xFFE), alone=True)
    assert sorted(told(step)) == [("CLOSE_WAIT", "CLOSED", 2, True), ("SYN_SENT", "CLOSED", 2, True)]
    assert len(lives) == 0


def test_a_dump_that_is_behind_the_times_raises_no_ghosts() -> None:
    lives = Lives()
    lives.feed(rows(*path(7, PASSIVE[:-1])))
    late = dump(T + 3 * SECOND, (7, S.LAST_ACK, T + 3 * SECOND), states=0xFFE)
    ended = lives.feed(change(T + 4 * SECOND, 7, S.LAST_ACK, S.CLOSED)).ended
    assert told(lives.look(late, ended=ended["cookie"])) == []
    assert len(lives) == 0


def test_a_dump_of_everything_sets_right_what_losses_have_left() -> None:
    lives = Lives()
    lives.feed(rows(*path(7, ACTIVE[:3]), *path(8, ACTIVE[:3])))
    step = lives.look(dump(T + 9 * SECOND, (7, S.CLOSE_WAIT, T + 5 * SECOND), states=0xFFE))
    assert told(step) == [("ESTABLISHED", "CLOSE_WAIT", 4, True), ("ESTABLISHED", "CLOSED", 8, True)]
    assert len(lives) == 1


def test_a_socket_that_connects_again_has_a_new_life() -> None:
    lives = Lives()
    refused = (S.CLOSED, S.SYN_SENT, S.CLOSED)
    step = lives.feed(rows(*path(7, refused), *path(7, refused, T + 9 * SECOND), *path(7, ACTIVE[:3], T + 20 * SECOND)))
    assert [len(step.ended), len(lives)] == [2, 1]
    assert the_life(lives)["began"] == T + 20 * SECOND
    assert [stayed for _, _, stayed, _ in told(step)] == [None, 1, None, 1, None, 1]


def test_a_new_life_of_a_key_ends_the_former_one_whose_end_was_lost() -> None:
    for batches in (1, 2):
        lives = Lives()
        parts = [rows(*path(7, ACTIVE[:3])), rows(*path(7, ACTIVE[:2], T + 9 * SECOND))]
        steps = [lives.feed(part) for part in (parts if batches == 2 else [np.concatenate(parts)])]
        assert len(joined(steps).ended) == 1
        assert the_life(lives)["state"] == S.SYN_SENT
        lives.feed(change(T + 20 * SECOND, 7, S.SYN_SENT, S.ESTABLISHED))
        assert the_life(lives)["state"] == S.ESTABLISHED


def test_a_request_of_the_syn_queue_becomes_a_socket_of_the_same_life() -> None:
    lives = Lives()
    lives.look(dump(T, (7, S.SYN_RECEIVED, T), states=0xFFE), first=True)
    step = lives.feed(change(T + SECOND, 7, S.SYN_RECEIVED, S.ESTABLISHED))
    assert told(step) == [("SYN_RECEIVED", "ESTABLISHED", None, False)]
    assert len(lives) == 1


def test_numbered_sockets_are_joined_with_dumps_by_their_four_tuples() -> None:
    lives = Lives()
    number = int(NUMBERED) | 5
    lives.feed(rows(*(change(int(row["at"][0]), number, *map(int, (row["before"][0], row["after"][0])), port=41_000)
                      for row in path(1, ACTIVE))))  # fmt: skip
    assert the_life(lives)["cookie"] == 0
    step = lives.look(dump(T + 9 * SECOND, (77, S.TIME_WAIT, T + 4 * SECOND), port=41_000))
    assert told(step) == [("FIN_WAIT_2", "TIME_WAIT", 1, True)]
    assert step.changes["cookie"].tolist() == [77]
    (ended,) = lives.look(dump(T + 99 * SECOND)).ended
    assert (ended["cookie"], ended["key"]) == (77, number)
    assert len(lives) == 0


def test_a_numbered_socket_is_recognised_as_one_that_the_first_dump_has_shown() -> None:
    lives = Lives()
    lives.look(dump(T, (77, S.ESTABLISHED, T), states=0xFFE, port=41_000), first=True)
    step = lives.feed(change(T + SECOND, int(NUMBERED) | 5, S.ESTABLISHED, S.CLOSE_WAIT, port=41_000))
    assert told(step) == [("ESTABLISHED", "CLOSE_WAIT", None, False)]
    assert (len(lives), step.changes["cookie"].tolist()) == (1, [77])


def test_more_lives_than_there_is_room_for_push_out_the_longest_unchanged() -> None:
    lives = Lives(most=100)
    for cookie in range(1, 301):
        lives.feed(rows(*path(cookie, ACTIVE[:3], T + cookie * SECOND)))
    assert len(lives) <= 100
    assert lives.forgotten == 300 - len(lives)
    assert lives.current()["cookie"].min() > 190
    step = lives.feed(change(T + 999 * SECOND, 3, S.ESTABLISHED, S.CLOSE_WAIT))
    assert told(step) == [("ESTABLISHED", "CLOSE_WAIT", None, False)]


def test_what_a_batch_speaks_of_is_not_forgotten_for_it() -> None:
    lives = Lives(most=8)
    lives.feed(rows(*(change(T, cookie, S.SYN_SENT, S.ESTABLISHED) for cookie in range(1, 9))))
    old = [change(T + SECOND, cookie, S.ESTABLISHED, S.CLOSE_WAIT) for cookie in range(1, 7)]
    step = lives.feed(rows(*old, *(change(T + SECOND, cookie, S.CLOSED, S.SYN_SENT) for cookie in range(20, 30))))
    assert [stayed for _, _, stayed, _ in told(step)] == [1] * 6 + [None] * 10
    kept = lives.current()["cookie"].tolist()
    assert sorted(kept) == [*range(1, 7), *range(20, 30)]
    assert (len(lives), lives.forgotten) == (16, 2)


def test_the_owners_of_changes_are_known_also_of_lives_that_have_ended() -> None:
    lives = Lives()
    lives.feed(change(T, 7, S.CLOSED, S.SYN_SENT, pid=10))
    news = (change(T + 1, 7, S.SYN_SENT, S.CLOSED), change(T + 1, 8, S.ESTABLISHED, S.FIN_WAIT_1, pid=9))
    step = lives.feed(rows(*news))
    owners = lives.owners(step.changes, step.ended)
    assert dict(zip(owners["key"].tolist(), owners["pid"].tolist(), strict=True)) == {7: 10, 8: 9}
    stranger = change(T, 99, S.ESTABLISHED, S.FIN_WAIT_1)
    assert lives.owners(stranger, np.zeros(0, LIFE))["pid"].tolist() == [0]


KINDS = (ACTIVE, PASSIVE, (S.CLOSED, S.SYN_SENT, S.CLOSED), PASSIVE[:4], (S.CLOSED, S.LISTEN, S.CLOSED))


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 50), st.integers(1, 9)), min_size=1, max_size=12),
    st.lists(st.integers(0, 60), max_size=6),
    st.booleans(),
)
def test_how_changes_are_cut_into_batches_makes_no_difference(
    made: list[tuple[Sequence[State], int, int]], cuts: list[int], shuffled: bool
) -> None:
    everything = rows(*(row for cookie, (states, begin, step) in enumerate(made, 1)
                        for row in path(cookie, states, T + begin * SECOND, step * SECOND)))  # fmt: skip
    everything = everything[np.argsort(everything["at"], kind="stable")]
    whole, pieces = Lives(), Lives()
    once = whole.feed(everything.copy())
    edges = [0, *sorted(min(cut, len(everything)) for cut in cuts), len(everything)]
    steps = []
    for first, last in pairwise(edges):
        batch = everything[first:last].copy()
        if shuffled and len(np.unique(batch["at"])) == len(batch):
            batch = batch[::-1].copy()
        steps.append(pieces.feed(batch))
    many = joined(steps)
    key = ["at", "cookie", "before", "after"]
    assert many.changes[key].tolist() == once.changes[key].tolist()
    assert many.stayed.tolist() == once.stayed.tolist()
    for one, other in ((once.ended, many.ended), (whole.current(), pieces.current())):
        assert sorted(map(repr, one)) == sorted(map(repr, other))


steps_of_any_kind = st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 12), st.integers(0, 12))


@given(st.lists(steps_of_any_kind, max_size=40))
def test_any_changes_whatever_leave_the_table_whole(made: list[tuple[int, int, int, int]]) -> None:
    lives = Lives(most=3)
    for number, (at, cookie, before, after) in enumerate(made):
        step = lives.feed(change(T + at, cookie, before, after))
        assert len(step.changes) == len(step.stayed) == 1
        if number % 3 == 2:
            lives.look(dump(T + at, (cookie, S.TIME_WAIT, T)))
        keys = lives.current()["key"].tolist()
        assert len(keys) == len(set(keys)) == len(lives)
        assert State.CLOSED not in lives.current()["state"]
