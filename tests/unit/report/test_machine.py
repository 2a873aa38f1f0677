from __future__ import annotations

import csv
import dataclasses
import io
import json
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest

from lastack.model import ConnectionTable, Evidence, Finding, Gauge, Report, Severity, Source
from lastack.model.host import Doing, Frame, Options, Process, Runtime, Stack, Wait
from lastack.model.record import text_values
from lastack.report.machine import write_connections, write_report, write_socket
from lastack.report.schema import connection_schema, ending_schema, experiment_schema, report_schema

from . import sample

LONE = b"caf\xe9".decode("utf-8", "surrogateescape")


def written(report: Report) -> str:
    file = io.StringIO()
    write_report(report, file)
    return file.getvalue()


def rows(table: ConnectionTable, form: str) -> str:
    file = io.StringIO()
    write_connections(table, file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("report.schema.json", report_schema()),
        ("connection.schema.json", connection_schema()),
        ("ending.schema.json", ending_schema()),
        ("experiment.schema.json", experiment_schema()),
    ],
)
def test_the_published_schema_is_the_one_derived_from_the_code(name: str, schema: dict[str, Any]) -> None:
    published = files("lastack.report").joinpath("assets", name).read_text("utf-8")
    assert published == json.dumps(schema, indent=2) + "\n", "write it again: make docs"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("report", [sample.busy(), sample.healthy(), sample.quiet()], ids=["busy", "healthy", "quiet"])
def test_a_report_obeys_its_schema(report: Report) -> None:
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(written(report)))


def test_the_schema_refuses_what_is_not_a_report() -> None:
    document = json.loads(written(sample.busy()))
    document["findings"][0]["severity"] = "fatal"
    assert not jsonschema.Draft202012Validator(report_schema()).is_valid(document)


def test_a_report_has_the_shape_that_was_promised() -> None:
    document = json.loads(written(sample.busy()))
    assert list(document) == ["schema", "source", "findings", "counts", "headroom"]
    first = document["findings"][0]
    assert list(first) == ["rule", "severity", "summary", "evidence", "advice", "useless", "connections"]
    assert first["rule"] == "close-wait-eof-unread"
    assert first["evidence"][3] == {
        "fact": "until it can accept no more",
        "value": 4_980_000_000_000,
        "unit": "ns",
        "source": "descriptors, rate",
    }
    assert list(first["advice"][0]) == ["do", "effect", "risk"]
    assert first["connections"]["count"] == sample.LEAKED
    assert len(first["connections"]["sample"]) == 100
    assert first["connections"]["sample"][0]["local_state"] == "CLOSE_WAIT"
    assert first["connections"]["histogram"]["buckets"][4] == {"label": "1 h to 1 d", "count": 1_072}
    assert document["counts"]["findings"] == {"error": 1, "warning": 1, "info": 1}


def test_the_same_report_is_written_the_same_way_twice() -> None:
    assert written(sample.busy()) == written(sample.busy())
    swapped = dataclasses.replace(sample.busy(), states=dict(reversed(sample.busy().states.items())))
    assert written(swapped) == written(sample.busy())


def test_hostile_values_still_make_valid_ascii_json() -> None:
    report = Report(
        Source("host", LONE, 1, "\ud800", ("\x1b[2J",)),
        (
            Finding(
                "a",
                Severity.INFO,
                "\x7f\u202e",
                (
                    Evidence("nan", float("nan")),
                    Evidence("inf", float("-inf")),
                    Evidence("numpy", np.float64(1.5), LONE),
                    Evidence("count", np.int64(7)),  # type: ignore[arg-type]
                ),
                connections=ConnectionTable(1, {"command": text_values([LONE])}),
            ),
        ),
        states={LONE: 1},
        headroom=(Gauge("x", np.int32(3), 4, ""),),  # type: ignore[arg-type]
    )
    text = written(report)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    document = json.loads(text)
    jsonschema.Draft202012Validator(report_schema()).validate(document)
    assert document["source"]["name"] == r"caf\xe9"
    assert [evidence["value"] for evidence in document["findings"][0]["evidence"]] == [None, None, 1.5, 7]
    assert document["findings"][0]["connections"]["sample"] == [{"command": r"caf\xe9"}]


def test_rows_of_json_and_jsonl_are_the_tables_rows() -> None:
    table = sample.table().select(np.arange(1_200, 1_210))
    array = json.loads(rows(table, "json"))
    lines = [json.loads(line) for line in rows(table, "jsonl").splitlines()]
    assert array == lines == list(table.rows())
    assert array[9]["pid"] is None
    validator = jsonschema.Draft202012Validator(connection_schema())
    for row in array:
        validator.validate(row)


def test_csv_has_a_heading_and_leaves_missing_values_empty() -> None:
    table = sample.table().select([0, 1_500])
    read = list(csv.DictReader(io.StringIO(rows(table, "csv"))))
    assert list(read[0]) == list(table.names)
    assert read[0]["local_state"] == "CLOSE_WAIT"
    assert read[0]["pid"] == "4242"
    assert read[1]["pid"] == ""


def test_no_form_lets_an_escape_sequence_through() -> None:
    table = ConnectionTable(1, {"command": text_values(["\x1b[31m\x7f\n"])})
    for form in ("json", "jsonl", "csv"):
        text = rows(table, form)
        assert "\x1b" not in text
        assert "\x7f" not in text
        assert r"x1b[31m" in text


@pytest.mark.parametrize(("form", "empty"), [("json", "[]\n"), ("jsonl", ""), ("csv", "\n")])
def test_no_rows_are_written_as_none(form: str, empty: str) -> None:
    assert rows(ConnectionTable(), form) == empty


def test_many_rows_are_one_valid_array() -> None:
    table = sample.table()
    assert len(json.loads(rows(table.select(np.arange(10_000) % len(table)), "json"))) == 10_000


def test_a_socket_is_its_row_and_its_tcp_info() -> None:
    file = io.StringIO()
    write_socket(sample.table().select([0]), {"rtt": 12, "ca_state": "open"}, file)
    document = json.loads(file.getvalue())
    assert document["connection"]["local_state"] == "CLOSE_WAIT"
    assert document["tcp_info"] == {"rtt": 12, "ca_state": "open"}


def test_what_the_process_does_about_one_socket_is_told_to_programs_too() -> None:
    file = io.StringIO()
    wait = Wait(1, 7, 3, True, "poll", 2, 1, (("futex", 1),), 9)
    options = Options(True, 1, 2, 3, None, 0)
    doing = Doing(
        wait, Runtime.NODE, (Stack("\x1b", 9, (Frame("f", "/a.py", 3),)),), options, (Process(8, 1, "\x1b", 0),)
    )
    write_socket(sample.table().select([0]), None, file, doing)
    assert json.loads(file.getvalue())["process"] == {
        "runtime": "Node.js",
        "also": [{"pid": 8, "command": "\\x1b"}],
        "wait": {
            "polled": True,
            "blocked": "poll",
            "blocked_by": 9,
            "threads": 2,
            "threads_running": 1,
            "waiting": {"futex": 1},
        },
        "options": {
            "keepalive": True,
            "keepalive_idle_ns": 1,
            "keepalive_interval_ns": 2,
            "keepalive_probes": 3,
            "user_timeout_ns": None,
            "linger_ns": 0,
        },
        "stacks": [{"thread": "\\x1b", "tid": 9, "frames": [{"function": "f", "file": "/a.py", "line": 3}]}],
    }
    empty = io.StringIO()
    write_socket(sample.table().select([0]), None, empty, Doing(None, None))
    assert json.loads(empty.getvalue())["process"] == {
        "runtime": None,
        "wait": None,
        "options": None,
        "also": [],
        "stacks": [],
    }
