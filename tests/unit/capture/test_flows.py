"""Connections from segments written down by hand: above all what other tools are known to get wrong."""

from __future__ import annotations

from typing import Any

import pytest

from lastack.capture.flows import Analyser
from lastack.capture.history import history
from lastack.capture.kernels.build import available
from lastack.capture.kernels.transitions import EVENTS
from lastack.capture.packets import WIDTH
from lastack.model.state import TRANSITIONS
from lastack.model.time import MILLISECOND, SECOND

from .segments import Talk

# -- what other tools get wrong


def test_a_repeated_syn_is_not_a_new_connection() -> None:
    talk = Talk().client("S").wait(1000).client("S").wait(2000).client("S")
    row = talk.server("S.", 0, 1).client(".", 1, 1).one()
    assert (row["syn_out"], row["retransmits_out"], row["local_state"]) == (3, 2, "ESTABLISHED")
    assert row["handshake_rtt_ns"] is None


def test_a_syn_that_was_overtaken_is_not_a_reuse() -> None:
    row = Talk().client(".", 1, 1, 100).client("S").server("S.", 0, 1).server(".", 1, 101).one()
    assert (row["opened_by"], row["syn_out"], row["syn_in"]) == ("LOCAL", 1, 1)


def test_a_syn_that_comes_after_its_answer_is_not_a_reuse() -> None:
    row = Talk().server("S.", 0, 1).client("S").client(".", 1, 1).one()
    assert (row["local_port"], row["opened_by"], row["local_state"]) == (40_000, "LOCAL", "ESTABLISHED")


def test_a_port_that_is_used_again_does_not_merge_two_connections() -> None:
    talk = Talk().open().close().wait(5000)
    talk.bases = [9_000_000, 12_000_000]
    first, second = talk.open().client("P.", 1, 1, 10).table()
    assert (first["close_kind"], first["octets_out"], first["segments_out"]) == ("ORDERLY", 0, 4)
    assert (second["close_kind"], second["octets_out"], second["syn_out"]) == ("OPEN", 10, 1)


def test_a_port_that_is_used_again_without_a_close_leaves_the_first_end_unseen() -> None:
    talk = Talk().open().wait(500_000)
    talk.bases = [9_000_000, 12_000_000]
    first, second = talk.open().table()
    assert (first["close_kind"], first["local_state"], first["first_closer"]) == ("UNSEEN", None, "UNKNOWN")
    assert second["local_state"] == "ESTABLISHED"


def test_how_much_of_time_wait_had_passed_when_the_port_was_used_again() -> None:
    talk = Talk().open().close().wait(5000)
    talk.bases = [9_000_000, 12_000_000]
    first, _ = talk.open().table()
    assert first["local_time_wait_ns"] == 5001 * MILLISECOND + 10_000
    assert first["reuse_gap_ns"] == 5001 * MILLISECOND  # after the last ACK


def test_a_rst_is_not_a_fin() -> None:
    row = Talk().open().client("R.", 1, 1).one()
    assert (row["close_kind"], row["fin_out"], row["rst_out"], row["first_closer"]) == ("RESET_SENT", 0, 1, "LOCAL")
    assert row["local_fin_wait_1_ns"] is None


def test_a_lone_rst_is_not_a_failed_handshake() -> None:
    row = Talk().server("R", 5).one()
    assert (row["close_kind"], row["opened_by"], row["unseen"]) == ("UNSEEN", "UNKNOWN", "start, local, remote")


@pytest.mark.parametrize("ident", [None, 0])
def test_a_repeated_fin_is_counted_though_its_number_is_the_same(ident: int | None) -> None:
    talk = Talk().open().client("F.", 1, 1, ident=ident)
    for _ in range(2):
        talk.wait(200).client("F.", 1, 1, ident=ident)
    row = talk.one()
    assert (row["fin_out"], row["fin_retransmits_out"]) == (3, 2)


def test_a_fin_that_nobody_acknowledged_is_no_orderly_close() -> None:
    seen_by_server = Talk().client("S").server("S.", 0, 1, after=0.01).client(".", 1, 1, after=20)
    row = seen_by_server.client("F.", 1, 1).server(".", 1, 2).server("F.", 1, 2).one()
    assert (row["close_kind"], row["remote_state"]) == ("UNSEEN", "LAST_ACK")


def test_a_fin_repeated_in_vain_is_a_timeout() -> None:
    talk = Talk().open().client("F.", 1, 1)
    for pause in (200, 400, 800, 1600):
        talk.wait(pause).client("F.", 1, 1)
    assert talk.one(until_ms=60_000)["close_kind"] == "RETRANSMIT_TIMEOUT"
    assert talk.one()["close_kind"] == "HALF_CLOSED"


def test_fins_that_cross_are_simultaneous() -> None:
    row = Talk().open().client("F.", 1, 1).server("F.", 1, 1).client(".", 2, 2).server(".", 2, 2).one()
    assert (row["close_kind"], row["first_closer"]) == ("SIMULTANEOUS", "BOTH")
    assert (row["local_closing_ns"], row["local_close_wait_ns"]) == (2 * MILLISECOND, None)


def test_the_direction_stays_after_a_long_silence() -> None:
    row = Talk().open().wait(3_600_000).server("P.", 1, 1, 10).client(".", 1, 11).one()
    assert (row["local_port"], row["octets_in"], row["opened_by"]) == (40_000, 10, "LOCAL")


def test_packets_after_the_close_do_not_make_a_new_connection() -> None:
    talk = Talk().open().close().wait(30_000).server("F.", 1, 2).client(".", 2, 2).wait(50_000).server(".", 2, 2)
    row = talk.one()
    assert (row["fin_in"], row["segments_in"], row["last_acks_again_out"]) == (2, 5, 1)


def test_after_two_minutes_of_quiet_the_four_tuple_is_new() -> None:
    first, second = Talk().open().close().wait(121_000).client("P.", 900, 1, 10).table()
    assert first["close_kind"] == "ORDERLY"
    assert (second["close_kind"], second["local_state"], second["unseen"]) == ("UNSEEN", None, "start, remote")


def test_duplicates_of_the_capture_are_not_retransmissions() -> None:
    talk = Talk().open()
    talk.client("P.", 1, 1, 100, ident=5000).client("P.", 1, 1, 100, ident=5000, after=0.01)
    talk.client("F.", 101, 1, ident=5001).client("F.", 101, 1, ident=5001, after=0.01)
    row = talk.one()
    assert (row["duplicates"], row["retransmits_out"], row["octets_out"], row["fin_out"]) == (2, 0, 100, 1)


def test_a_retransmission_with_the_identification_of_the_first_is_one() -> None:
    row = Talk().open().client("P.", 1, 1, 100, ident=5000).client("P.", 1, 1, 100, ident=5000, after=250).one()
    assert (row["duplicates"], row["retransmits_out"], row["octets_out"]) == (0, 1, 200)


# -- how it opened


def test_the_round_trip_of_the_handshake() -> None:
    assert Talk().open().one()["handshake_rtt_ns"] == 20_010_000


def test_syns_that_cross() -> None:
    talk = Talk().client("S").server("S").client("S.", 0, 1).server("S.", 0, 1)
    row = talk.one()
    assert (row["opened_by"], row["local_state"], row["remote_state"]) == ("BOTH", "ESTABLISHED", "ESTABLISHED")


def test_a_refused_handshake() -> None:
    row = Talk().client("S").server("R.", 0, 1).one()
    assert (row["close_kind"], row["reset_cause"], row["first_closer"], row["unseen"]) == (
        "REFUSED", "refused", "REMOTE", None,
    )  # fmt: skip


def test_a_handshake_that_nobody_answers() -> None:
    talk = Talk().client("S").wait(1000).client("S").wait(2000).client("S")
    assert (talk.one()["close_kind"], talk.one()["local_state"]) == ("OPEN", "SYN_SENT")
    assert talk.one(until_ms=20_000)["close_kind"] == "HANDSHAKE_TIMEOUT"


def test_an_answer_repeated_after_the_third_segment_is_not_believed_yet() -> None:
    talk = Talk().client("S").server("S.", 0, 1, after=0.01).client(".", 1, 1, after=20)
    row = talk.wait(1000).server("S.", 0, 1).one()
    assert (row["remote_state"], row["syn_in"]) == ("SYN_RECEIVED", 2)


# -- how it ended


def test_three_segments_suffice() -> None:
    row = Talk().open().client("F.", 1, 1).server("F.", 1, 2).client(".", 2, 2).one()
    assert (row["close_kind"], row["close_segments"], row["remote_close_wait_ns"]) == ("ORDERLY", 3, 0)


def test_four_segments_and_the_times_between() -> None:
    talk = Talk().open().client("F.", 1, 1).server(".", 1, 2, after=20).wait(500).server("F.", 1, 2)
    row = talk.client(".", 2, 2, after=0).one(until_ms=70_000)
    assert (row["close_segments"], row["first_closer"]) == (4, "LOCAL")
    assert row["local_fin_wait_1_ns"] == 20 * MILLISECOND
    assert row["local_fin_wait_2_ns"] == row["remote_close_wait_ns"] == 501 * MILLISECOND
    assert (row["local_time_wait_ns"], row["local_state"]) == (60 * SECOND, "CLOSED")


def test_a_repeated_fin_restarts_the_wait() -> None:
    talk = Talk().open().close()
    entered = talk.now - 10_000
    row = talk.wait(10_000).server("F.", 1, 2).client(".", 2, 2, after=0).one(until_ms=61_000)
    assert row["local_time_wait_ns"] == 60 * SECOND + talk.now - entered


def test_a_half_closed_connection() -> None:
    row = Talk().open().client("F.", 1, 1).server(".", 1, 2).server("P.", 1, 2, 500).client(".", 2, 501).one()
    assert (row["close_kind"], row["local_state"], row["remote_state"]) == ("HALF_CLOSED", "FIN_WAIT_2", "CLOSE_WAIT")


def test_a_fin_before_its_data() -> None:
    talk = Talk().open().server("F.", 101, 1).client(".", 1, 1, after=0)
    talk.server("P.", 1, 1, 100).client(".", 1, 102, after=0)
    row = talk.one()
    assert (row["fin_early_in"], row["local_state"], row["age_ns"]) == (True, "CLOSE_WAIT", 0)


RESETS: dict[str, tuple[Talk, dict[str, Any]]] = {
    "abort": (Talk().open().client("R.", 1, 1), {"close_kind": "RESET_SENT", "reset_state": "ESTABLISHED"}),
    "abort-or-unread-data": (
        Talk().open().server("P.", 1, 1, 100).client("R.", 1, 1),
        {"close_kind": "RESET_SENT", "lost_in": 100},
    ),
    "data-after-close": (
        Talk().open().client("F.", 1, 1).server(".", 1, 2).server("P.", 1, 2, 50).client("R", 2),
        {"close_kind": "RESET_SENT", "first_closer": "LOCAL", "reset_state": "CLOSE_WAIT", "lost_in": 50},
    ),
    "no-connection": (
        Talk().open().wait(600_000).client("P.", 1, 1, 10).server("R", 1),
        {"close_kind": "RESET_RECEIVED", "lost_out": 10, "reset_silence_ns": 600_002_010_000},
    ),
    "keepalive": (
        Talk().open().client(".", 0, 1, after=7000).client(".", 0, 1, after=7000).client("R.", 1, 1, after=7000),
        {"close_kind": "KEEPALIVE_TIMEOUT", "keepalives_out": 2},
    ),
    "middlebox": (
        Talk().open().wait(600_000).client("P.", 1, 1, 10).server("R", 1, ttl=61),
        {"close_kind": "RESET_RECEIVED", "first_closer": "NOBODY"},
    ),
    "challenge-ack": (
        Talk().open().client("R", 50).server(".", 1, 1).client("R", 1),
        {"close_kind": "RESET_SENT", "rst_out": 2},
    ),
    "time-wait-assassination": (
        Talk().open().close().server("R", 2),
        {"close_kind": "ORDERLY", "local_state": "CLOSED", "local_time_wait_ns": MILLISECOND + 10_000},
    ),
    "handshake-abort": (Talk().client("S").server("S.", 0, 1).client("R", 1), {"close_kind": "RESET_SENT"}),
}


@pytest.mark.parametrize("cause", RESETS)
def test_why_it_was_reset(cause: str) -> None:
    talk, expected = RESETS[cause]
    row = talk.one()
    assert {name: row[name] for name in expected} == expected
    assert row["reset_cause"] == cause


def test_a_middlebox_is_seen_by_its_identification_too() -> None:
    talk = Talk().open()
    talk.server("P.", 1, 1, 10).client(".", 1, 11).server("P.", 11, 1, 10).client(".", 1, 21)
    assert talk.client("P.", 1, 21, 10).server("R", 21, ident=40_000).one()["reset_cause"] == "middlebox"


def test_a_rst_at_a_wrong_number_ends_only_its_sender() -> None:
    row = Talk().open().server("R", 50).one()
    assert (row["local_state"], row["remote_state"]) == ("ESTABLISHED", "CLOSED")


# -- while it lived


def test_keepalive_probes_and_window_probes_are_no_retransmissions() -> None:
    talk = Talk().open().client(".", 0, 1, after=7000).server(".", 1, 1)
    talk.client("P.", 1, 1, 10).server(".", 1, 11, window=0).client(".", 10, 1, after=200).server(".", 1, 11, window=0)
    row = talk.server(".", 1, 11, window=500).one()
    assert (row["keepalives_out"], row["zero_windows_in"], row["retransmits_out"]) == (1, 1, 0)


def test_what_fills_a_hole_at_once_was_overtaken_and_later_was_sent_again() -> None:
    talk = Talk().open().client("P.", 101, 1, 100)
    assert talk.client("P.", 1, 1, 100, after=1).one()["retransmits_out"] == 0
    talk = Talk().open().client("P.", 101, 1, 100)
    assert talk.client("P.", 1, 1, 100, after=30).one()["retransmits_out"] == 1


# -- what is not seen


def test_one_direction_alone_says_no_state() -> None:
    talk = Talk().client("S").client(".", 1, 1, after=20).client("P.", 1, 1, 10).client("F.", 11, 1)
    row = talk.client(".", 12, 2).one()
    assert (row["close_kind"], row["first_closer"], row["unseen"]) == ("UNSEEN", "UNKNOWN", "start, remote")
    assert (row["local_state"], row["remote_state"], row["remote_close_wait_ns"]) == (None, None, None)


def test_a_start_in_the_middle_is_told_once_both_sides_have_sent() -> None:
    talk = Talk().client("P.", 10, 10, 5).server(".", 10, 15)
    assert talk.one()["close_kind"] == "UNSEEN"
    row = talk.client("F.", 15, 10).server(".", 10, 16).server("F.", 10, 16).client(".", 16, 11).one()
    assert (row["close_kind"], row["first_closer"], row["opened_by"]) == ("ORDERLY", "LOCAL", "UNKNOWN")


def test_a_drop_that_could_hide_a_fin_is_not_guessed_over() -> None:
    talk = Talk().open().server(".", 1, 2).server("F.", 1, 2).client(".", 2, 2)
    row = talk.one()
    assert (row["close_kind"], row["unseen"]) == ("UNSEEN", "segments")


def test_a_drop_in_the_middle_of_text_hides_nothing() -> None:
    talk = Talk().open().server("P.", 1, 1, 100).server("P.", 201, 1, 100).client(".", 1, 301)
    row = talk.client("F.", 1, 301).server("F.", 301, 2).client(".", 2, 302).one()
    assert (row["close_kind"], row["unseen"]) == ("ORDERLY", "segments")


# -- many


def crowd(count: int) -> Talk:
    """Connections one after the other, each on a port of its own, half of them closed."""
    talk = Talk()
    for number in range(count):
        talk.ends = ((*talk.ends[0][:2], 1024 + number), talk.ends[1])
        talk.open()
        if number % 2:
            talk.close()
    return talk


def test_a_limit_of_memory_lets_the_silent_ones_go() -> None:
    talk = crowd(3000)
    analyser = Analyser(memory=300 * 48 * 8)
    analyser.feed(talk.rows, talk.count)
    assert analyser.live <= 300
    assert analyser.given_up > 1000
    rows = list(analyser.finish().rows())
    assert len(rows) == 3000
    early = [row for row in rows if row["unseen"] == "memory"]
    assert len(early) <= analyser.given_up
    assert {row["close_kind"] for row in early if row["fin_out"] == 0} == {"UNSEEN"}


def test_ended_connections_can_be_drained_on_the_way() -> None:
    talk = crowd(50).wait(130_000).client("S", -5)
    analyser = Analyser()
    analyser.feed(talk.rows, talk.count)
    analyser.sweep()
    assert len(analyser.drain()) == 25
    assert len(analyser.drain()) == 0
    assert analyser.live == 26
    assert len(analyser.finish()) == 26


def test_a_part_of_the_four_tuples_is_a_part_of_the_table() -> None:
    talk, found = crowd(200), list[list[Any]]()
    for part in range(4):
        analyser = Analyser(part=part, parts=4)
        analyser.feed(talk.rows, talk.count)
        found.append([row["local_port"] for row in analyser.finish().rows()])
    assert sorted(port for ports in found for port in ports) == list(range(1024, 1224))
    assert min(map(len, found)) > 20


@pytest.mark.skipif(not available(), reason="needs Numba")
def test_compiled_and_plain_say_the_same() -> None:
    import numpy as np

    talk = crowd(1500)
    for other, _ in RESETS.values():
        talk.rows.extend(other.rows)
        talk.count += other.count
    for i in range(talk.count):
        talk.rows[i * WIDTH + 15] = i + 1
    plain, fast = Analyser(), Analyser(compiled=True)
    plain.feed(talk.rows, talk.count)
    fast.feed(np.array(talk.rows), talk.count)  # type: ignore[arg-type]
    assert fast.rows[: fast.live * 48].tolist() == plain.rows[: plain.live * 48].tolist()
    assert list(fast.finish().rows()) == list(plain.finish().rows())


# -- the ladder


def test_what_the_rungs_say() -> None:
    talk = Talk().open().close().wait(1000).server("F.", 1, 2).client(".", 2, 2, after=0.01)
    found = history([(talk.rows, talk.count)], 1)
    assert found is not None
    assert [segment.notes for segment in found.segments[-2:]] == [
        ("FIN again, 2nd", "the ACK of it never came", "TIME_WAIT restarts"),
        ("last ACK again",),
    ]
    assert [(segment.seq, segment.ack) for segment in found.segments[:3]] == [(0, None), (0, 1), (1, 1)]
    lane = [change.after.name for change in found.changes if change.host == "192.0.2.1"]
    assert lane == ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"]
    lane = [change.after.name for change in found.changes if change.host == "198.51.100.7"]
    assert lane == ["SYN_RECEIVED", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSED"]


def test_what_is_taken_back_leaves_the_ladder() -> None:
    talk = Talk().client("S").server("S.", 0, 1, after=0.01).client(".", 1, 1, after=20).wait(1000).server("S.", 0, 1)
    found = history([(talk.rows, talk.count)], 1)
    assert found is not None
    assert [change.after.name for change in found.changes if change.host == "198.51.100.7"] == ["SYN_RECEIVED"]
    assert found.segments[-1].notes == ("SYN,ACK again, 2nd", "the ACK of it never came")


def test_a_frame_that_begins_no_connection_has_no_history() -> None:
    talk = Talk().open()
    assert history([(talk.rows, talk.count)], 77) is None


def test_every_transition_is_seen_by_an_event_or_known_not_to_be() -> None:
    unseen = {
        "passive OPEN",
        "2 MSL have passed",
        "tcp_fin_timeout has passed",
        "rcv FIN and ACK of FIN",  # two events of one segment
        "rcv RST after a passive OPEN",
        "rcv SYN with a newer timestamp or sequence number",  # another incarnation, a row of its own
        "connect() takes the port over (tcp_tw_reuse)",
        "rcv ACK of a SYN cookie",
    }
    assert {change.event for change in TRANSITIONS} == unseen | set(EVENTS)
