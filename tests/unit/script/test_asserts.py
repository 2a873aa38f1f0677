from __future__ import annotations

import pytest

from lastack.errors import ScriptError
from lastack.script.asserts import Refused, check

NAMES = {"tcpi_snd_cwnd": 10, "tcpi_rtt": 20_000}


@pytest.mark.parametrize(
    "code",
    [
        "assert tcpi_snd_cwnd == 10",
        "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
        "assert 19000 <= tcpi_rtt < 21000 and not tcpi_snd_cwnd > 10\nassert True",
        "assert tcpi_rtt // 1000 * 2 == 40 if tcpi_snd_cwnd else False",
        "assert tcpi_snd_cwnd & 8 and tcpi_snd_cwnd | 1 == 11 or -1 < 0",
    ],
)
def test_assertions_that_hold_say_nothing(code: str) -> None:
    assert check(code, NAMES) is None


def test_one_that_does_not_hold_says_what_its_names_are() -> None:
    assert check("assert tcpi_snd_cwnd == 11", NAMES) == "tcpi_snd_cwnd == 11 does not hold: tcpi_snd_cwnd is 10"


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "print(1)",
        "assert __import__('os')",
        "assert ().__class__",
        "assert [x for x in (1,)]",
        "assert (lambda: 1)()",
        "x = 1",
        "assert f'{1}'",
        "assert 2 ** 99999999",
        "assert 1 in tcpi_rtt",
    ],
)
def test_anything_else_is_refused(code: str) -> None:
    with pytest.raises(Refused):
        check(code, NAMES)


@pytest.mark.parametrize(
    "code",
    ["assert", "assert (", "assert unknown", "assert 1 // 0", "assert 1 << 99999999999", "assert 'a' * 10**10", "\0"],
)
def test_what_cannot_be_computed_is_an_error(code: str) -> None:
    with pytest.raises(ScriptError):
        check(code, NAMES)
