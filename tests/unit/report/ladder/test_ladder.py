from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

import pytest

from lastack.model.history import History, LadderSegment, StateChange
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND
from lastack.report.ladder.rungs import CLOSE, OPEN, label, rungs
from lastack.report.ladder.svg import render_html, render_svg
from lastack.report.ladder.text import render
from lastack.wire.flags import ACK, FIN, PSH, SYN

START = 1_700_000_000 * SECOND


def segment(
    at_ms: float, host: str, flags: int, seq: int, ack: int | None, length: int = 0, *notes: str
) -> LadderSegment:
    return LadderSegment(START + int(at_ms * MILLISECOND), host, flags, seq, ack, length, 65535, notes=notes)


def change(at_ms: float, host: str, before: State, after: State, cause: str = "") -> StateChange:
    return StateChange(START + int(at_ms * MILLISECOND), host, 1, before, after, cause)


def history(data: int = 3, remote: str = "server") -> History:
    """Open, `data` segments, a close from the client's side, and 60 s of TIME_WAIT."""
    close = 10 + data
    end = 1 + 100 * data
    segments = [
        segment(0, "client", SYN, 0, None),
        segment(1, remote, SYN | ACK, 0, 1),
        segment(2, "client", ACK, 1, 1),
        *(segment(3 + n, "client", PSH | ACK, 1 + 100 * n, 1, 100) for n in range(data)),
        segment(close, "client", FIN | ACK, end, 1),
        segment(close + 200, "client", FIN | ACK, end, 1, 0, "FIN again, 2nd"),
        segment(close + 201, remote, FIN | ACK, 1, end + 1),
        segment(close + 202, "client", ACK, end + 1, 2),
    ]
    changes = [
        change(0, "client", State.CLOSED, State.SYN_SENT),
        change(1, remote, State.LISTEN, State.SYN_RECEIVED),
        change(2, "client", State.SYN_SENT, State.ESTABLISHED),
        change(2, remote, State.SYN_RECEIVED, State.ESTABLISHED),
        change(close, "client", State.ESTABLISHED, State.FIN_WAIT_1),
        change(close + 201, remote, State.ESTABLISHED, State.CLOSE_WAIT),
        change(close + 201, remote, State.CLOSE_WAIT, State.LAST_ACK),
        change(close + 202, "client", State.FIN_WAIT_1, State.TIME_WAIT),
        change(close + 202, remote, State.LAST_ACK, State.CLOSED),
        change(close + 202 + 60_000, "client", State.TIME_WAIT, State.CLOSED, "2 MSL have passed"),
    ]
    return History("10.0.0.1:40000", "10.0.0.2:80", ("client", remote), tuple(segments), tuple(changes))


def text(drawn: History, **how: object) -> str:
    paper = io.StringIO()
    render(drawn, paper, **how)  # type: ignore[arg-type]
    return paper.getvalue()


def test_every_segment_and_every_state_is_on_the_ladder_in_order() -> None:
    lines = text(history()).splitlines()
    states = [word for line in lines for word in re.findall(r"[A-Z]+_[A-Z_0-9]+|ESTABLISHED|CLOSED", line)]
    assert states == [
        *("SYN_SENT", "SYN_RECEIVED", "ESTABLISHED", "ESTABLISHED"),
        *("FIN_WAIT_1", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSED", "CLOSED"),
    ]
    assert [line for line in lines if "PSH,ACK 1:101 ack 1" in line]
    assert len([line for line in lines if "▶" in line or "◀" in line]) == 10


def test_times_count_from_the_first_event() -> None:
    lines = text(history()).splitlines()
    assert lines[2].split()[0] == "0.000000"
    assert lines[-1].split()[0] == "60.215000"


def test_arrows_point_to_who_receives() -> None:
    lines = text(history()).splitlines()
    assert re.search(r"─SYN 0─+▶", lines[2])
    assert re.search(r"◀─+SYN,ACK 0 ack 1─", lines[3])


def test_no_line_is_wider_than_the_terminal() -> None:
    assert max(map(len, text(history(30)).splitlines())) <= 80
    assert max(map(len, text(history(3_000), most=20).splitlines())) <= 80
    assert max(map(len, text(history(), width=100).splitlines())) <= 100


def test_a_silence_is_told_instead_of_drawn() -> None:
    assert "1 min of silence" in text(history())


def test_a_long_connection_is_folded_in_the_middle_and_says_what_is_left_out() -> None:
    drawn = history(500)
    kept = rungs(drawn, 30)
    shown = sum(rung.segment is not None for rung in kept)
    (fold,) = [rung for rung in kept if "octets out" in "".join(rung.remarks)]
    left_out = int(fold.remarks[0].split()[0].replace(",", ""))
    assert shown + left_out == len(drawn.segments)
    assert kept[0].segment == drawn.segments[0]
    assert kept[-1].states == ("CLOSED", "CLOSED")
    assert f"{100 * left_out:,} octets out, 0 in" in fold.remarks[0]


@pytest.mark.parametrize(("around", "flags"), [(OPEN, SYN), (CLOSE, FIN)])
def test_around_shows_the_neighbourhood_of_what_was_asked_for(around: str, flags: int) -> None:
    kept = rungs(history(500), 12, around)
    assert any(rung.segment is not None and rung.segment.flags & flags for rung in kept)


def test_around_an_instant_shows_what_happened_then() -> None:
    kept = rungs(history(500), 12, 250 * MILLISECOND)
    instants = [rung.at for rung in kept if rung.at is not None]
    assert min(instants) <= 250 * MILLISECOND <= max(instants)


def test_the_states_after_a_fold_are_those_that_hold() -> None:
    kept = rungs(history(500), 12, CLOSE)
    fold = kept[0]
    assert fold.at is None
    assert fold.states == ("ESTABLISHED", "ESTABLISHED")


def test_a_label_shrinks_to_its_room() -> None:
    wide = LadderSegment(0, "client", PSH | ACK, 4_000_000_000, 3_000_000_000, 1448, 0)
    assert label(wide, 80) == "PSH,ACK 4000000000:4000001448 ack 3000000000"
    assert all(len(label(wide, room)) <= room for room in (40, 30, 10))


def test_an_encoding_without_the_signs_gets_plain_ones() -> None:
    octets = io.BytesIO()
    paper = io.TextIOWrapper(octets, encoding="ascii")
    render(history(), paper)
    paper.flush()
    assert b"SYN 0-" in octets.getvalue()


def test_colour_is_used_only_where_it_is_wanted() -> None:
    assert "\x1b[" not in text(history())
    assert "\x1b[" in text(history(), color=True)


def test_the_svg_is_well_formed_and_names_every_state() -> None:
    tree = ET.fromstring(render_svg(history()))
    words = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    for state in ("SYN_SENT", "FIN_WAIT_1", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT"):
        assert state in words
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}path"))) == 10


def test_names_from_elsewhere_cannot_break_out_of_the_page() -> None:
    evil = "</text><script>alert(1)</script>\x1b[31m"
    page = render_html(history(remote=evil))
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "\x1b" not in text(history(remote=evil))


def test_what_was_not_seen_is_said() -> None:
    drawn = history()._replace(unseen=("the beginning",), sampled="TIME_WAIT")
    assert "Not seen: the beginning" in text(drawn)
    assert "Sampled, so at the time shown or before: TIME_WAIT" in text(drawn)
    assert "Not seen: the beginning" in render_html(drawn)


def test_a_state_that_lasts_is_shown_as_long_as_it_was_watched() -> None:
    whole = history()
    watched = whole._replace(changes=whole.changes[:-1], until=START + 30 * SECOND)
    assert "TIME_WAIT" in text(watched).splitlines()[-1]
    assert "30.000000" in text(watched).splitlines()[-1]
    assert "watched until here" in text(watched)
    assert "watched until here" not in text(whole._replace(until=START + 90 * SECOND))
