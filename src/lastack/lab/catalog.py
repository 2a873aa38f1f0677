"""Every experiment there is, in the order of the book."""

from __future__ import annotations

from typing import Final

from lastack.errors import CallError
from lastack.model.lab import Words

from .experiment import Experiment
from .experiments import three_segment_close

CHAPTERS: Final = {
    "close": Words("The close itself", "关闭本身"),
    "time-wait": Words("TIME_WAIT", "TIME_WAIT"),
    "close-wait": Words("CLOSE_WAIT, dead peers, queues", "CLOSE_WAIT、失联的对端、队列"),
}
EXPERIMENTS: Final[tuple[Experiment, ...]] = (three_segment_close.EXPERIMENT,)


def named(name: str) -> Experiment:
    """The experiment of that name. Raises CallError, which names those that come near, where there is none."""
    from difflib import get_close_matches

    for experiment in EXPERIMENTS:
        if experiment.name == name:
            return experiment
    near = get_close_matches(name, [experiment.name for experiment in EXPERIMENTS], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "see lastack lab list"
    raise CallError(f"no experiment is called {name!r}; {hint}")
