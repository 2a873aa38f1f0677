"""Every experiment there is, in the order of the book."""

from __future__ import annotations

from typing import Final

from lastack.errors import CallError

from .experiment import Experiment
from .experiments import (
    assassination,
    fin_timeout_myth,
    load_balancer,
    max_tw_buckets,
    old_duplicate,
    port_exhaustion,
    reuseaddr,
    server_time_wait_ports,
    syn_to_time_wait,
    three_segment_close,
    time_wait_length,
    tw_reuse,
)

EXPERIMENTS: Final[tuple[Experiment, ...]] = (
    three_segment_close.EXPERIMENT,
    time_wait_length.EXPERIMENT,
    fin_timeout_myth.EXPERIMENT,
    old_duplicate.EXPERIMENT,
    syn_to_time_wait.EXPERIMENT,
    tw_reuse.EXPERIMENT,
    max_tw_buckets.EXPERIMENT,
    reuseaddr.EXPERIMENT,
    assassination.EXPERIMENT,
    port_exhaustion.EXPERIMENT,
    server_time_wait_ports.EXPERIMENT,
    load_balancer.EXPERIMENT,
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
