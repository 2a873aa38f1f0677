"""Every cut of captures that are awkward to cut."""

from __future__ import annotations

from itertools import combinations

import pytest

from lastack.capture.flows import Analyser
from lastack.capture.packets import WIDTH
from lastack.capture.pieces import finish, join

from .segments import Talk


def reused(talk: Talk) -> Talk:
    """The same four-tuple, other numbers."""
    talk.wait(3000).bases = [9_000_000, 12_000_000]
    return talk


AWKWARD = {
    "a handshake of repetitions": Talk().client("S").server("S.", 0, 1).wait(1000).client("S").server("S.", 0, 1)
    .server("S.", 0, 1).client(".", 1, 1).client("P.", 1, 1, 10).server(".", 1, 11),
    "a SYN that the capture has twice": Talk().client("S", ident=9).client("S", ident=9, after=0.01)
    .server("S.", 0, 1, after=20).client(".", 1, 1).client("F.", 1, 1),
    "a port used again": reused(Talk().open().close()).open().close().server("F.", 1, 2).client(".", 2, 2),
    "a port used again without an end": reused(Talk().open().client("P.", 1, 1, 10)).open(),
    "an old connection in the way": reused(Talk().open()).client("S").server(".", -11_500_000, -8_999_000)
    .client("R", -8_999_000).client("S").server("S.", 0, 1).client(".", 1, 1),
    "a refusal and a new try": reused(Talk().client("S").server("R.", 0, 1)).open(),
    "no handshake": Talk().client("P.", 5, 5, 10).server(".", 5, 15).client("F.", 15, 5).server("F.", 5, 16)
    .client(".", 16, 6),
    "overtaken": Talk().server("S.", 0, 1).client(".", 1, 1).client("S").client("P.", 11, 1, 10)
    .client("P.", 1, 1, 10).server(".", 1, 21),
    "crossing SYNs": Talk().client("S").server("S").client("S.", 0, 1).server("S.", 0, 1).client("F.", 1, 1),
    "a long quiet": Talk().open().close().wait(125_000).client(".", 2, 2).server("R", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", AWKWARD)
def test_any_two_cuts_change_nothing(name: str) -> None:
    talk = AWKWARD[name]
    whole = Analyser()
    whole.feed(talk.rows, talk.count)
    expected = list(whole.finish().rows())
    for cuts in combinations(range(talk.count + 1), 2):
        places = (0, *cuts, talk.count)
        for right_first in (False, True):
            parts = [Analyser(log=number > 0) for number in range(3)]
            for part, start, stop in zip(parts, places, places[1:], strict=False):
                part.feed(talk.rows[start * WIDTH : stop * WIDTH], stop - start)
            if right_first:
                parts[1:] = [join(parts[1], parts[2])]
            assert list(finish(parts).rows()) == expected, cuts


def test_pieces_must_fit() -> None:
    with pytest.raises(ValueError, match="without a log"):
        join(Analyser(), Analyser())


def test_a_log_keeps_what_may_be_needed_and_no_more() -> None:
    talk = Talk()
    for number in range(400):
        talk.ends = ((*talk.ends[0][:2], 1024 + number), talk.ends[1])
        talk.open()
        for _ in range(5):
            talk.client("P.", 1, 1, 10).server(".", 1, 11)
    part = Analyser(log=True)
    part.feed(talk.rows, talk.count)
    # Of connections whose handshake is whole the SYN alone has to stay.
    assert part.book[4] // 17 < 3 * 400
