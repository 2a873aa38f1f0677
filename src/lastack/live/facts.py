"""Settings, counters and limits of the network namespace that the calling thread is in, and of the machine.

/proc/thread-self/net is the calling thread's namespace; /proc/net and /proc/self/net are that of the process's first
thread, whatever namespace the caller has entered. /proc/sys/net looks at the calling thread too, and shows what belongs
to the whole machine (`tcp_mem`, `tcp_max_orphans`) in the initial namespace only.

What is missing or makes no sense is left out, or None; nothing here raises.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lastack.linux import sysctl
from lastack.model.host import Usage
from lastack.model.time import Nanos

NET: Final = Path("/proc/thread-self/net")

SETTINGS: Final = (
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_migrate_req",
    "net.ipv4.tcp_orphan_retries",
    "net.ipv4.tcp_retries1",
    "net.ipv4.tcp_retries2",
    "net.ipv4.tcp_rfc1337",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_synack_retries",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_recycle",  # gone since Linux 4.12: there only on an older kernel
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_tw_reuse_delay",  # since 6.14
    "net.ipv4.tcp_wmem",
    "net.core.netdev_max_backlog",
    "net.core.somaxconn",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_tcp_timeout_fin_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_last_ack",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
    "fs.file-max",
    "fs.nr_open",
)
"""Every sysctl that a rule may ask for, or an audit show."""

COUNTERS: Final = (("snmp", "Tcp"), ("netstat", "TcpExt"), ("netstat", "IpExt"))
"""The groups of counters, and the file of each. Where two share a name (InCsumErrors), the first has it."""


def settings() -> dict[str, str]:
    """The sysctls of SETTINGS by their last name, values as text (numbers of a list parted by white space).

    What this kernel or namespace has not is left out.
    """
    found = ((name.rpartition(".")[2], sysctl.read(name)) for name in SETTINGS)
    return {name: value for name, value in found if value is not None}


def counters(net: Path = NET) -> dict[str, int]:
    """Tcp, TcpExt and IpExt counters since the namespace was made, by name without the group (`ListenOverflows`).

    snmp_counter.rst and RFC 4022 say what each counts.
    """
    found: dict[str, int] = {}
    for file, group in COUNTERS:
        for name, value in _group(_read(net / file), group):
            found.setdefault(name, value)
    return found


def time_wait(net: Path = NET) -> Usage:
    """TIME_WAIT (and FIN_WAIT_2) mini-sockets, IPv4 and IPv6, against tcp_max_tw_buckets; of the namespace alone."""
    return Usage(_sockstat(net, "tw"), _number("net.ipv4.tcp_max_tw_buckets"))


def orphans(net: Path = NET) -> Usage:
    """Sockets that no process holds and that still close, against tcp_max_orphans; of the whole machine."""
    return Usage(_sockstat(net, "orphan"), _number("net.ipv4.tcp_max_orphans"))


def tcp_memory_pages(net: Path = NET) -> Usage:
    """Pages in TCP's buffers, against the last of the three numbers of tcp_mem; of the whole machine."""
    return Usage(_sockstat(net, "mem"), _number("net.ipv4.tcp_mem", position=2))


def conntrack() -> Usage:
    """Connections tracked in the namespace, against nf_conntrack_max; both None where the module is not loaded."""
    return Usage(_number("net.netfilter.nf_conntrack_count"), _number("net.netfilter.nf_conntrack_max"))


def uptime_ns() -> Nanos:
    """Time since the machine started, suspended or not."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _group(text: str, group: str) -> Iterator[tuple[str, int]]:
    """The counters of one group: a line of names, and then one of numbers, both starting with `group:`."""
    rows = [line.split()[1:] for line in text.splitlines() if line.startswith(f"{group}:")]
    for names, values in zip(rows[::2], rows[1::2], strict=False):
        for name, value in zip(names, values, strict=False):
            number = _integer(value)
            if number is not None:
                yield name, number


def _sockstat(net: Path, word: str) -> int | None:
    """The number after `word` in the line on TCP, which counts IPv6 too in all but `inuse`."""
    for line in _read(net / "sockstat").splitlines():
        words = line.split()
        if words[:1] == ["TCP:"] and word in words[:-1]:
            return _integer(words[words.index(word) + 1])
    return None


def _number(name: str, position: int = 0) -> int | None:
    words = (sysctl.read(name) or "").split()
    return _integer(words[position]) if position < len(words) else None


def _integer(word: str) -> int | None:
    try:
        return int(word)
    except ValueError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
