"""Which sockets are kept open by a child that only inherited the descriptor, from holders and the tree of processes."""

from __future__ import annotations

import numpy as np
import pytest

from lastack.diagnose.inherited import inherited
from lastack.model.host import HostFacts, Process

from .build import close_wait, context, facts, held, listener, process

INIT = process(1, 0, "init")
WEB = process(10, 1, "web")
LISTENING = (listener(pids=(10,)),)


def is_inherited(*processes: Process, holders: tuple[tuple[int, int], ...], **fields: object) -> bool:
    known: HostFacts = facts(INIT, WEB, *processes, listeners=LISTENING, holders={1_000: held(*holders)})
    judged = context(close_wait(1), known)
    return bool(inherited(judged, np.ones(1, np.bool_))[0])


def test_the_one_process_that_has_it_and_listens_has_not_inherited_it() -> None:
    assert not is_inherited(holders=((10, 7),))


def test_a_parent_and_its_child_share_it() -> None:
    assert is_inherited(process(20, 10, "web"), holders=((10, 7), (20, 7)))


def test_a_grandchild_counts_as_well() -> None:
    family = (process(20, 10, "sh"), process(21, 20, "sleep"))
    assert is_inherited(*family, holders=((10, 7), (21, 7)))
    assert is_inherited(*family, holders=((21, 7),))


def test_two_that_are_not_related_share_it_on_purpose() -> None:
    assert not is_inherited(process(20, 1, "other"), holders=((10, 7), (20, 7)))


def test_two_descriptors_of_one_process_are_no_family() -> None:
    assert not is_inherited(holders=((10, 7), (10, 8)))


def test_another_program_below_the_listener_has_inherited_it() -> None:
    assert is_inherited(process(20, 10, "sleep"), holders=((20, 7),))


def test_a_worker_of_the_same_program_serves_it() -> None:
    assert not is_inherited(process(20, 10, "web"), holders=((20, 7),))


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_a_child_that_was_given_it_as_input_or_output_owns_it(descriptor: int) -> None:
    assert not is_inherited(process(20, 10, "cgi"), holders=((20, descriptor),))


def test_a_child_that_listens_too_accepted_it_itself() -> None:
    known = facts(
        INIT, WEB, process(20, 10, "worker"), listeners=(listener(pids=(10, 20)),), holders={1_000: held((20, 7))}
    )
    assert not inherited(context(close_wait(1), known), np.ones(1, np.bool_)).any()


@pytest.mark.parametrize("accepts", ["systemd", "sshd", "xinetd"])
def test_a_program_that_accepts_for_others_hands_it_over_on_purpose(accepts: str) -> None:
    known = facts(
        process(1, 0, accepts),
        process(20, 1, "session"),
        listeners=(listener(pids=(1,)),),
        holders={1_000: held((20, 4))},
    )
    assert not inherited(context(close_wait(1), known), np.ones(1, np.bool_)).any()


def test_what_is_not_asked_about_is_not_answered() -> None:
    known = facts(INIT, WEB, process(20, 10, "sleep"), listeners=LISTENING, holders={1_000: held((20, 7))})
    assert not inherited(context(close_wait(1), known), np.zeros(1, np.bool_)).any()


def test_a_circle_of_parents_ends() -> None:
    assert not is_inherited(process(20, 21, "a"), process(21, 20, "b"), holders=((20, 7),))


def test_a_holder_that_vanished_is_nobodys_child() -> None:
    assert not is_inherited(holders=((99, 7),))
