"""What takes time, told to the engine and to a Linux kernel: timers, giving up, lingering, ICMP, loss."""

from __future__ import annotations

import pytest

from lastack.model.time import MILLISECOND

from .losses import by_chance
from .stories import LATE_TIME_OUTS, ONLY_MODERN, STORIES
from .told import Name, Settings, Story, differences, differing, on_engine

LOSSES = {f"losses {seed}": by_chance(seed) for seed in range(200)}


def lines(found: dict[Name, list[str]]) -> str:
    return "\n".join(
        f"{name} ({'with' if modern else 'without'} options)\n    " + "\n    ".join(lines)
        for (name, modern), lines in found.items()
    )


@pytest.mark.root
@pytest.mark.parametrize(
    ("settings", "stories"),
    STORIES,
    ids=[" ".join(f"{name}={value}" for name, value in settings.items()) or "defaults" for settings, _ in STORIES],
)
def test_a_story_goes_as_with_linux(settings: Settings, stories: dict[str, Story]) -> None:
    left = [(name, modern) for name in stories for modern in (True, False) if modern or name not in ONLY_MODERN]
    found = differing(settings, stories, left)
    assert not found, lines(found)


@pytest.mark.root
@pytest.mark.parametrize("modern", [True, False], ids=["SACK", "NewReno"])
def test_random_losses_are_mended_as_by_linux(modern: bool) -> None:
    # RACK tells by microseconds which of two that left at once was first: then nobody can say what is right.
    names = [name for name, story in LOSSES.items() if not hangs_on_microseconds(story, modern)]
    assert len(names) > 0.9 * len(LOSSES)
    # So many at a time: a busy machine would be late for more.
    for begin in range(0, len(names), 60):
        found = differing(LATE_TIME_OUTS, LOSSES, [(name, modern) for name in names[begin : begin + 60]])
        assert not found, lines(found)


def hangs_on_microseconds(story: Story, modern: bool) -> bool:
    together, apart = (on_engine(story, modern, LATE_TIME_OUTS, apart) for apart in (0, MILLISECOND // 2))
    return bool(differences(together, apart))
