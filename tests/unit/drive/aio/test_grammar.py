"""Whatever both ends do, in whatever order: a protocol is called by asyncio's grammar, and gets what was written."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .stage import OURS, Side, World, linger_zero

GRAMMAR = re.compile(r"made( pause| resume| data)*( eof( pause| resume)*)? lost")
"""No data after the end of file, and nothing after the connection is lost."""

ACTS = st.sampled_from(("write", "much", "eof", "pause", "resume", "close", "abort", "reset", "rest", "turn"))
SCRIPTS = st.lists(st.tuples(st.booleans(), ACTS), max_size=20)


def act(side: Side, name: str, written: list[int]) -> None:
    """One thing that a program may do; `written` is how much this side has, while it could."""
    transport = side.transport
    if name in ("write", "much"):
        amount = 7 if name == "write" else 300_000
        with suppress(RuntimeError):
            heard = not transport.is_closing()
            transport.write(bytes(amount))
            if heard:
                written.append(amount)
    elif name == "eof":
        # As with the kernel's: there may be no connection any more to shut down.
        with suppress(OSError):
            transport.write_eof()
    elif name == "pause":
        transport.pause_reading()
    elif name == "resume":
        transport.resume_reading()
    elif name == "close":
        transport.close()
    elif name == "reset":
        with suppress(OSError):
            linger_zero(transport)
        transport.abort()
    elif name == "abort":
        transport.abort()


def check(side: Side, other_wrote: int) -> None:
    """What one side was told is lawful, and it has got no more than was sent."""
    kinds = [note.split()[0] for note in side.notes]
    assert GRAMMAR.fullmatch(" ".join(kinds)), side.notes
    turns = [kind for kind in kinds if kind in ("pause", "resume")]
    assert turns == ["pause", "resume"] * (len(turns) // 2) + ["pause"] * (len(turns) % 2)
    assert len(side.data) <= other_wrote
    assert not any(side.data)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(script=SCRIPTS, keep=st.tuples(st.booleans(), st.booleans()))
def test_callbacks_follow_the_grammar_whatever_happens(script: list[tuple[bool, str]], keep: tuple[bool, bool]) -> None:
    async def scene() -> None:
        world = World(OURS)
        sides = await world.pair(Side(keep_open=keep[0]), Side(keep_open=keep[1]))
        written: tuple[list[int], list[int]] = ([], [])
        for which, name in script:
            if name == "rest":
                await asyncio.sleep(0.002)
            elif name == "turn":
                await asyncio.sleep(0)
            else:
                act(sides[which], name, written[which])
        for side in sides:
            side.transport.resume_reading()
        for side in sides:
            side.transport.close()
        # Two that both hold much back, and have both stopped reading, would wait for each other for ever.
        await asyncio.sleep(0.02)
        for side in sides:
            side.transport.abort()
        async with asyncio.timeout(3):
            await world.over()
            await asyncio.sleep(0)
        for index, side in enumerate(sides):
            check(side, sum(written[1 - index]))
        # Who was told of no error and read to the end has got all that the other wrote before it closed.
        names = [name for _, name in script]
        if not {"abort", "reset", "close"} & set(names):
            for index, side in enumerate(sides):
                if "eof" in side.notes and sides[1 - index].error is None:
                    assert len(side.data) == sum(written[1 - index]), side.notes
        assert world.reported == []

    with asyncio.Runner(loop_factory=OURS.loop) as runner:
        runner.run(scene())
