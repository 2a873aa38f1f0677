"""What never answers is left behind, and what answers is heard."""

from __future__ import annotations

import threading

from lastack.live.within import within


def test_what_answers_in_time_is_returned() -> None:
    assert within(10, lambda: 7) == 7


def test_what_never_answers_is_left_behind() -> None:
    answer = threading.Event()
    try:
        assert within(0.01, answer.wait) is None
    finally:
        answer.set()
