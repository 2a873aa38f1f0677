"""What an experiment is: a claim, knobs, what plays and judges it, and a setting that flips the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from lastack.model.lab import About, Outcome, Setting, Verdict, Words

if TYPE_CHECKING:
    from .lab import Lab


class Knob(NamedTuple):
    """Something that can be set with --set. `kernel`: another default where time is real; durations in seconds."""

    name: str
    default: Setting
    meaning: str
    kernel: Setting | None = None


class Experiment(NamedTuple):
    """A claim and how it is tried.

    `source`: where people read it. `expected`: what it comes to with the knobs as they are. `counter`: settings under
    which it comes to `flips_to` instead; `flips_on_engine_alone`: why no kernel can be set so, or empty. `only`: why
    one side alone can show it, or empty; `side` says which then. `reason`: why engine and kernel may differ in a fact,
    where they do. `kernel_s`: about how many seconds the kernel takes. `picture`: which scene's which connection the
    book draws. `condition`: under what the claim holds, where it does only so.
    """

    name: str
    chapter: str
    claim: Words
    source: Words
    lesson: Words
    run: Callable[[Lab], Outcome]
    expected: Verdict
    counter: Mapping[str, Setting]
    flips_to: Verdict
    knobs: tuple[Knob, ...] = ()
    side: str = "both"
    only: str = ""
    flips_on_engine_alone: str = ""
    reason: str = ""
    kernel_s: float = 2.0
    picture: tuple[int, int] | None = (0, 0)
    condition: Words | None = None

    @property
    def about(self) -> About:
        """What is told of it before it is run."""
        return About(self.name, self.claim, self.source, self.lesson, self.expected, self.condition)
