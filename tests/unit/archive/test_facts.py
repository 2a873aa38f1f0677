"""The facts of a host as JSON and back."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from lastack.archive.facts import concerning, read, with_holders, written
from lastack.model.host import (
    Configured,
    Frame,
    Holder,
    HostFacts,
    Listener,
    Process,
    Runtime,
    SecondLook,
    Stack,
    Usage,
    Wait,
)

from .recorded import connections, facts, held

FULL = HostFacts(
    hostname="host",
    kernel="6.18",
    taken_ns=1_800_000_000_123_456_789,
    netns="pid 5",
    uptime_ns=5,
    settings={"tcp_fin_timeout": "60"},
    configured={"net.ipv4.tcp_tw_reuse": Configured("1", "/etc/sysctl.conf")},
    counters={"ListenOverflows": 3},
    listeners=(Listener(6, "::", 80, 1, 128, 77, (7, 8), 7, "nginx", None, "web"),),
    processes={7: Process(7, 1, "bad\udcffname\x1b[31m", 33, "T", 4, None, ("a", "b"), None, "c", 5, None, True)},
    holders={77: (Holder(7, 3), Holder(8, 3))},
    waits=(Wait(77, 7, 3, None, "recvfrom", 4, 1, (("futex", 2), ("epoll_wait", 1))),),
    runtimes={7: Runtime.NODE},
    stacks={7: (Stack("main", 7, (Frame("handle", "/srv/app.py", 12), Frame("run", "/usr/lib/x.py", 3, True))),)},
    second_look=SecondLook(10, frozenset({1, 2}), frozenset({2})),
    conntrack=Usage(1, 2),
    orphans=Usage(0, None),
    tcp_memory_pages=Usage(3, 4),
    time_wait=Usage(5, 6),
    unseen=("a", "b"),
)


def test_every_fact_comes_back_as_it_was() -> None:
    bare = HostFacts("", "", 0)
    assert [field.name for field in fields(FULL) if getattr(FULL, field.name) == getattr(bare, field.name)] == []
    assert read(written(FULL)) == FULL
    assert read(written(bare)) == bare


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
