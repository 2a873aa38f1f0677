"""Every experiment there is, in the order of the book."""

from __future__ import annotations

from typing import Final

from lastack.errors import CallError

from .experiment import Experiment
from .experiments import (
    backlog,
    close_wait_busy,
    close_wait_leak,
    handshake,
    heartbeat,
    keepalive_alive,
    keepalive_close_wait,
    keepalive_rebooted,
    keepalive_unreachable,
    last_ack_pile,
    syn_cookies,
    three_segment_close,
)

EXPERIMENTS: Final[tuple[Experiment, ...]] = (
    three_segment_close.EXPERIMENT,
    close_wait_leak.EXPERIMENT,
    close_wait_busy.EXPERIMENT,
    keepalive_close_wait.EXPERIMENT,
    keepalive_alive.EXPERIMENT,
    keepalive_rebooted.EXPERIMENT,
    keepalive_unreachable.EXPERIMENT,
    heartbeat.EXPERIMENT,
    last_ack_pile.EXPERIMENT,
    handshake.EXPERIMENT,
    backlog.EXPERIMENT,
    syn_cookies.EXPERIMENT,
)


def named(name: str) -> Experiment:
    """The experiment of that name. Raises CallError, which names those that come near, where there is none."""
    from difflib import get_close_matches

    for experiment in EXPERIMENTS:
        if experiment.name == name:
            return experiment
    near = get_close_matches(name, [experiment.name for experiment in EXPERIMENTS], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "see lastack lab list"
    raise CallError(f"no experiment is called {name!r}; {hint}")
