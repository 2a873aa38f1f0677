"""Whatever the packets say, the analyser goes on: plain, compiled and in pieces it says the same."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.capture import packets as p
from lastack.capture.flows import Analyser
from lastack.capture.history import history
from lastack.capture.kernels.build import available
from lastack.capture.kernels.rows import ROW
from lastack.capture.pieces import finish

from ..captures.tap import pieces_of

numbers = st.sampled_from([0, 1, 2, 99, 100, 101, 1000, 1 << 31, (1 << 32) - 1]) | st.integers(0, (1 << 32) - 1)
instants = st.integers(0, 200_000_000_000) | st.sampled_from([-(1 << 63), -1, (1 << 63) - 1])
flags = st.sampled_from([2, 18, 16, 17, 4, 20, 0, 1, 3, 24, 0x1FF, 16 | p.OUTBOUND, 2 | p.ICMP | p.IPV6, 2 | p.ICMP])


@st.composite
def packet(draw: st.DrawFn) -> list[int]:
    """One row of any content, on one of few four-tuples."""
    row = [0] * p.WIDTH
    ends = [(0, 0xFFFF_0A00_0001, 1000), (-1, -5, 80)]
    source, target = draw(st.permutations(ends) | st.just([ends[0], ends[0]]))
    row[p.TIME] = draw(instants)
    row[p.SRC_HIGH], row[p.SRC_LOW], row[p.DST_HIGH], row[p.DST_LOW] = *source[:2], *target[:2]
    row[p.PORTS] = source[2] << 16 | target[2]
    row[p.SEQ], row[p.ACK], row[p.FLAGS] = draw(numbers), draw(numbers), draw(flags)
    row[p.WINDOW] = draw(st.sampled_from([-1, 0, 1, 3 << 8, 1 << 8, 65_535]))
    row[p.LENGTH] = draw(st.sampled_from([0, 0, 1, 100, 70_000]))
    row[p.IP] = draw(st.sampled_from([0, 7, 8, 9])) | draw(st.sampled_from([64, 63])) << p.TTL_SHIFT
    row[p.TS_VALUE] = row[p.TS_ECHO] = -1
    return row


def batch(rows: list[list[int]]) -> array[int]:
    """The rows in a batch, numbered."""
    for number, row in enumerate(rows):
        row[p.NUMBER] = number + 1
    return array("q", [value for row in rows for value in row])


@settings(max_examples=150)
@given(st.lists(packet(), min_size=1, max_size=40), st.data())
def test_nonsense_is_analysed(rows: list[list[int]], data: st.DataObject) -> None:
    packets = batch(rows)
    whole = Analyser()
    whole.feed(packets, len(rows))
    for row in list(whole.finish().rows()):
        assert history([(packets, len(rows))], int(row["first_frame"] or 0)) is not None
    parts = []
    for number, (piece, some) in enumerate(pieces_of(packets, len(rows), [data.draw(st.integers(0, len(rows)))])):
        parts.append(Analyser(log=number > 0))
        parts[-1].feed(piece, some)
    assert len(finish(parts)) <= len(rows)


@pytest.mark.skipif(not available(), reason="needs Numba")
@settings(max_examples=150)
@given(st.lists(packet(), min_size=1, max_size=40))
def test_nonsense_is_the_same_compiled(rows: list[list[int]]) -> None:
    import numpy as np

    packets = batch(rows)
    plain, fast = Analyser(), Analyser(compiled=True)
    plain.feed(packets, len(rows))
    fast.feed(np.array(packets), len(rows))  # type: ignore[arg-type]
    assert fast.rows[: fast.live * ROW].tolist() == plain.rows[: plain.live * ROW].tolist()
