from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from .hostile import Hangs, damage, try_script


def test_damaged_scripts_end_and_say_where_they_are_wrong() -> None:
    ran = [try_script(text) for _, text in islice(damage(1), 600)]
    # Neither is everything refused, nor everything taken.
    assert 100 < sum(ran) < 550


@pytest.mark.parametrize("seed", range(20))
def test_rubbish_is_refused_with_its_line(seed: int) -> None:
    octets = Random(seed).randbytes(5000)
    assert not try_script(octets.decode("latin-1"))


def test_a_hundred_thousand_lines_are_read_and_run() -> None:
    assert try_script("+0 `true`\n" * 100_000)


def test_an_error_after_a_hundred_thousand_lines_names_the_line() -> None:
    from lastack.errors import ScriptError
    from lastack.script.parser import parse

    with pytest.raises(ScriptError, match=r"long\.pkt:100001:4: "):
        parse("+0 `true`\n" * 100_000 + "+0 ?", "long.pkt")


def test_the_checks_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    from . import hostile

    def loops(*given: object) -> None:
        while True:
            pass

    monkeypatch.setattr(hostile, "PATIENCE_S", 0.1)
    monkeypatch.setattr(hostile, "parse", loops)
    with pytest.raises(Hangs):
        try_script("0 `true`")
