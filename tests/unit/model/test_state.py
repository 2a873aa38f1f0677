"""The transition table against figure 5 of RFC 9293, and the numbers against Linux."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lastack.model import TRANSITIONS, State, lawful
from lastack.model.state import FIN_RECEIVED, FIN_SENT, RECEIVES_TEXT, SENDS_TEXT, SYNCHRONIZED, bits

# RFC 9293 figure 5, read off the drawing from top to bottom: state, event, what is sent, next state.
FIGURE_5 = """
CLOSED        passive OPEN       -         LISTEN
CLOSED        active OPEN        SYN       SYN_SENT
LISTEN        CLOSE              -         CLOSED
LISTEN        SEND               SYN       SYN_SENT
LISTEN        rcv SYN            SYN,ACK   SYN_RECEIVED
SYN_SENT      CLOSE              -         CLOSED
SYN_SENT      rcv SYN            SYN,ACK   SYN_RECEIVED
SYN_SENT      rcv SYN,ACK        ACK       ESTABLISHED
SYN_RECEIVED  rcv ACK of SYN     -         ESTABLISHED
SYN_RECEIVED  CLOSE              FIN       FIN_WAIT_1
ESTABLISHED   CLOSE              FIN       FIN_WAIT_1
ESTABLISHED   rcv FIN            ACK       CLOSE_WAIT
FIN_WAIT_1    rcv ACK of FIN     -         FIN_WAIT_2
FIN_WAIT_1    rcv FIN            ACK       CLOSING
CLOSE_WAIT    CLOSE              FIN       LAST_ACK
FIN_WAIT_2    rcv FIN            ACK       TIME_WAIT
CLOSING       rcv ACK of FIN     -         TIME_WAIT
LAST_ACK      rcv ACK of FIN     -         CLOSED
TIME_WAIT     2 MSL have passed  -         CLOSED
"""

LINUX = {
    "TCP_ESTABLISHED": State.ESTABLISHED,
    "TCP_SYN_SENT": State.SYN_SENT,
    "TCP_SYN_RECV": State.SYN_RECEIVED,
    "TCP_FIN_WAIT1": State.FIN_WAIT_1,
    "TCP_FIN_WAIT2": State.FIN_WAIT_2,
    "TCP_TIME_WAIT": State.TIME_WAIT,
    "TCP_CLOSE": State.CLOSED,
    "TCP_CLOSE_WAIT": State.CLOSE_WAIT,
    "TCP_LAST_ACK": State.LAST_ACK,
    "TCP_LISTEN": State.LISTEN,
    "TCP_CLOSING": State.CLOSING,
}
HEADER = Path("/usr/include/netinet/tcp.h")


def reachable(start: State) -> set[State]:
    """The states that some way of transitions leads to."""
    found, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        fresh = {each.after for each in TRANSITIONS if each.before is state} - found
        found |= fresh
        waiting += fresh
    return found


def test_every_edge_of_figure_5_is_in_the_table_and_no_other_claims_to_be() -> None:
    drawn = set()
    for line in FIGURE_5.strip().splitlines():
        before, event, sends, after = re.split(r" {2,}", line.strip())
        drawn.add((State[before], event, "" if sends == "-" else sends, State[after]))
    claimed = {
        (each.before, each.event, each.sends, each.after) for each in TRANSITIONS if each.source == "RFC 9293 figure 5"
    }
    assert claimed == drawn


@pytest.mark.parametrize(
    ("before", "after"), [("SYN_RECEIVED", "LISTEN"), ("FIN_WAIT_1", "TIME_WAIT"), ("SYN_RECEIVED", "CLOSE_WAIT")]
)
def test_what_the_notes_and_the_text_add_to_the_figure_is_lawful(before: str, after: str) -> None:
    assert lawful(State[before], State[after])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("CLOSED", "ESTABLISHED"),
        ("ESTABLISHED", "TIME_WAIT"),
        ("ESTABLISHED", "LAST_ACK"),
        ("CLOSE_WAIT", "TIME_WAIT"),
        ("CLOSE_WAIT", "FIN_WAIT_1"),
        ("LAST_ACK", "TIME_WAIT"),
        ("FIN_WAIT_2", "CLOSE_WAIT"),
        ("TIME_WAIT", "ESTABLISHED"),
    ],
)
def test_no_step_of_the_close_can_be_skipped(before: str, after: str) -> None:
    assert not lawful(State[before], State[after])


def test_lawful_is_what_the_table_says() -> None:
    pairs = {(each.before, each.after) for each in TRANSITIONS}
    assert {(a, b) for a in State for b in State if lawful(a, b)} == pairs


def test_no_transition_is_listed_twice_and_none_leads_to_itself() -> None:
    keys = [(each.before, each.after, each.event) for each in TRANSITIONS]
    assert len(set(keys)) == len(keys)
    assert all(each.before is not each.after for each in TRANSITIONS)


def test_every_state_can_be_reached_from_closed_and_can_reach_it() -> None:
    assert reachable(State.CLOSED) == set(State)
    assert [state for state in State if State.CLOSED not in reachable(state)] == []


def test_a_reset_or_an_abort_ends_every_state_but_listen() -> None:
    ended = {each.before for each in TRANSITIONS if "RST" in each.event and each.after is State.CLOSED}
    assert ended == set(State) - {State.CLOSED, State.LISTEN}


def test_a_fin_is_sent_on_every_edge_into_a_state_that_begins_with_our_own() -> None:
    for each in TRANSITIONS:
        crossing = each.after in FIN_SENT and each.before not in FIN_SENT
        assert (each.sends == "FIN") == crossing, each


def test_a_fin_is_received_on_every_edge_into_a_state_that_has_the_peers() -> None:
    for each in TRANSITIONS:
        crossing = each.after in FIN_RECEIVED and each.before not in FIN_RECEIVED
        assert ("rcv FIN" in each.event) == crossing, each


def test_the_named_sets_agree_with_each_other() -> None:
    assert set(State) - {State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED} == SYNCHRONIZED
    assert RECEIVES_TEXT == SYNCHRONIZED - FIN_RECEIVED
    assert SENDS_TEXT == SYNCHRONIZED - FIN_SENT


def test_the_names_are_the_eleven_of_the_rfc() -> None:
    named = (
        "LISTEN SYN-SENT SYN-RECEIVED ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT CLOSED"
    )
    assert sorted(state.name for state in State) == sorted(named.replace("-", "_").split(" "))


def test_the_numbers_are_linuxs() -> None:
    assert {name: int(state) for name, state in LINUX.items()} == {name: n for n, name in enumerate(LINUX, 1)}
    assert set(LINUX.values()) == set(State)


@pytest.mark.skipif(not HEADER.exists(), reason="needs the C library's headers")
def test_the_numbers_are_those_of_the_c_library() -> None:
    listed = re.search(r"enum\s*\{\s*(TCP_ESTABLISHED\s*=\s*1[^}]*)\}", HEADER.read_text())
    assert listed is not None
    names = re.findall(r"\bTCP_\w+", re.sub(r"/\*.*?\*/", "", listed[1]))
    assert {name: number for number, name in enumerate(names, 1)} == {name: int(state) for name, state in LINUX.items()}


def test_a_mask_has_one_bit_a_state() -> None:
    assert bits() == 0
    assert bits(State.ESTABLISHED, State.CLOSING, State.CLOSING) == 1 << 1 | 1 << 11
