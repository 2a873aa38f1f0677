"""The facts of a host as JSON and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from enum import Enum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.archive.facts import _built, _plain, concerning, read, with_holders, written
from lastack.model.host import Holder, HostFacts, Process

from .recorded import connections, facts, held

FULL = HostFacts(
    hostname="host",
    kernel="6.18",
    taken_ns=1_800_000_000_123_456_789,
    settings={"tcp_fin_timeout": "60"},
    counters={"ListenOverflows": 3},
    processes={7: Process(7, 1, "bad\udcffname\x1b[31m", 33, "T", 4, None, ("a", "b"), None, "c", 5, None, True)},
)


@given(st.builds(HostFacts, **{field.name: ... for field in fields(HostFacts)}))
def test_every_fact_comes_back_as_it_was(known: HostFacts) -> None:
    assert read(written(known)) == known


def test_octets_that_are_no_text_come_back_as_they_were() -> None:
    assert read(written(FULL)) == FULL


class Kind(Enum):
    ONE = "first"
    TWO = "second"


class Inner(NamedTuple):
    kind: Kind
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    of: dict[int, tuple[Inner, ...]]
    one: Inner | None
    both: tuple[str, int]


def test_records_words_and_pairs_are_told_by_their_names() -> None:
    outer = Outer({5: (Inner(Kind.TWO),)}, None, ("a", 1))
    plain = json.loads(json.dumps(_plain(outer)))
    assert plain == {"of": {"5": [{"kind": "TWO", "share": 0.5}]}, "one": None, "both": ["a", 1]}
    assert _built(Outer, plain) == outer
    for name, wrong in (("of", {"5": [{"kind": "THREE"}]}), ("one", []), ("both", ["a"]), ("both", ["a", "b"])):
        with pytest.raises(ValueError):
            _built(Outer, {**plain, name: wrong})


def test_fields_of_another_version_are_left_out_or_have_their_defaults() -> None:
    told = json.loads(written(FULL))
    told["invented"] = 5
    del told["counters"]
    found = read(json.dumps(told))
    assert found.counters == {}
    assert found.settings == FULL.settings


@pytest.mark.parametrize("text", ["", "[]", "{", '{"hostname": 5}', '{"hostname": "h", "kernel": "k", "taken_ns": 1.5}',
                                  '{"hostname": "h", "kernel": "k", "taken_ns": 1, "conntrack": [1]}'])  # fmt: skip
def test_what_is_no_json_of_facts_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read(text)


def test_only_the_processes_of_the_rows_and_their_ancestors_are_kept() -> None:
    table = connections([1, 2])
    kept = concerning(table, facts(holders={**held(table), 5: (Holder(99, 3),)}))
    assert set(kept.processes) == {7, 1}
    assert kept.holders == {}


def test_descriptors_come_back_from_the_rows_and_shared_ones_from_the_facts() -> None:
    table = connections([1, 2])
    holders = {**held(table), 1_001: (Holder(7, 3), Holder(99, 3))}
    told = read(written(concerning(table, facts(holders=holders))))
    assert with_holders(table, told).holders == holders
