"""A table through Arrow: the same rows, types, units and nulls at every consumer, and in a Parquet file."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.errors import CallError
from lastack.model import COLUMN, COLUMNS, ConnectionTable, State, Values, arrow
from lastack.model.address import address_halves
from lastack.model.arrow_in import from_arrow
from lastack.model.record import ADDRESS, TEXT, address_values, text_values

from .tables import any_table, unhurried

pyarrow = pytest.importorskip("pyarrow")

INSTANT = 1_700_000_000_123_456_789


def plain_rows(found: Any) -> list[dict[str, Any]]:
    """The rows of a pyarrow table, instants and durations as whole nanoseconds."""
    columns = {}
    for field in found.schema:
        column = found.column(field.name)
        timed = pyarrow.types.is_timestamp(field.type) or pyarrow.types.is_duration(field.type)
        columns[field.name] = (column.cast("int64") if timed else column).to_pylist()
    return [{name: values[row] for name, values in columns.items()} for row in range(found.num_rows)]


def utf8(row: dict[str, Any]) -> dict[str, Any]:
    """A row with what is not Unicode in its texts replaced, as it leaves."""
    return {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in row.items()}


def small() -> ConnectionTable:
    known = np.array([True, False, True])
    return ConnectionTable(
        3,
        {
            "id": np.array([1, 2, 3], np.uint32),
            "local_addr": address_values([address_halves(text) for text in ("10.0.0.1", "2001:db8::1", "10.0.0.1")]),
            "local_port": Values(np.array([443, 7, 80], ">u2"), known),
            "local_state": Values(np.array([State.CLOSE_WAIT, 77, State.TIME_WAIT], np.uint8), known),
            "first_ns": Values(np.array([INSTANT, 5, -1], np.int64), known),
            "command": text_values(["nginx", None, "tmux: ü"]),
            "inode": np.array([0, 1, (1 << 64) - 1], np.uint64),
            "age_ns": Values(np.array([1_500_000_000, 0, 1], np.int64), known),
            "timestamps": Values(np.array([True, True, False]), known),
        },
    )


def test_every_column_has_the_type_its_declaration_asks_for() -> None:
    table = ConnectionTable(0, {column.name: ConnectionTable().column(column.name) for column in COLUMNS})
    for field in pyarrow.table(table).schema:
        column = COLUMN[field.name]
        if column.dtype in (TEXT, ADDRESS) or column.words is not None:
            expected = pyarrow.string()
        elif column.unit == "ns since 1970":
            expected = pyarrow.timestamp("ns", "UTC")
        elif column.unit == "ns":
            expected = pyarrow.duration("ns")
        else:
            expected = pyarrow.bool_() if column.dtype == "bool" else pyarrow.from_numpy_dtype(np.dtype(column.dtype))
        assert field.type == expected, field.name
        about = {key.decode(): text.decode() for key, text in field.metadata.items()}
        assert about == {key: text for key, text in (("unit", column.unit), ("meaning", column.meaning)) if text}


def test_only_filled_columns_leave_in_the_schemas_order() -> None:
    assert pyarrow.table(small()).column_names == list(small().names)
    assert pyarrow.table(ConnectionTable()).shape == (0, 0)
    assert pyarrow.table(ConnectionTable(3)).num_rows == 3


def test_the_schema_alone_is_that_of_the_rows() -> None:
    assert pyarrow.schema(small()) == pyarrow.table(small()).schema


def test_values_and_nulls_arrive() -> None:
    assert plain_rows(pyarrow.table(small())) == list(small().rows())
    assert plain_rows(pyarrow.table(small()))[1]["local_state"] is None


def test_values_may_be_strided_or_of_the_other_byte_order() -> None:
    ports = np.arange(1, 9, dtype=">u2")[::2]
    assert pyarrow.table(ConnectionTable(4, {"local_port": ports})).column("local_port").to_pylist() == [1, 3, 5, 7]


def test_addresses_that_differ_in_one_half_stay_apart() -> None:
    texts = ["2001:db8:1::1", "2001:db8::1", "0.0.0.1", "2001:db8::1", "::1", "::2"]
    table = ConnectionTable(len(texts), {"local_addr": address_values([address_halves(text) for text in texts])})
    assert pyarrow.table(table).column("local_addr").to_pylist() == texts


def test_a_name_that_is_not_unicode_is_made_so() -> None:
    table = ConnectionTable(1, {"command": text_values(["\udcff!"])})
    assert pyarrow.table(table).column("command").to_pylist() == ["?!"]


def test_a_consumer_that_asks_for_other_types_gets_them_from_pyarrow() -> None:
    wish = pyarrow.schema([("id", pyarrow.int64()), ("command", pyarrow.large_string())])
    table = ConnectionTable(1, {"id": np.array([7], np.uint32), "command": text_values(["x"])})
    assert pyarrow.table(table, schema=wish).schema == wish


def test_a_large_table_leaves_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "BATCH_ROWS", 2)
    found = pyarrow.table(small())
    assert found.column("id").num_chunks == 2
    found.validate(full=True)
    assert plain_rows(found) == list(small().rows())


def test_numbers_are_handed_over_without_a_copy_and_let_go_afterwards() -> None:
    inodes = np.arange(1000, dtype=np.uint64)
    table = ConnectionTable(1000, {"inode": inodes})
    found = pyarrow.table(table)
    assert found.column("inode").chunk(0).buffers()[1].address == inodes.ctypes.data
    watched = weakref.ref(inodes)
    del table, inodes
    gc.collect()
    assert watched() is not None
    assert found.column("inode").to_numpy()[999] == 999
    del found
    gc.collect()
    assert watched() is None


def test_a_stream_that_nobody_reads_is_released() -> None:
    inodes = np.arange(10, dtype=np.uint64)
    watched = weakref.ref(inodes)
    ConnectionTable(10, {"inode": inodes}).__arrow_c_stream__()
    del inodes
    gc.collect()
    assert watched() is None


@unhurried
@given(st.data())
def test_any_table_arrives_as_it_is(data: st.DataObject) -> None:
    table = data.draw(any_table())
    found = pyarrow.table(table)
    found.validate(full=True)
    assert plain_rows(found) == [utf8(row) for row in table.rows()]


@pytest.fixture(scope="module")
def parquet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parquet") / "connections.parquet"


@unhurried
@given(data=st.data())
def test_any_table_survives_a_parquet_file(data: st.DataObject, parquet_file: Path) -> None:
    from pyarrow import parquet

    table = data.draw(any_table(must=("id",)))
    table.write_parquet(parquet_file)
    found = parquet.read_table(parquet_file)
    assert found.schema.equals(pyarrow.table(table).schema, check_metadata=True)
    assert plain_rows(found) == [utf8(row) for row in table.rows()]


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CallError, match=r"pip install 'lastack\[parquet\]'"):
        small().write_parquet(tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        small().write_parquet(tmp_path / "missing" / "x.parquet")


def test_polars_takes_the_table_as_it_is() -> None:
    polars = pytest.importorskip("polars")
    found = polars.DataFrame(small())
    assert found.schema["first_ns"] == polars.Datetime("ns", "UTC")
    assert found.schema["age_ns"] == polars.Duration("ns")
    instants = found.with_columns(polars.col("first_ns", "age_ns").to_physical())
    assert instants.to_dicts() == list(small().rows())


def test_pandas_takes_the_table_as_it_is() -> None:
    pandas = pytest.importorskip("pandas")
    if not hasattr(pandas.DataFrame, "from_arrow"):
        pytest.skip("needs pandas 3")
    found = pandas.DataFrame.from_arrow(small())
    assert found["first_ns"][0].value == INSTANT
    assert found["age_ns"][0] == pandas.Timedelta(1500, "ms")
    assert found["local_state"].isna().tolist() == [False, True, False]
    assert found["local_addr"].tolist()[1] == "2001:db8::1"


def test_duckdb_takes_the_table_as_it_is() -> None:
    duckdb = pytest.importorskip("duckdb")
    connections = small()  # DuckDB finds it by this name
    asked = "select local_state, command, epoch_ns(first_ns), age_ns, inode from connections order by id"
    rows = duckdb.sql(asked).fetchall()
    assert [row[0] for row in rows] == ["CLOSE_WAIT", None, "TIME_WAIT"]
    assert [row[1] for row in rows] == ["nginx", None, "tmux: ü"]
    assert [row[2] for row in rows][:2] == [INSTANT, None]
    assert [row[4] for row in rows] == [0, 1, (1 << 64) - 1]
    assert len(connections) == 3


@unhurried
@given(any_table())
def test_a_table_comes_back_from_arrow(table: ConnectionTable) -> None:
    back = from_arrow(pyarrow.table(table) if table.names else pyarrow.table({}))
    assert back.names == table.names
    assert list(back.rows()) == [utf8(row) for row in table.rows()] or not table.names


def test_values_that_are_none_of_their_column_are_refused() -> None:
    for name, value in (("local_state", "DREAMING"), ("local_addr", "nowhere"), ("local_port", "http")):
        with pytest.raises(ValueError):
            from_arrow(pyarrow.table({name: [value]}))
    assert from_arrow(pyarrow.table({"invented": [1], "local_port": [80]})).names == ("local_port",)
