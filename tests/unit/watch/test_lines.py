"""Lines made by columns, against the same made one by one with the json module."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lastack.live.transitions.record import NUMBERED, SAMPLED, TRANSITION
from lastack.model.address import address_halves
from lastack.model.state import State
from lastack.watch.lines import Lines

ADDRESSES = ("127.0.0.1", "10.1.2.3", "255.255.255.255", "::1", "2001:db8:1234:5678:9abc:def0:1234:5678")
numbers = st.one_of(
    st.sampled_from([0, 1, 9, 10, 9_999, 10_000, 10_001, 10**8 - 1, 10**8, 10**16]), st.integers(0, 2**63 - 1)
)
change = st.fixed_dictionaries(
    {
        "at": st.integers(10**18, 2**63 - 1),
        "cookie": numbers,
        "namespace": st.sampled_from([0, 1, 4_026_531_840, 2**32 - 1]),
        "pid": st.sampled_from([0, 0, 1, 4_194_304]),
        "local_port": st.integers(0, 65_535),
        "remote_port": st.integers(0, 65_535),
        "family": st.sampled_from([4, 6]),
        "before": st.integers(0, 11),
        "after": st.integers(0, 11),
        "flags": st.sampled_from([0, SAMPLED]),
        "command": st.binary(max_size=15).map(lambda name: name.rstrip(b"\0")),
        "local_addr": st.sampled_from(ADDRESSES),
        "remote_addr": st.sampled_from(ADDRESSES),
        "stayed": st.one_of(st.just(-1), numbers),
    }
)


def table(made: list[dict[str, Any]]) -> tuple[Any, Any]:
    rows = np.zeros(len(made), TRANSITION)
    for row, values in zip(rows, made, strict=True):
        for name in TRANSITION.names or ():
            value = values.get(name, 0)
            row[name] = address_halves(value) if name.endswith("_addr") else value
    return rows, np.array([values["stayed"] for values in made], np.int64)


def expected(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "event": "change",
        "at_ns": values["at"],
        "cookie": values["cookie"] or None,
        "netns": values["namespace"] or None,
        "family": values["family"],
        "local_addr": values["local_addr"],
        "local_port": values["local_port"] or None,
        "remote_addr": values["remote_addr"] if values["remote_port"] else None,
        "remote_port": values["remote_port"] or None,
        "before": State(values["before"]).name if values["before"] else None,
        "after": State(values["after"]).name if values["after"] else None,
        "stayed_ns": None if values["stayed"] < 0 else values["stayed"],
        "pid": values["pid"] or None,
        "command": values["command"].decode(errors="replace") if values["pid"] else None,
        "sampled": bool(values["flags"]),
    }


@given(st.lists(st.lists(change, max_size=30), max_size=3))
def test_every_line_is_what_the_json_module_would_have_read(batches: list[list[dict[str, Any]]]) -> None:
    lines = Lines()
    for made in batches:
        text = bytes(lines.of(*table(made)))
        assert text.count(b"\n") == len(made)
        assert text == b"" or text.endswith(b"}\n")
        assert [json.loads(line) for line in text.splitlines()] == list(map(expected, made))


def test_a_hostile_name_stays_within_its_line() -> None:
    name = b'\n"},{"pid":1\x1b'
    values = dict.fromkeys(("cookie", "namespace", "pid", "local_port", "remote_port", "family", "before", "stayed"), 4)
    values |= {"at": 10**18, "after": 5, "flags": 0}
    rows, stayed = table([{**values, "command": name, "local_addr": "::1", "remote_addr": "::1"}])
    (line,) = bytes(Lines().of(rows, stayed)).splitlines()
    assert json.loads(line)["command"] == name.decode()
    assert b"\x1b" not in line


def test_a_number_of_the_source_s_own_is_no_cookie() -> None:
    rows, stayed = np.zeros(1, TRANSITION), np.zeros(1, np.int64)
    rows["at"] = 10**18
    rows["cookie"] = NUMBERED | np.uint64(7)
    assert json.loads(bytes(Lines().of(rows, stayed)))["cookie"] is None
