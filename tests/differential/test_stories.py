"""What takes time, told to the engine and to a Linux kernel: timers, giving up, lingering, ICMP, loss."""

from __future__ import annotations

import pytest

from .ends import Wire
from .stories import ONLY_MODERN, STORIES
from .told import Settings, Step, Story, differences, on_engine, on_kernel

ATTEMPTS = 4
"""A difference must show every time: a busy machine may come too late now and then."""


def alone(settings: Settings, names: list[tuple[str, bool]], stories: dict[str, Story]) -> list[list[Step]]:
    """What the kernel does in a namespace of its own."""
    with Wire.open(**settings) as wire:
        return on_kernel(wire, [(stories[name], modern) for name, modern in names])


@pytest.mark.root
@pytest.mark.parametrize(
    ("settings", "stories"),
    STORIES,
    ids=[" ".join(f"{name}={value}" for name, value in settings.items()) or "defaults" for settings, _ in STORIES],
)
def test_a_story_goes_as_with_linux(settings: Settings, stories: dict[str, Story]) -> None:
    left = [(name, modern) for name in stories for modern in (True, False) if modern or name not in ONLY_MODERN]
    found: dict[tuple[str, bool], list[str]] = {}
    for _ in range(ATTEMPTS):
        seen = dict(zip(left, alone(settings, left, stories), strict=True))
        found = {
            one: lines
            for one, steps in seen.items()
            if (lines := differences(steps, on_engine(stories[one[0]], one[1], settings)))
        }
        left = list(found)
        if not left:
            break
    assert not found, "\n".join(
        f"{name} ({'with' if modern else 'without'} options)\n    " + "\n    ".join(lines)
        for (name, modern), lines in found.items()
    )
