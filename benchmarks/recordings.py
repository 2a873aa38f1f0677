"""What recording a busy host costs: CPU time and octets of a look, and of looking back.

python benchmarks/recordings.py [--quick] [--json FILE]

An imaginary host with 100,000 TIME_WAIT, all new at every look as at 1,700 connections a second, and 40,000
connections that stay; an hour of looks, one a minute (--quick: a tenth of the sockets, ten looks). CPU time of this
process; of writing the median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lastack.archive.reader import Recording
from lastack.archive.writer import Recorder
from lastack.model.close import Closer, Timer, Viewpoint
from lastack.model.host import HostFacts
from lastack.model.record import ConnectionTable, Values, address_dtype
from lastack.model.state import State
from lastack.model.time import MINUTE, SECOND

BEGIN = 1_800_014_400 * SECOND


def host(time_wait: int, live: int, look: int) -> ConnectionTable:
    """The sockets of one look; what stays is the same in all of them."""
    dice, count = np.random.default_rng(look), time_wait + live
    stays = np.arange(count) >= time_wait
    cookie = np.where(stays, np.arange(count), np.arange(count) + (look + 1) * count).astype(np.uint64)
    steady = np.random.default_rng(7)
    remote = np.empty(count, address_dtype())
    remote["high"] = 0
    remote["low"] = 0xFFFF_0A00_0000 + steady.integers(0, 5_000, count)
    local = np.full(count, np.array((0, 0xFFFF_C0A8_0001), address_dtype()))
    now = BEGIN + look * MINUTE
    age = np.where(stays, dice.integers(0, 3_600 * SECOND, count), dice.integers(0, 60 * SECOND, count))
    text = np.zeros(count, np.int32)
    return ConnectionTable(
        count,
        {
            "viewpoint": np.full(count, Viewpoint.HOST, np.uint8),
            "netns": Values(text, None, ("own",)),
            "family": np.full(count, 4, np.uint8),
            "local_addr": local,
            "local_port": np.where(stays, 443, dice.integers(32_768, 61_000, count)).astype(np.uint16),
            "remote_addr": remote,
            "remote_port": np.where(stays, steady.integers(1_024, 65_535, count), 5_432).astype(np.uint16),
            "opened_by": np.where(stays, np.uint8(Closer.REMOTE), np.uint8(Closer.LOCAL)),
            "local_state": np.where(stays, np.uint8(State.ESTABLISHED), np.uint8(State.TIME_WAIT)),
            "segments_out": Values(dice.integers(0, 10_000, count).astype(np.uint64), stays),
            "octets_out": Values(dice.integers(0, 10_000_000, count).astype(np.uint64), stays),
            "octets_in": Values(dice.integers(0, 10_000_000, count).astype(np.uint64), stays),
            "pid": Values((steady.integers(0, 50, count) + 1_000).astype(np.int32), stays),
            "fd": Values((np.arange(count) % 4_096).astype(np.int32), stays),
            "command": Values(text, stays, ("nginx",)),
            "listener": Values(text, stays, ("0.0.0.0:443",)),
            "inode": np.where(stays, np.arange(count) + 50_000, 0).astype(np.uint64),
            "cookie": cookie,
            "timer": np.where(stays, np.uint8(Timer.OFF), np.uint8(Timer.TIME_WAIT)),
            "timer_expires_ns": Values(now + 60 * SECOND - age, ~stays),
            "last_data_received_ns": Values(now - age, stays),
            "last_data_sent_ns": Values(now - age // 2, stays),
            "age_ns": age,
            "age_most_ns": age,
        },
    )


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """The CPU time that something takes, in s, and what comes of it."""
    begin = time.process_time()
    found = work()
    return time.process_time() - begin, found


def main() -> int:
    """Write an hour, and look back at it."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    time_wait, live, looks = (10_000, 4_000, 10) if asked.quick else (100_000, 40_000, 60)
    writing = []
    with tempfile.TemporaryDirectory() as place, Recorder(Path(place), most_octets=1 << 40, most_age=1 << 60) as into:
        for number in range(looks):
            table, facts = host(time_wait, live, number), HostFacts("host", "6.18", BEGIN + number * MINUTE)
            writing.append(cpu(lambda look=(table, facts), n=number: into.add([look], BEGIN + n * MINUTE))[0])  # type: ignore[misc]
        settling, _ = cpu(lambda: into.add([(host(0, 1, 0), HostFacts("host", "6.18", 0))], BEGIN + 60 * MINUTE))
        octets = sum(path.stat().st_size for path in Path(place).iterdir())
        recording = Recording(Path(place))
        one, _ = cpu(lambda: recording.at(BEGIN + looks // 2 * MINUTE))
        whole, seen = cpu(lambda: recording.between(None, None))
    rows = [
        ("octets_per_connection", octets / looks / (time_wait + live), "octets"),
        ("octets_per_look", octets / looks, "octets"),
        ("write_look_cpu_s", statistics.median(writing), "s"),
        ("settle_hour_cpu_s", settling, "s"),
        ("look_back_at_one_cpu_s", one, "s"),
        ("look_back_at_all_cpu_s", whole, "s"),
        ("connections_seen", float(len(seen.connections)), "connections"),
    ]
    case = f"{looks} looks at {time_wait:,} TIME_WAIT and {live:,} others"
    print(case)
    for metric, value, unit in rows:
        print(f"  {metric:<24} {value:>14,.3f} {unit}")
    if asked.json is not None:
        told = [{"case": case, "subject": "lastack", "metric": m, "value": v, "unit": u} for m, v, u in rows]
        asked.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
