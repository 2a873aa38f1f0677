"""Random connection tables: any columns, any nulls (which hold rubbish, as they may), any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from lastack.model import COLUMN, Column, ConnectionTable, Values
from lastack.model.record import ADDRESS, TEXT, address_dtype

unhurried = settings(deadline=None)

MAPPED = 0xFFFF << 32
HALVES = st.one_of(
    st.tuples(st.just(0), st.integers(MAPPED, MAPPED + (1 << 32) - 1)),
    st.tuples(st.just(0), st.sampled_from([MAPPED | 0x7F00_0001, MAPPED | 0x0A00_0001, 0, 1])),
    st.tuples(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1)),
    st.sampled_from([(0x2001_0DB8_0000_0000, 1), (0x2001_0DB8_0001_0000, 1)]),
)
USUAL = {
    "local_port": [22, 80, 443, 32768, 60999],
    "remote_port": [22, 80, 443, 40000],
    "family": [4, 6],
    "pid": [1, 4711],
    "recv_q": [0, 1, 100],
    "send_q": [0, 1, 100],
    "age_ns": [0, 59_999_999_999, 60_000_000_000, 60_000_000_001],
}


def one(column: Column) -> st.SearchStrategy[Any]:
    """A value of a column: any, or one of those that filters in the tests ask about."""
    if column.words is not None:
        return st.sampled_from([int(word) for word in column.words])
    if column.dtype == "bool":
        return st.booleans()
    limits = np.iinfo(column.dtype)
    every = st.integers(int(limits.min), int(limits.max))
    return st.one_of(st.sampled_from(USUAL[column.name]), every) if column.name in USUAL else every


STRINGS = ["nginx", "sshd", "a.service", "", "tmux: server", "ü€𝄞", "\udc80\x1b[31m", "x" * 300]


@st.composite
def filled(draw: st.DrawFn, column: Column, length: int) -> Values:
    known = draw(st.one_of(st.just(-1), st.integers(0, (1 << length) - 1)))
    valid = np.array([known >> row & 1 for row in range(length)], np.bool_)
    if column.dtype == TEXT:
        strings = tuple(draw(st.lists(st.sampled_from(STRINGS), max_size=4)))
        valid &= bool(strings)
        codes = draw(st.lists(st.integers(0, max(len(strings) - 1, 0)), min_size=length, max_size=length))
        return Values(np.where(valid, np.array(codes, np.int32), 1 << 30).astype(np.int32), valid, strings)
    if column.dtype == ADDRESS:
        values = np.array(draw(st.lists(HALVES, min_size=length, max_size=length)), address_dtype())
    else:
        values = np.array(draw(st.lists(one(column), min_size=length, max_size=length)), column.dtype)
    if column.words is not None:
        values = np.where(valid, values, 255).astype(column.dtype)
    return Values(values, None if known == -1 else valid)


@st.composite
def any_table(draw: st.DrawFn, must: Sequence[str] = (), columns: Sequence[str] = tuple(COLUMN)) -> ConnectionTable:
    length = draw(st.integers(0, 6))
    chosen = dict.fromkeys((*must, *draw(st.lists(st.sampled_from(columns), max_size=len(columns), unique=True))))
    return ConnectionTable(length, {name: draw(filled(COLUMN[name], length)) for name in chosen})
