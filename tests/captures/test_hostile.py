"""No octets whatever crash the reader, hang it, or make it read what was not captured."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

import pytest
from tests.captures.hostile import FRAMES, corpus, damage, damaged, outcome, try_capture, try_frame
from tests.unit.capture.made import START, enhanced, interface, pcap, section, statistics

from lastack.capture.kernels.build import available

FAST = pytest.param(True, marks=pytest.mark.skipif(not available(), reason="needs numba"))


def test_a_frame_cut_at_every_octet_is_read_no_further() -> None:
    for link, octets in FRAMES:
        for end in range(len(octets) + 1):
            try_frame(link, octets[:end], len(octets))
            try_frame(link, octets[:end], end)


def test_damaged_frames_are_read_no_further_than_they_go() -> None:
    random = Random(9)
    for _ in range(20_000):
        link, octets = random.choice(FRAMES)
        broken = damaged(random, octets)
        try_frame(link, broken, len(broken) + random.choice((0, 0, 40, 70_000)))


def test_frames_of_every_link_type_may_hold_anything() -> None:
    random = Random(11)
    for link in range(300):
        for length in (0, 1, 3, 7, 15, 20, 33, 60, 61, 200):
            try_frame(link, random.randbytes(length), length)
            try_frame(link, bytes(length), length)
            try_frame(link, b"\xff" * length, length)


@pytest.mark.parametrize("fast", [False, FAST])
def test_undamaged_captures_are_read_alike_by_plain_and_compiled_kernels(fast: bool, tmp_path: Path) -> None:
    for octets in corpus():
        try_capture(tmp_path / "whole", octets, fast=fast)
        found, rows = outcome(tmp_path / "whole", fast=False)
        assert not getattr(found, "broken", True)
        assert len(rows) > 20


@pytest.mark.parametrize("fast", [False, FAST])
def test_damaged_captures_are_read_alike_by_plain_and_compiled_kernels(fast: bool, tmp_path: Path) -> None:
    for _, octets in islice(damage(1), 300):
        try_capture(tmp_path / "damaged", octets, fast=fast)


def test_a_capture_may_end_at_any_octet(tmp_path: Path) -> None:
    frame = FRAMES[0][1]
    ng = section() + interface(1, (2, b"eth0")) + enhanced(START, frame) * 2 + statistics(0, (5, bytes(8)))
    for octets in (pcap([(START, frame)] * 3), ng + section(">") + interface(order=">")):
        for end in range(len(octets)):
            try_capture(tmp_path / "cut", octets[:end], fast=False)
