"""All the rules, listed by hand, and the one function that runs them."""

from __future__ import annotations

from typing import Final

from lastack.model.finding import Finding
from lastack.model.host import HostFacts
from lastack.model.record import ConnectionTable

from . import closing, keepalive, limits, queues, settings, timewait
from .closewait import close_wait
from .context import Context
from .rule import Rule, findings
from .thresholds import Thresholds

RULES: Final[tuple[Rule[Context], ...]] = (
    Rule(
        close_wait,
        {
            "close-wait-never-accepted": "the peer closed while the connection was still in the accept queue",
            "close-wait-owner-stopped": "the owner is stopped (a signal, a debugger, a frozen cgroup)",
            "close-wait-busy": "not a leak: still sending, or they end by themselves",
            "close-wait-inherited": "a child process holds the descriptor",
            "close-wait-not-closed": "the end of file was read, the socket never closed",
            "close-wait-eof-unread": "the end of file was never read",
            "close-wait-data-unread": "data was never read, nor the end of file behind it",
        },
    ),
    Rule(
        timewait.ports,
        {
            "time-wait-ports-exhausted": "no port left towards one destination, now or within a minute",
            "time-wait-ports-filling": "half of the port range towards one destination is taken",
        },
    ),
    Rule(timewait.buckets, {"time-wait-buckets-overflow": "tcp_max_tw_buckets is reached, or nearly"}),
    Rule(queues.accept_queue, {
        "accept-queue-full": "a listener drops connections because accept() falls behind",
        "accept-queue-filling": "half of a listener's accept queue is taken",
    }),
    Rule(queues.syn_queue, {
        "syn-queue-full": "a listener has as many half-open connections as it may",
        "syn-queue-filling": "half of a listener's SYN queue is taken",
    }),
    Rule(limits.descriptors, {"descriptors-near-limit": "a process has few descriptors left"}),
    Rule(limits.orphans, {"orphans-near-limit": "connections closed but not ended, against tcp_max_orphans"}),
    Rule(limits.memory, {"tcp-memory-near-limit": "TCP's buffers against tcp_mem"}),
    Rule(limits.conntrack, {"conntrack-near-limit": "the firewall's connection table against its limit"}),
    Rule(
        closing.fin_wait_2,
        {
            "fin-wait-2-owned": "a process waits for the peer's FIN, without any time limit",
            "fin-wait-2-orphaned": "closed here, not by the peer; ends after tcp_fin_timeout",
        },
    ),
    Rule(
        closing.piles,
        {
            "fin-wait-1-pile": "our FIN, or the data before it, is not acknowledged",
            "last-ack-pile": "our FIN, sent after the peer's, is not acknowledged",
            "closing-pile": "the FINs crossed and ours is not acknowledged",
        },
    ),
    Rule(timewait.server_side, {"time-wait-server-side": "this server closes first; what that costs"}),
    Rule(keepalive.idle, {"established-idle-no-keepalive": "idle, and a dead peer would not be noticed"}),
    Rule(keepalive.slow, {"keepalive-too-slow": "the network forgets the connection before the next probe"}),
    Rule(
        settings.fin_timeout,
        {
            "setting-fin-timeout-for-time-wait": "lowered, which does nothing for the TIME_WAIT there are",
            "setting-fin-timeout-above-60": "orphaned FIN_WAIT_2 stay full sockets for longer",
        },
    ),
    Rule(settings.recycle, {"setting-tw-recycle": "on (old kernels), or asked for in vain (new ones)"}),
    Rule(
        settings.reuse,
        {
            "setting-tw-reuse-without-timestamps": "no TIME_WAIT is reused without timestamps",
            "setting-tw-reuse-server-side": "on, where the TIME_WAIT are accepted connections",
        },
    ),
    Rule(settings.somaxconn, {"setting-somaxconn-after-listen": "raised after listen(), which fixed the limit"}),
    Rule(settings.keepalive, {"setting-keepalive-unused": "lowered, where programs do not set SO_KEEPALIVE"}),
    Rule(queues.overflowed, {"accept-queue-overflowed": "an accept queue has overflowed before"}),
)  # fmt: skip


def run(table: ConnectionTable, facts: HostFacts, thresholds: Thresholds | None = None) -> list[Finding]:
    """Every finding of every rule about one network namespace, gravest first, in the rules' order within."""
    return findings(RULES, Context(table, facts, thresholds or Thresholds()))
