from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.cells import cell_len

from lastack.model import ConnectionTable, State
from lastack.model.record import address_values, text_values
from lastack.report.listing import render_connections

from . import sample


def listed(table: ConnectionTable, width: int | None = 80, color: bool = False) -> list[str]:
    file = io.StringIO()
    render_connections(table, file, now=sample.NOW, width=width, color=color)
    return file.getvalue().splitlines()


def test_each_connection_is_a_line_that_begins_with_its_id() -> None:
    lines = listed(sample.table())
    assert len(lines) == sample.ROWS + 1
    assert lines[0].split()[0] == "ID"
    assert [line.split()[0] for line in lines[1:4]] == ["4096", "4097", "4098"]


def test_eighty_columns_hold_state_both_ends_age_and_process() -> None:
    lines = listed(sample.table().select([0, 1_500]))
    assert lines[0].split() == ["ID", "STATE", "LOCAL", "REMOTE", "AGE", "RECV-Q", "PROCESS"]
    assert re.fullmatch(r"4096  CLOSE_WAIT  10.0.0.1:8080   10.0.3.1:\d+ +\w+ +1  java/4242", lines[1])


@pytest.mark.parametrize("width", [52, 60, 72, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(cell_len, listed(sample.table(), width))) <= width


def test_a_wide_listing_has_every_column_uncut() -> None:
    lines = listed(sample.table(), None)
    assert lines[0].split()[-4:] == ["TIMER", "PROCESS", "UNIT", "LISTENER"]
    assert "orders.service" in lines[1]


def test_a_narrow_listing_keeps_the_remote_port() -> None:
    table = ConnectionTable(
        1,
        {
            "id": np.array([1], np.uint32),
            "local_state": np.array([State.ESTABLISHED], np.uint8),
            "local_addr": address_values([(0x20010DB8_00000000, 0x1111_2222_3333_4444)]),
            "local_port": np.array([443], np.uint16),
            "remote_addr": address_values([(0x20010DB8_00000000, 0x5555_6666_7777_8888)]),
            "remote_port": np.array([51_234], np.uint16),
        },
    )
    line = listed(table, 50)[1]
    assert line.endswith("…:51234")
    assert " :443 " in line


def in_namespaces(*names: str) -> ConnectionTable:
    """The same connection in each of the namespaces."""
    table = sample.table()
    return table.select([0] * len(names)).with_columns({"netns": text_values(list(names))})


@pytest.mark.parametrize("width", [66, 72, 80, 100, 120, None])
def test_rows_that_differ_by_their_namespace_alone_are_told_apart_at_every_width(width: int | None) -> None:
    lines = listed(in_namespaces("own", "pid 1048576", "pid 1048577"), width)
    assert "NETNS" in lines[0].split()
    assert len(set(lines[1:])) == 3
    assert max(map(len, lines)) <= (width or 200)


def test_long_names_of_namespaces_are_cut_to_what_tells_them_apart() -> None:
    names = [f"qrouter-{start}-6f9c-4b7d-9a51-0c2f7e1d8b34" for start in ("5f3e1f2c", "5f3e8a00", "a0")]
    cut = ["qrouter-5f3e1…", "qrouter-5f3e8…", "qrouter-a0-6f…"]
    assert [line.split()[1] for line in listed(in_namespaces(*names), 66)[1:]] == cut
    assert [line.split()[1] for line in listed(in_namespaces(*names), None)[1:]] == names


def test_what_is_cut_keeps_the_process_whole_where_there_is_room() -> None:
    table = in_namespaces("own", "pid 1048576").with_columns({"command": text_values(["gunicorn-w"] * 2)})
    lines = listed(table, 76)
    assert lines[1].endswith(" gunicorn-w/4242")
    assert " :8080 " in lines[1]


@pytest.mark.parametrize("width", [52, 60])
def test_even_where_namespaces_have_no_room_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(cell_len, listed(in_namespaces("own", "pid 1048576", "日本語"), width))) <= width


def test_hostile_commands_are_listed_visibly_and_wide_ones_aligned() -> None:
    table = sample.table().select([0, 1, 2])
    table = table.with_columns(
        {"command": text_values([sample.ESCAPES, "日本語", "java"]), "unit": text_values(["a", "b", "c"])}
    )
    lines = listed(table, None)
    assert r"\x1b[31mred\x1b[0m [bold]x[/bold]/4242" in lines[1]
    starts = {cell_len(line[: line.rindex("0.0.0.0:8080")]) for line in lines[1:]}
    assert len(starts) == 1


def test_colour_marks_the_state_alone() -> None:
    lines = listed(sample.table().select([0]), color=True)
    assert "\x1b[1;33mCLOSE_WAIT\x1b[0m" in lines[1]
    assert lines[1].count("\x1b") == 2


def test_an_ascii_file_gets_ascii() -> None:
    octets = io.BytesIO()
    file = io.TextIOWrapper(octets, encoding="ascii")
    table = sample.table().select([0]).with_columns({"command": text_values(["naïve"])})
    render_connections(table, file, now=sample.NOW)
    file.flush()
    assert rb"na\xefve/4242" in octets.getvalue()


def test_an_empty_table_says_so() -> None:
    assert listed(ConnectionTable()) == ["No connections."]


def test_a_long_table_is_written_in_pieces() -> None:
    class Counting(io.StringIO):
        longest = 0

        def write(self, text: str) -> int:
            self.longest = max(self.longest, len(text))
            return super().write(text)

    table = sample.table()
    table = table.select(np.arange(50_000) % len(table))
    file = Counting()
    render_connections(table, file, now=sample.NOW)
    assert len(file.getvalue().splitlines()) == 50_001
    assert file.longest < len(file.getvalue()) / 5
