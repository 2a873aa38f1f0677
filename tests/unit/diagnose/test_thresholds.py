"""The one table of thresholds, and what the documentation is made from."""

from __future__ import annotations

from dataclasses import fields

from lastack.diagnose.thresholds import Thresholds, threshold_rows
from lastack.model.time import MINUTE, spoken


def test_every_threshold_is_documented_with_value_unit_and_meaning() -> None:
    rows = threshold_rows()
    assert len(rows) == len(fields(Thresholds))
    assert all(name and value and meaning for name, value, meaning in rows)
    assert ("min_age", spoken(MINUTE), "a closing state younger than this is lawful and not spoken of") in rows
    assert any(name == "ports_warning" and value == "50%" for name, value, _ in rows)
    assert any(name == "close_wait_error" and value == "20 connections" for name, value, _ in rows)


def test_an_error_begins_no_sooner_than_its_warning() -> None:
    limits = Thresholds()
    assert limits.ports_error > limits.ports_warning
    assert limits.descriptors_error > limits.descriptors_warning
    assert limits.limit_error > max(limits.orphans_warning, limits.memory_warning, limits.conntrack_warning)
