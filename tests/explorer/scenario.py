"""What one exploration is about: the settings of both hosts, what may happen, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field

from lastack.tcp import Settings, SocketOptions

MAXIMUM_SEGMENT_LIFETIME = 30_000_000_000
"""Half of Linux's TIME_WAIT, in nanoseconds: a wait this long or longer empties the network."""


def plain(**changes: int) -> Settings:
    """Settings that leave out the variety that says nothing about states.

    A time-out of one second whatever was measured, no backing off, and few retries: then the round-trip estimate
    is dead, and a state without it is the whole state. No SACK (its scoreboard is explored by properties), a fixed
    receive buffer, no cookies. ACKs are delayed as in Linux, but only one is quick.
    """
    settings = Settings.linux()
    settings.tcp_rto_min_us, settings.tcp_rto_max_ms, settings.initial_rto_ms = 1_000_000, 1000, 1000
    settings.tcp_syn_retries = settings.tcp_synack_retries = 2
    settings.tcp_retries2 = settings.tcp_orphan_retries = 2
    settings.tcp_syn_linear_timeouts = settings.tcp_syncookies = 0
    settings.tcp_timestamps = settings.tcp_sack = settings.tcp_dsack = settings.tcp_window_scaling = 0
    settings.tcp_early_retrans = 0
    settings.tcp_congestion_control = "newreno"
    settings.tcp_moderate_rcvbuf = settings.tcp_slow_start_after_idle = 0
    settings.quick_acks = 1
    for name, value in changes.items():
        setattr(settings, name, value)
    return settings


@dataclass
class Scenario:
    """A world's beginning and its bounds.

    `opens`, `sends`, `crashes`: how often the application of A and of B may connect, may send one octet, and how
    often the host may lose power and come back. `lose`, `duplicate`, `delay`: how often the network may, on one
    path. `early`: how often a timer may go off while something is still on its way and due to arrive.
    """

    name: str
    about: str
    settings: Settings = field(default_factory=plain)
    options: SocketOptions = field(default_factory=lambda: SocketOptions(so_reuseaddr=True))
    listens: bool = True
    opens: tuple[int, int] = (1, 0)
    sends: tuple[int, int] = (1, 1)
    crashes: tuple[int, int] = (0, 0)
    ends: tuple[str, ...] = ("shutdown", "close")
    reads_at_once: bool = True
    lose: int = 1
    duplicate: int = 1
    delay: int = 1
    early: int = 1
    capacity: int = 3
    follows: int | None = None
    """The side (0 is A) that closes only after the end of file, so that the other is the one who waits."""
    again_after_order: bool = False
    """A connects again only if its connection before ended in order: then TIME_WAIT or PAWS stands, as it should."""
    isn_steps: tuple[int, int] = (1 << 20, 1 << 20)
    """How far each host's initial sequence number moves from one connection to the next."""
