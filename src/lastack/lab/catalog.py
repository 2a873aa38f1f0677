"""Every experiment there is, in the order of the book."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from lastack.errors import CallError
from lastack.model.lab import Words

from .experiment import Experiment
from .experiments import (
    ack_lost,
    assassination,
    backlog,
    close_wait_busy,
    close_wait_descriptors,
    close_wait_leak,
    data_after_close,
    delayed_ack,
    fast_close_option,
    fin_lost,
    fin_out_of_order,
    fin_timeout_myth,
    fin_wait_2_timeout,
    four_way_close,
    half_close,
    handshake,
    heartbeat,
    inherited_descriptor,
    keepalive_alive,
    keepalive_close_wait,
    keepalive_rebooted,
    keepalive_unreachable,
    last_ack_lost,
    last_ack_pile,
    linger_zero,
    load_balancer,
    long_or_short,
    max_tw_buckets,
    memory,
    msl_and_ttl,
    old_duplicate,
    passive_side_states,
    port_exhaustion,
    reuseaddr,
    server_closes_first,
    server_time_wait_ports,
    shorter_msl,
    simultaneous_close,
    syn_cookies,
    syn_to_last_ack,
    syn_to_time_wait,
    three_segment_close,
    three_segments_last_ack_lost,
    time_wait_length,
    timestamps_replace_2msl,
    tw_recycle,
    tw_reuse,
    unread_data,
)

CHAPTERS: Final = {
    "close": Words("The close itself", "关闭本身"),
    "time-wait": Words("TIME_WAIT", "TIME_WAIT"),
    "close-wait": Words("CLOSE_WAIT, dead peers, queues", "CLOSE_WAIT、失联的对端、队列"),
}
EXPERIMENTS: Final[tuple[Experiment, ...]] = (
    four_way_close.EXPERIMENT,
    three_segment_close.EXPERIMENT,
    simultaneous_close.EXPERIMENT,
    half_close.EXPERIMENT,
    server_closes_first.EXPERIMENT,
    fin_lost.EXPERIMENT,
    ack_lost.EXPERIMENT,
    last_ack_lost.EXPERIMENT,
    fin_out_of_order.EXPERIMENT,
    linger_zero.EXPERIMENT,
    unread_data.EXPERIMENT,
    data_after_close.EXPERIMENT,
    delayed_ack.EXPERIMENT,
    fin_wait_2_timeout.EXPERIMENT,
    three_segments_last_ack_lost.EXPERIMENT,
    passive_side_states.EXPERIMENT,
    fast_close_option.EXPERIMENT,
    syn_to_last_ack.EXPERIMENT,
    time_wait_length.EXPERIMENT,
    fin_timeout_myth.EXPERIMENT,
    old_duplicate.EXPERIMENT,
    msl_and_ttl.EXPERIMENT,
    syn_to_time_wait.EXPERIMENT,
    tw_reuse.EXPERIMENT,
    tw_recycle.EXPERIMENT,
    max_tw_buckets.EXPERIMENT,
    reuseaddr.EXPERIMENT,
    assassination.EXPERIMENT,
    port_exhaustion.EXPERIMENT,
    server_time_wait_ports.EXPERIMENT,
    timestamps_replace_2msl.EXPERIMENT,
    memory.EXPERIMENT,
    load_balancer.EXPERIMENT,
    long_or_short.EXPERIMENT,
    shorter_msl.EXPERIMENT,
    close_wait_leak.EXPERIMENT,
    close_wait_descriptors.EXPERIMENT,
    close_wait_busy.EXPERIMENT,
    inherited_descriptor.EXPERIMENT,
    keepalive_alive.EXPERIMENT,
    keepalive_rebooted.EXPERIMENT,
    keepalive_unreachable.EXPERIMENT,
    keepalive_close_wait.EXPERIMENT,
    heartbeat.EXPERIMENT,
    last_ack_pile.EXPERIMENT,
    handshake.EXPERIMENT,
    backlog.EXPERIMENT,
    syn_cookies.EXPERIMENT,
)


def named(name: str) -> Experiment:
    """The experiment of that name (`tw_recycle` is `tw-recycle`), or of a file `NAME.py` that defines EXPERIMENT.

    Raises CallError, which names those that come near, where there is none.
    """
    from difflib import get_close_matches

    if name.endswith(".py"):
        return _of_file(name)
    plain = _plain(name)
    for experiment in EXPERIMENTS:
        if experiment.name == plain:
            return experiment
    near = get_close_matches(plain, [experiment.name for experiment in EXPERIMENTS], n=3)
    listed = f"see lastack lab list {name}" if about([name]) else "see lastack lab list"
    hint = f"did you mean {' or '.join(near)}?" if near else listed
    raise CallError(f"no experiment is called {name!r}; {hint}")


def about(words: Sequence[str]) -> list[Experiment]:
    """The experiments whose names or claims have all these words, in either language; where none has, whose lessons."""
    patterns = [_pattern(word) for word in words]
    claims = [(one, f"{one.name} {' '.join(one.claim)}") for one in EXPERIMENTS]
    lessons = [(one, " ".join((*one.lesson, *(one.condition or ())))) for one in EXPERIMENTS]
    for texts in (claims, lessons):
        found = [one for one, text in texts if all(pattern.search(_plain(text)) for pattern in patterns)]
        if found:
            return found
    return []


def _pattern(word: str) -> re.Pattern[str]:
    """A word where it begins one (RST, and not in `first`); Chinese has no blanks to go by."""
    plain = _plain(word)
    return re.compile(("(?<![a-z0-9])" if plain[:1].isascii() else "") + re.escape(plain))


def _plain(text: str) -> str:
    """`CLOSE_WAIT`, `close-wait` and `close wait` are the same to somebody who looks for something."""
    return text.lower().replace("_", "-").replace(" ", "-")


def _of_file(path: str) -> Experiment:
    from runpy import run_path

    try:
        found = run_path(path, run_name="experiment").get("EXPERIMENT")
    except OSError as error:
        raise CallError(f"cannot read {path}: {error.strerror}") from None
    except Exception as error:  # whatever the user's file does
        raise CallError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(found, Experiment):
        raise CallError(f"{path} defines no EXPERIMENT of lastack.lab.experiment.Experiment")
    return found
