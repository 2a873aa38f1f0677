"""The connection table: values and nulls, choosing rows, grouping them, putting tables together."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.model import COLUMN, COLUMNS, CloseKind, ConnectionTable, State, Timer, Values, Viewpoint
from lastack.model.address import address_halves
from lastack.model.record import ADDRESS, TEXT, address_values, text_values

from .tables import any_table, unhurried

Rows = list[dict[str, Any]]


def rows_of(table: ConnectionTable) -> Rows:
    return list(table.rows())


def with_every(rows: Rows, names: tuple[str, ...]) -> Rows:
    """The rows with a null for each column they lack."""
    return [{name: row.get(name) for name in names} for row in rows]


def small() -> ConnectionTable:
    return ConnectionTable(
        4,
        {
            "id": np.array([1, 2, 3, 4], np.uint32),
            "viewpoint": Values(np.full(4, Viewpoint.HOST, np.uint8)),
            "local_state": Values(np.array([8, 8, 10, 99], np.uint8), np.array([True, True, True, False])),
            "remote_addr": address_values([address_halves(t) for t in ("10.0.0.1", "10.0.0.1", "2001:db8::1", "::1")]),
            "remote_port": Values(np.array([443, 443, 0, 80], np.uint16), np.array([True, True, False, True])),
            "command": text_values(["nginx", None, "sshd", "nginx"]),
            "timestamps": Values(np.array([True, False, True, False]), np.array([True, True, False, False])),
        },
    )


def test_a_value_is_what_a_person_reads() -> None:
    assert small().row(0) == {
        "id": 1,
        "viewpoint": "HOST",
        "remote_addr": "10.0.0.1",
        "remote_port": 443,
        "local_state": "CLOSE_WAIT",
        "command": "nginx",
        "timestamps": True,
    }
    assert type(small().value("id", 0)) is int
    assert type(small().value("timestamps", 0)) is bool


def test_a_null_is_none_whatever_lies_under_it() -> None:
    table = small()
    assert (table.value("local_state", 3), table.value("command", 1), table.value("remote_port", 2)) == (
        None,
        None,
        None,
    )
    assert table.value("pid", 0) is None


def test_a_column_that_was_never_filled_is_all_null() -> None:
    for column in COLUMNS:
        table = ConnectionTable(3)
        assert column.name not in table
        assert not table.valid(column.name).any()
        assert len(table.values(column.name)) == len(table.column(column.name).values) == 3


def test_a_table_refuses_an_unknown_column_and_one_of_another_length() -> None:
    with pytest.raises(ValueError, match="no column is called 'colour'"):
        ConnectionTable(1, {"colour": np.zeros(1)})
    with pytest.raises(ValueError, match="column 'pid' has 2 rows, the table 1"):
        ConnectionTable(1, {"pid": np.zeros(2, np.int32)})


def test_names_are_in_the_schemas_order_whatever_the_order_of_filling() -> None:
    table = ConnectionTable(1, {"pid": np.zeros(1, np.int32), "id": np.ones(1, np.uint32)})
    assert table.names == ("id", "pid")
    assert "id" in table and "fd" not in table


def test_rows_stop_at_the_limit() -> None:
    assert [row["id"] for row in small().rows(2)] == [1, 2]
    assert len(list(small().rows(99))) == 4


def test_in_state_asks_the_local_side_and_never_matches_a_null() -> None:
    assert small().in_state(State.CLOSE_WAIT).tolist() == [True, True, False, False]
    assert small().in_state(State.CLOSE_WAIT, State.LISTEN).tolist() == [True, True, True, False]
    assert not small().in_state().any()


def test_select_takes_a_mask_or_positions_in_their_order() -> None:
    assert [row["id"] for row in small().select(np.array([True, False, False, True])).rows()] == [1, 4]
    assert [row["id"] for row in small().select([3, 0, 0]).rows()] == [4, 1, 1]
    assert len(small().select([])) == 0


def test_groups_are_largest_first_and_nulls_form_their_own() -> None:
    groups = [(key, rows.tolist()) for key, rows in small().groups("command")]
    assert groups == [(("nginx",), [0, 3]), ((None,), [1]), (("sshd",), [2])]
    groups = [(key, rows.tolist()) for key, rows in small().groups("remote_addr", "remote_port")]
    assert groups == [(("10.0.0.1", 443), [0, 1]), (("2001:db8::1", None), [2]), (("::1", 80), [3])]


def test_with_columns_adds_and_replaces_and_leaves_the_original_alone() -> None:
    table = small()
    changed = table.with_columns({"id": np.arange(4, dtype=np.uint32), "fd": np.full(4, 7, np.int32)})
    assert [row["id"] for row in changed.rows()] == [0, 1, 2, 3]
    assert changed.value("fd", 2) == 7
    assert (table.value("id", 0), "fd" in table) == (1, False)


def test_concatenation_joins_string_sets_and_fills_what_one_lacks_with_nulls() -> None:
    one = ConnectionTable(2, {"command": text_values(["a", "b"]), "pid": np.array([1, 2], np.int32)})
    other = ConnectionTable(3, {"command": text_values(["b", None, "c"]), "fd": np.array([5, 6, 7], np.int32)})
    joined = ConnectionTable.concatenate([one, ConnectionTable(), other])
    assert [row["command"] for row in joined.rows()] == ["a", "b", "b", None, "c"]
    assert [row["pid"] for row in joined.rows()] == [1, 2, None, None, None]
    assert [row["fd"] for row in joined.rows()] == [None, None, 5, 6, 7]
    assert joined.column("command").strings == ("a", "b", "c")


def test_concatenating_nothing_gives_an_empty_table() -> None:
    assert len(ConnectionTable.concatenate([])) == 0
    assert ConnectionTable.concatenate([ConnectionTable(), ConnectionTable()]).names == ()


@unhurried
@given(st.data())
def test_selecting_is_choosing_among_the_rows(data: st.DataObject) -> None:
    table = data.draw(any_table())
    mask = np.array([data.draw(st.booleans()) for _ in range(len(table))], np.bool_)
    assert rows_of(table.select(mask)) == [row for row, wanted in zip(table.rows(), mask, strict=True) if wanted]
    assert rows_of(table.select(np.flatnonzero(mask))) == rows_of(table.select(mask))


@unhurried
@given(st.data())
def test_concatenating_is_putting_the_rows_one_after_another(data: st.DataObject) -> None:
    parts = data.draw(st.lists(any_table(columns=("pid", "command", "local_addr", "local_state")), max_size=4))
    joined = ConnectionTable.concatenate(parts)
    rows = [row for part in parts for row in rows_of(part)]
    assert len(joined) == len(rows)
    assert rows_of(joined) == with_every(rows, joined.names)


@unhurried
@given(st.data())
def test_a_table_cut_in_two_is_whole_again_when_concatenated(data: st.DataObject) -> None:
    table = data.draw(any_table())
    cut = data.draw(st.integers(0, len(table)))
    first, second = table.select(range(cut)), table.select(range(cut, len(table)))
    assert rows_of(ConnectionTable.concatenate([first, second])) == rows_of(table)


@unhurried
@given(st.data())
def test_groups_part_the_rows_by_their_values(data: st.DataObject) -> None:
    columns = ("local_state", "remote_addr", "command", "timestamps", "pid")
    table = data.draw(any_table(columns=columns))
    names = data.draw(st.lists(st.sampled_from(columns), min_size=1, max_size=3, unique=True))
    groups = table.groups(*names)
    assert sorted(row for _, rows in groups for row in rows.tolist()) == list(range(len(table)))
    assert [len(rows) for _, rows in groups] == sorted((len(rows) for _, rows in groups), reverse=True)
    for key, rows in groups:
        assert rows.tolist() == sorted(rows.tolist())
        assert all(tuple(table.value(name, row) for name in names) == key for row in rows.tolist())
    texts_are_distinct = all(len(set(table.column(name).strings)) == len(table.column(name).strings) for name in names)
    if texts_are_distinct:
        assert len({key for key, _ in groups}) == len(groups)


def test_every_column_says_what_it_means_and_has_a_known_type() -> None:
    assert len(COLUMN) == len(COLUMNS)
    for column in COLUMNS:
        assert column.meaning
        assert column.dtype in (TEXT, ADDRESS, "bool") or np.dtype(column.dtype).kind in "iu"
        if column.words is not None:
            assert all(np.iinfo(column.dtype).min <= word <= np.iinfo(column.dtype).max for word in column.words)
    assert {c.name for c in COLUMNS if c.name.endswith("_ns")} == {c.name for c in COLUMNS if c.unit.startswith("ns")}
    assert {column.words for column in COLUMNS} >= {State, CloseKind, Timer, Viewpoint}


def test_importing_the_model_and_its_filters_loads_nothing_heavy() -> None:
    heavy = ("numpy", "nanoarrow", "pyarrow", "rich", "typer", "numba", "asyncio")
    script = f"import sys, lastack.model.filters, lastack.model.arrow; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"
