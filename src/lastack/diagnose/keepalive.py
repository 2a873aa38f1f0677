"""ESTABLISHED connections that say nothing: without keepalive, or with one slower than the network forgets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lastack.model.close import Timer
from lastack.model.finding import Advice, Evidence, Finding, Severity
from lastack.model.state import State
from lastack.model.time import spoken

from .ages import histogram
from .context import Context, Mask, Times
from .owners import by_owner, whereabouts


def idle(context: Context) -> Iterator[Finding]:
    """`established-idle-no-keepalive`: a dead peer would never be noticed. One finding an owner."""
    silence = context.idle_for
    rows = _established(context) & (context.table.values("timer") == Timer.OFF)
    rows &= (silence >= context.thresholds.idle_ns) & (context.table.values("send_q") == 0)
    for owner, index in by_owner(context, rows):
        mine = context.table.select(index)
        yield Finding(
            rule="established-idle-no-keepalive",
            severity=Severity.INFO,
            summary=f"{_count(len(index))} of {owner} idle for over {spoken(context.thresholds.idle_ns)} without "
            "keepalive: if the peer died, nobody would notice",
            evidence=(
                Evidence("idle longest", spoken(int(silence[index].max())), "", "tcp_info"),
                Evidence("keepalive timer armed", 0, "", "sock_diag idiag_timer"),
                *whereabouts(mine),
            ),
            advice=(
                Advice(
                    "Set SO_KEEPALIVE on the socket, with TCP_KEEPIDLE 60, TCP_KEEPINTVL 10, TCP_KEEPCNT 6",
                    "a dead peer is noticed after 2 min (60 s + 6 x 10 s), ETIMEDOUT",
                    "a probe a minute on idle connections",
                ),
                Advice("Or an idle time-out in the application", "idle connections are closed in good order"),
            ),
            useless=("net.ipv4.tcp_keepalive_time alone: without SO_KEEPALIVE on the socket it does nothing",),
            connections=mine,
            histogram=histogram(silence[index], "idle for"),
        )


def slow(context: Context) -> Iterator[Finding]:
    """`keepalive-too-slow`: the next probe comes later than a NAT or load balancer would remember."""
    quiet = quiet_for(context)
    rows = _established(context) & (context.table.values("timer") == Timer.KEEPALIVE)
    rows &= (quiet > context.thresholds.forgotten_ns) & context.leaves_host
    for owner, index in by_owner(context, rows):
        mine = context.table.select(index)
        longest = int(quiet[index].max())
        yield Finding(
            rule="keepalive-too-slow",
            severity=Severity.INFO,
            summary=f"{_count(len(index))} of {owner} with keepalive slower than load balancers and NATs forget "
            f"({spoken(context.thresholds.forgotten_ns)})",
            evidence=(
                Evidence("silence before the next probe, up to", spoken(longest), "", "sock_diag idiag_expires"),
                Evidence("tcp_keepalive_time", context.facts.settings.get("tcp_keepalive_time", "?"), "s", "sysctl"),
                *whereabouts(mine),
            ),
            advice=(
                Advice(
                    "Set TCP_KEEPIDLE on the socket (or net.ipv4.tcp_keepalive_time, for sockets that have "
                    "SO_KEEPALIVE and no value of their own) below the shortest memory on the path, 60 s say",
                    "the path is kept alive; a forgotten connection is noticed in minutes, not hours",
                    "a probe a minute on idle connections",
                ),
            ),
            useless=("changing tcp_keepalive_time for connections already open: their timers are armed",),
            connections=mine,
        )


def quiet_for(context: Context) -> Times:
    """The whole silence that the armed keepalive timer allows: from the last sign of the peer to its next probe."""
    silence = context.silence("last_ack_received_ns", "last_data_received_ns")
    return silence + context.remaining()


def _established(context: Context) -> Mask:
    known = context.table.valid("timer") & context.table.valid("last_ack_received_ns")
    return np.asarray(context.state(State.ESTABLISHED) & known & context.owned, np.bool_)


def _count(number: int) -> str:
    return f"{number:,} connection{'' if number == 1 else 's'}"
