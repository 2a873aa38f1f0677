"""Moments as people name them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from lastack.archive.when import moment, shown
from lastack.model.time import SECOND

NOW = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)  # 10:30:15 in Berlin


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def named(text: str) -> str:
    return datetime.fromtimestamp(moment(text, round(NOW.timestamp()) * SECOND) / SECOND, UTC).isoformat()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("03:12", "2026-11-21T02:12:00+00:00"),
        ("10:30:15", "2026-11-21T09:30:15+00:00"),
        ("10:31", "2026-11-20T09:31:00+00:00"),  # not yet today: yesterday's
        ("yesterday 03:12", "2026-11-20T02:12:00+00:00"),
        ("03:12Z", "2026-11-21T03:12:00+00:00"),
        ("2026-11-20 03:12", "2026-11-20T02:12:00+00:00"),
        ("2026-07-01 03:12", "2026-07-01T01:12:00+00:00"),  # summer
        ("2026-11-20T03:12:05.25Z", "2026-11-20T03:12:05.250000+00:00"),
        ("2026-11-20T03:12+05:00", "2026-11-19T22:12:00+00:00"),
        ("2h", "2026-11-21T07:30:15+00:00"),
        ("90s ago", "2026-11-21T09:28:45+00:00"),
    ],
)
def test_a_moment_is_read(text: str, meant: str) -> None:
    assert named(text) == meant


@pytest.mark.parametrize("text", ["", "lunch", "25:00", "03:60", "2026-13-01", "9999999999d", "-2h"])
def test_what_is_none_is_refused_and_the_forms_are_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no moment: 03:12 \(the latest\)"):
        named(text)


def test_a_moment_is_shown_with_its_offset() -> None:
    assert shown(round(NOW.timestamp()) * SECOND) == "2026-11-21 10:30:15 +0100"
