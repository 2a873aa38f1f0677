from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.report.escape import visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("nginx: worker", "nginx: worker"),
        ("größe 日本 ✓", "größe 日本 ✓"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\tc\rd\x00", r"a\x0ab\x09c\x0dd\x00"),
        ("\x7f\x9b31m\x85", r"\x7f\x9b31m\x85"),
        ("abc\u202etxt.exe", r"abc\u202etxt.exe"),
        ("\u2066x\u2069\u200f\u061c", r"\u2066x\u2069\u200f\u061c"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028end", r"line\u2028end"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(raw: str, shown: str) -> None:
    assert visible(raw) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_no_text_keeps_anything_that_a_terminal_obeys_or_utf8_refuses(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert all(character.isprintable() or character.isspace() or ord(character) > 0xFF for character in shown)
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in shown)


@given(st.text())
def test_safe_text_is_left_alone(text: str) -> None:
    assert visible(visible(text)) == visible(text)
