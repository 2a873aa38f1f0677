from __future__ import annotations

import numpy as np
import pytest

from lastack.model import SECOND, ConnectionTable, State, Values
from lastack.model.record import address_values, text_values
from lastack.report.columns import brief, cells, headings, listed

from . import sample


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0s"),
        (0.449, "0.4s"),
        (9.99, "9.9s"),
        (41.9, "41s"),
        (60, "1m"),
        (200, "3m20s"),
        (3_599, "59m59s"),
        (7_860, "2h11m"),
        (86_399, "23h59m"),
        (5 * 86_400 + 3 * 3_600, "5d3h"),
        (512 * 86_400, "512d"),
    ],
)
def test_an_age_takes_six_characters_at_most(seconds: float, shown: str) -> None:
    assert brief(int(seconds * SECOND)) == shown
    assert len(shown) <= 6


def test_a_missing_age_is_a_dash() -> None:
    assert brief(None) == "-"


def test_cells_agree_with_the_tables_own_values() -> None:
    table = sample.table().select(np.arange(1_100, 1_300))
    for name in table.names:
        if name != "command":
            assert cells(table, name) == [table.value(name, row) for row in range(len(table))]


def test_text_cells_are_made_safe() -> None:
    table = ConnectionTable(2, {"command": text_values([sample.ESCAPES, None])})
    assert cells(table, "command") == [r"\x1b[31mred\x1b[0m [bold]x[/bold]", None]


def test_columns_without_any_value_are_not_listed() -> None:
    table = ConnectionTable(
        1,
        {
            "id": np.array([1], np.uint32),
            "local_state": np.array([State.ESTABLISHED], np.uint8),
            "unit": text_values([None]),
            "timer": np.array([0], np.uint8),
            "netns": text_values(["own"]),
        },
    )
    assert [heading.key for heading in headings(table)] == ["id", "state"]


@pytest.mark.parametrize(
    ("spaces", "shown"), [(["own", "own"], []), (["own", "blue"], ["netns"]), (["blue"], ["netns"])]
)
def test_the_namespace_is_listed_where_it_is_not_everybodys_own(spaces: list[str], shown: list[str]) -> None:
    table = ConnectionTable(len(spaces), {"netns": text_values(spaces)})
    assert [heading.key for heading in headings(table)] == shown


def test_a_live_sockets_id_is_its_cookie_and_a_captures_its_ordinal() -> None:
    both = ConnectionTable(1, {"id": np.array([1], np.uint32), "cookie": np.array([77], np.uint64)})
    only = ConnectionTable(1, {"id": np.array([1], np.uint32)})
    assert listed(both, "id", 0)[0] == [77]
    assert listed(only, "id", 0)[0] == [1]


def test_ipv6_endpoints_have_brackets() -> None:
    table = ConnectionTable(
        1, {"local_addr": address_values([(0x20010DB8 << 32, 1)]), "local_port": np.array([443], np.uint16)}
    )
    assert listed(table, "local", 0)[1] == ["[2001:db8::1]:443"]


def test_a_listener_has_no_remote_end() -> None:
    table = ConnectionTable(1, {"local_port": np.array([443], np.uint16)})
    assert listed(table, "remote", 0) == ([None], ["-"])


def test_a_timer_is_listed_with_what_is_left_of_it() -> None:
    table = ConnectionTable(
        2,
        {
            "timer": np.array([3, 0], np.uint8),
            "timer_expires_ns": Values(np.array([sample.NOW + 12 * SECOND, 0]), np.array([True, False])),
        },
    )
    assert listed(table, "timer", sample.NOW) == ([12 * SECOND, None], ["time_wait 12s", "-"])


def test_a_process_without_a_name_still_has_its_pid() -> None:
    table = ConnectionTable(
        2, {"pid": Values(np.array([7, 0], np.int32), np.array([True, False])), "command": text_values([None, None])}
    )
    assert listed(table, "process", 0)[1] == ["?/7", "-"]


def test_a_process_that_does_not_hold_it_alone_says_how_many_others_do() -> None:
    table = ConnectionTable(
        2,
        {
            "pid": np.array([7, 8], np.int32),
            "command": text_values(["a", "b"]),
            "holders": np.array([1, 4], np.uint16),
        },
    )
    assert listed(table, "process", 0)[1] == ["a/7", "b/8 +3"]
