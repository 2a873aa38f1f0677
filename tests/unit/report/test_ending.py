"""What is said of ending connections: of every way that it can go, in words and for programs."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from lastack.model.address import address_halves
from lastack.model.ending import Ending, Endings, Left, Means, Outcome
from lastack.model.record import ConnectionTable, Values, address_values, text_values
from lastack.model.state import State
from lastack.report.ending import render_ending, said, write_ending
from lastack.report.ending_words import ACTED, LEFT, became, owner_sees, peer_sees

NOW = 1_000_000_000


def table(*rows: tuple[State, str | None]) -> ConnectionTable:
    """Connections in these states, each of a process of that name or of none."""
    count = len(rows)
    address = address_values([address_halves("10.0.0.1")] * count)
    owned = np.array([name is not None for _, name in rows])
    return ConnectionTable(
        count,
        {
            "cookie": np.arange(1, count + 1, dtype=np.uint64),
            "local_state": np.array([state for state, _ in rows], np.uint8),
            "local_addr": address,
            "remote_addr": address,
            "local_port": np.full(count, 80, np.uint16),
            "remote_port": np.arange(5_000, 5_000 + count, dtype=np.uint16),
            "pid": Values(np.full(count, 7, np.int32), owned),
            "fd": Values(np.full(count, 3, np.int32), owned),
            "command": text_values([name for _, name in rows]),
        },
    )


def shown(endings: Endings, width: int = 80) -> str:
    paper = io.StringIO()
    render_ending(endings, paper, now=NOW, width=width)
    return paper.getvalue()


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("means", Means)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("owned", [True, False])
def test_every_way_it_can_go_has_its_words(means: Means, state: State, outcome: Outcome, owned: bool) -> None:
    if means is Means.FIN and not (
        owned and state in (State.ESTABLISHED, State.CLOSE_WAIT, State.SYN_SENT, State.LISTEN)
    ):
        state = State.CLOSE_WAIT  # nothing else can be sent a FIN
    left = Left.OVER if outcome is Outcome.LEFT else None
    endings = Endings(means, table((state, "x" if owned else None)), (left,), (Ending(outcome, state, left),))
    words = said(endings)[0]
    assert words.said
    assert (words.owner is not None) is (words.peer is not None) is (outcome in ACTED)
    assert "{" not in f"{words}"
    assert words.said in " ".join(shown(endings).split())


@pytest.mark.parametrize("left", Left)
def test_every_reason_to_leave_one_alone_is_said_with_what_would_help(left: Left) -> None:
    assert any(word in LEFT[left] for word in ("--reset", "its ID", "root"))
    endings = Endings(Means.FIN, table((State.CLOSE_WAIT, "x")), (left,))
    assert f"would be left alone: {LEFT[left]}" in " ".join(shown(endings).split())


def test_the_kernels_own_names_of_errors_are_said() -> None:
    assert "EPIPE" in owner_sees(Means.FIN, State.CLOSE_WAIT, True)
    assert "ECONNABORTED" in owner_sees(Means.RST, State.ESTABLISHED, True)
    assert peer_sees(Means.RST, State.ESTABLISHED, True) == "ECONNRESET"
    assert "nobody" in owner_sees(Means.RST, State.TIME_WAIT, False)


def test_those_of_which_the_same_is_said_stand_together_and_what_is_left_comes_last() -> None:
    rows = [(State.TIME_WAIT, None)] * 3 + [(State.CLOSE_WAIT, "leaky")] * 2
    done = [Ending(Outcome.LEFT, State.TIME_WAIT, Left.OVER)] * 3 + [Ending(Outcome.ENDED, State.CLOSED)] * 2
    text = shown(Endings(Means.FIN, table(*rows), (Left.OVER,) * 3 + (None,) * 2, tuple(done)))
    assert text.index("2 connections ended") < text.index("3 connections left alone")
    assert text.count("leaky/7") == 2
    assert "EMFILE" in text


def test_where_no_process_has_any_nothing_is_said_of_descriptors() -> None:
    endings = Endings(Means.RST, table((State.LAST_ACK, None)), (None,), (Ending(Outcome.ENDED, State.CLOSED),))
    assert "EMFILE" not in shown(endings)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_words_are_folded_to_the_width(width: int) -> None:
    endings = Endings(Means.FIN, table(*[(State.CLOSE_WAIT, "leaky")] * 30), (None,) * 30)
    listed = [line for line in shown(endings, width).splitlines() if "10.0.0.1" not in line and "STATE" not in line]
    assert max(map(len, listed)) <= max(width, 50)


def test_json_tells_of_every_connection_and_counts() -> None:
    plan = (None, Left.FIN_SENT)
    done = (Ending(Outcome.RESET_BY_PEER, State.CLOSED), Ending(Outcome.LEFT, State.LAST_ACK, Left.FIN_SENT))
    rows = table((State.CLOSE_WAIT, "\x1b[1mevil"), (State.LAST_ACK, None))
    paper = io.StringIO()
    write_ending(Endings(Means.FIN, rows, plan, done), paper)
    document = json.loads(paper.getvalue())
    assert document["counts"] == {"reset-by-peer": 1, "left": 1}
    assert [entry["left"] for entry in document["connections"]] == [None, "fin-sent"]
    assert document["connections"][0]["connection"]["command"] == "\\x1b[1mevil"
    assert became(Means.FIN, done[0]) == document["connections"][0]["said"]
