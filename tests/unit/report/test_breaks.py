"""Where lines end, in languages with blanks and without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from lastack.report.breaks import breaks

SIGNS = "ab (),.x_-中文，。（）、：；“”《》é\u3000"


def lines(text: str, width: int) -> list[str]:
    return [line.plain.rstrip() for line in Text(text).divide(breaks(text, width))]


@pytest.mark.parametrize(
    ("text", "width", "broken"),
    [
        ("the last ACK is lost", 12, ["the last ACK", "is lost"]),
        ("关闭经过 FIN_WAIT_1、FIN_WAIT_2、TIME_WAIT", 22, ["关闭经过 FIN_WAIT_1、", "FIN_WAIT_2、TIME_WAIT"]),
        ("一直停留在 CLOSE_WAIT，直到", 11, ["一直停留在", "CLOSE_WAIT", "，直到"]),
        ("调小它可以，但是不好", 10, ["调小它可", "以，但是不", "好"]),
        ("设为零（默认是一）", 8, ["设为零", "（默认是", "一）"]),
        ("tcp_keepalive_time", 10, ["tcp_keepal", "ive_time"]),
        ("有条件地成立：tcp_syncookies 设为 0", 16, ["有条件地成立：", "tcp_syncookies", "设为 0"]),
        ("", 10, [""]),
    ],
)
def test_a_line_ends_at_blanks_and_between_chinese_characters(text: str, width: int, broken: list[str]) -> None:
    assert lines(text, width) == broken


@given(st.text(SIGNS, max_size=60), st.integers(8, 40))
def test_no_line_is_too_wide_and_nothing_is_lost(text: str, width: int) -> None:
    broken = lines(text, width)
    assert max(map(cell_len, broken)) <= width
    assert "".join("".join(broken).split()) == "".join(text.split())


@given(st.lists(st.sampled_from(["中", "ab", "文，", "（文", "（b）", "x。", "“字”", "：", " "])), st.integers(8, 40))
def test_closing_marks_begin_no_line_and_opening_ones_end_none(parts: list[str], width: int) -> None:
    text = "字".join(parts)
    starts = breaks(text, width)
    assert [text[at] for at in starts if text[at] in "，。）：”"] == []
    assert [text[at - 1] for at in starts if text[at - 1] in "（“"] == []


@given(st.lists(st.text("abc-(),.", min_size=1, max_size=8)), st.sampled_from([" ", "  "]), st.integers(8, 40))
def test_english_is_broken_as_rich_does_where_words_fit(words: list[str], blanks: str, width: int) -> None:
    from rich._wrap import divide_line

    text = blanks.join(words)
    assert breaks(text, width) == divide_line(text, width, fold=True)
