"""How far each limit is from being reached: what a healthy host is told, and any other as well."""

from __future__ import annotations

from collections.abc import Iterator

from lastack.model.address import Endpoint
from lastack.model.host import Usage
from lastack.model.report import Gauge

from .context import Context
from .queues import owner_of
from .timewait import destinations


def headroom(context: Context) -> Iterator[Gauge]:
    """One gauge a limit, each of whoever is nearest to it."""
    facts = context.facts
    busiest = max(destinations(context), key=lambda d: d[2].used, default=None)
    if busiest is None:
        yield Gauge("ports", 0, context.range_size(), "ports", "", "ip_local_port_range")
    else:
        (source, destination, port), _, use = busiest
        where = f"{source} to {Endpoint(destination, port)}"
        yield Gauge("ports", use.used, use.size, "ports", where, "sock_diag, ip_local_port_range")
    yield from _gauge("TIME_WAIT", facts.time_wait, "mini-sockets", "tcp_max_tw_buckets")
    fullest = max(facts.listeners, key=lambda listener: listener.queue / (listener.limit + 1), default=None)
    if fullest is not None:
        room = fullest.limit + 1
        yield Gauge("accept queue", fullest.queue, room, "connections", owner_of(fullest), "sock_diag")
    holding = set(context.table.values("pid").tolist()).union(*(listener.pids for listener in facts.listeners))
    process = max(
        (p for p in facts.processes.values() if p.pid in holding and p.descriptors is not None and p.descriptor_limit),
        key=lambda p: (p.descriptors or 0) / (p.descriptor_limit or 1),
        default=None,
    )
    if process is not None and process.descriptors is not None and process.descriptor_limit is not None:
        where = f"{process.command} (pid {process.pid})"
        yield Gauge("descriptors", process.descriptors, process.descriptor_limit, "", where, "/proc/PID/fd")
    yield from _gauge("orphans", facts.orphans, "connections", "tcp_max_orphans")
    yield from _gauge("TCP memory", facts.tcp_memory_pages, "pages", "tcp_mem")
    yield from _gauge("conntrack", facts.conntrack, "entries", "nf_conntrack_max")


def _gauge(what: str, usage: Usage, unit: str, source: str) -> Iterator[Gauge]:
    if usage.used is not None and usage.limit:
        yield Gauge(what, usage.used, usage.limit, unit, "", source)
