"""The knobs: one host's settings under their sysctl names, and one socket's options under theirs.

Values are in the units that Linux uses (seconds, milliseconds), so that a number in a file of sysctls can be copied;
where the engine needs nanoseconds it multiplies. Defaults are those of Linux 6.18 on a machine with some memory
(Documentation/networking/ip-sysctl.rst, include/net/tcp.h).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import final

from lastack.model.time import MILLISECOND, SECOND, Nanos, Nanos64
from lastack.native import i64, mypyc_attr

from .challenges import UNLIMITED


@final
@dataclass
class Settings:
    """One host's settings. Plain attributes: change them at any time, as sysctl does.

    Besides the sysctls there are the constants of Linux's source that a standard or an experiment wants otherwise:
    `time_wait_ms` (TCP_TIMEWAIT_LEN; 0 switches TIME_WAIT off), `tcp_tw_recycle` (gone since 4.12), the bounds of the
    delayed ACK and of the initial time-out.
    """

    # -- opening
    tcp_syn_retries: i64 = 6
    tcp_synack_retries: i64 = 5
    tcp_syn_linear_timeouts: i64 = 4
    tcp_syncookies: i64 = 1
    tcp_max_syn_backlog: i64 = 2048
    somaxconn: i64 = 4096
    tcp_abort_on_overflow: i64 = 0
    tcp_timestamps: i64 = 1
    tcp_window_scaling: i64 = 1
    tcp_sack: i64 = 1
    tcp_dsack: i64 = 1
    # -- sending
    tcp_retries2: i64 = 15
    tcp_orphan_retries: i64 = 0
    tcp_rto_min_us: i64 = 200_000
    tcp_rto_max_ms: i64 = 120_000
    tcp_retries1: i64 = 3
    tcp_mtu_probing: i64 = 0
    tcp_base_mss: i64 = 1024
    tcp_mtu_probe_floor: i64 = 48
    tcp_frto: i64 = 2
    tcp_retrans_collapse: i64 = 1
    tcp_reordering: i64 = 3
    tcp_max_reordering: i64 = 300
    tcp_early_retrans: i64 = 3
    tcp_congestion_control: str = "cubic"
    tcp_slow_start_after_idle: i64 = 1
    tcp_min_snd_mss: i64 = 48
    # -- buffers
    tcp_rmem: tuple[i64, i64, i64] = (4096, 131_072, 33_554_432)
    tcp_wmem: tuple[i64, i64, i64] = (4096, 16_384, 4_194_304)
    tcp_moderate_rcvbuf: i64 = 1
    # -- closing
    tcp_fin_timeout: i64 = 60
    tcp_max_tw_buckets: i64 = 131_072
    tcp_tw_reuse: i64 = 2
    tcp_tw_reuse_delay: i64 = 1000
    tcp_rfc1337: i64 = 0
    tcp_max_orphans: i64 = 131_072
    tcp_invalid_ratelimit: i64 = 500
    tcp_challenge_ack_limit: i64 = UNLIMITED
    # -- keepalive
    tcp_keepalive_time: i64 = 7200
    tcp_keepalive_intvl: i64 = 75
    tcp_keepalive_probes: i64 = 9
    # -- IP
    ip_local_port_range: tuple[int, int] = (32_768, 60_999)
    ip_local_reserved_ports: tuple[int, ...] = ()
    ip_default_ttl: i64 = 64
    mtu: i64 = 1500
    gso_max_size: i64 = 0
    """Octets of text that the device below cuts into segments itself; 0: none, every segment leaves alone."""
    # -- constants of Linux's source
    time_wait_ms: i64 = 60_000
    tcp_tw_recycle: i64 = 0
    initial_rto_ms: i64 = 1000
    delayed_ack_min_ms: i64 = 40
    delayed_ack_max_ms: i64 = 200
    quick_acks: i64 = 16
    initial_window_segments: i64 = 10
    minshall: i64 = 1

    @staticmethod
    def linux() -> Settings:
        """Linux's defaults."""
        return Settings()

    @staticmethod
    def rfc9293() -> Settings:
        """What the standards say.

        2 MSL of four minutes, a time-out of a second at least (RFC 6298 2.4), ACKs delayed by up to 0.5 s with no
        quick ones (RFC 9293 3.8.6.3), Nagle's algorithm in its first form (3.7.4), R2 of three minutes for a SYN
        (3.8.3), no time-out in FIN_WAIT_2.
        """
        settings = Settings()
        settings.time_wait_ms = 240_000
        settings.tcp_rto_min_us = 1_000_000
        settings.tcp_rto_max_ms = 60_000
        settings.tcp_syn_linear_timeouts = 0
        settings.tcp_syn_retries = 8
        settings.tcp_syncookies = 0
        settings.tcp_tw_reuse = 0
        settings.tcp_fin_timeout = 0
        settings.tcp_congestion_control = "newreno"
        settings.delayed_ack_min_ms = 200
        settings.delayed_ack_max_ms = 500
        settings.quick_acks = 0
        settings.minshall = 0
        settings.ip_local_port_range = (49_152, 65_535)
        return settings

    def copy(self) -> Settings:
        """Another host's settings with the same values."""
        return replace(self)

    def as_dict(self) -> dict[str, int | str | tuple[int, ...]]:
        """Every setting by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def rto_min(self) -> Nanos:
        """The least retransmission time-out."""
        return self.tcp_rto_min_us * 1000

    @property
    def rto_max(self) -> Nanos:
        """The greatest retransmission time-out."""
        return self.tcp_rto_max_ms * MILLISECOND


@mypyc_attr(acyclic=True, free_list_len=1)
@final
@dataclass(init=False)
class SocketOptions:
    """One socket's options (socket(7), tcp(7), ip(7)). None, or 0: as the host's settings have it.

    `so_linger` seconds or None; `tcp_linger2` seconds, negative: no FIN_WAIT_2 at all; `tcp_user_timeout`
    milliseconds; `tcp_defer_accept` seconds; the keepalive times seconds; `tcp_queue_seq` is the initial sequence
    number of a connection that we open (TCP_REPAIR's), 0: as the clock has it.
    """

    so_keepalive: bool
    so_linger: int | None
    so_oobinline: bool
    so_rcvbuf: i64
    so_sndbuf: i64
    so_reuseaddr: bool
    so_reuseport: bool
    ip_bind_address_no_port: bool
    tcp_congestion: str
    tcp_cork: bool
    tcp_defer_accept: i64
    tcp_keepcnt: i64
    tcp_keepidle: i64
    tcp_keepintvl: i64
    tcp_linger2: i64
    tcp_maxseg: i64
    tcp_nodelay: bool
    tcp_queue_seq: i64
    tcp_syncnt: i64
    tcp_user_timeout: i64

    def __init__(
        self,
        so_keepalive: bool = False,
        so_linger: int | None = None,
        so_oobinline: bool = False,
        so_rcvbuf: i64 = 0,
        so_sndbuf: i64 = 0,
        so_reuseaddr: bool = False,
        so_reuseport: bool = False,
        ip_bind_address_no_port: bool = False,
        tcp_congestion: str = "",
        tcp_cork: bool = False,
        tcp_defer_accept: i64 = 0,
        tcp_keepcnt: i64 = 0,
        tcp_keepidle: i64 = 0,
        tcp_keepintvl: i64 = 0,
        tcp_linger2: i64 = 0,
        tcp_maxseg: i64 = 0,
        tcp_nodelay: bool = False,
        tcp_queue_seq: i64 = 0,
        tcp_syncnt: i64 = 0,
        tcp_user_timeout: i64 = 0,
    ) -> None:
        # Written out, for it happens with every connection: what a dataclass makes is not compiled.
        self.so_keepalive = so_keepalive
        self.so_linger = so_linger
        self.so_oobinline = so_oobinline
        self.so_rcvbuf = so_rcvbuf
        self.so_sndbuf = so_sndbuf
        self.so_reuseaddr = so_reuseaddr
        self.so_reuseport = so_reuseport
        self.ip_bind_address_no_port = ip_bind_address_no_port
        self.tcp_congestion = tcp_congestion
        self.tcp_cork = tcp_cork
        self.tcp_defer_accept = tcp_defer_accept
        self.tcp_keepcnt = tcp_keepcnt
        self.tcp_keepidle = tcp_keepidle
        self.tcp_keepintvl = tcp_keepintvl
        self.tcp_linger2 = tcp_linger2
        self.tcp_maxseg = tcp_maxseg
        self.tcp_nodelay = tcp_nodelay
        self.tcp_queue_seq = tcp_queue_seq
        self.tcp_syncnt = tcp_syncnt
        self.tcp_user_timeout = tcp_user_timeout

    def copy(self) -> SocketOptions:
        """What an accepted connection inherits from its listener."""
        return SocketOptions(
            self.so_keepalive,
            self.so_linger,
            self.so_oobinline,
            self.so_rcvbuf,
            self.so_sndbuf,
            self.so_reuseaddr,
            self.so_reuseport,
            self.ip_bind_address_no_port,
            self.tcp_congestion,
            self.tcp_cork,
            self.tcp_defer_accept,
            self.tcp_keepcnt,
            self.tcp_keepidle,
            self.tcp_keepintvl,
            self.tcp_linger2,
            self.tcp_maxseg,
            self.tcp_nodelay,
            self.tcp_queue_seq,
            self.tcp_syncnt,
            self.tcp_user_timeout,
        )


def keepalive_idle(settings: Settings, options: SocketOptions) -> Nanos64:
    """How long a connection is idle before the first probe (keepalive_time_when)."""
    return (options.tcp_keepidle or settings.tcp_keepalive_time) * SECOND


def keepalive_interval(settings: Settings, options: SocketOptions) -> Nanos64:
    """The time between unanswered probes (keepalive_intvl_when)."""
    return (options.tcp_keepintvl or settings.tcp_keepalive_intvl) * SECOND
