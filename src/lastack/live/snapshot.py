"""One look at network namespaces: their connections with owners and listeners, and the facts beside them."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lastack.errors import KernelError
from lastack.linux import namespaces
from lastack.linux.namespaces import Namespace
from lastack.model.address import FourTuple
from lastack.model.host import Doing, HostFacts, Usage
from lastack.model.record import ConnectionTable
from lastack.model.state import State, bits
from lastack.model.time import SECOND, Nanos

from . import configured, facts, notes, processes, sockdiag
from .annotate import listeners_of, with_listeners, with_owners
from .notes import Notes, with_closers, with_times
from .options import options
from .processes import Owners
from .second_look import Look, again, held, programs, suspicious, waits
from .strays import with_strays
from .tcpinfo import Measure


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The connections of one namespace (listening sockets among them), and the facts."""

    namespace: Namespace
    connections: ConnectionTable
    facts: HostFacts


def take(chosen: Sequence[Namespace], look: Look | None = None, states: int | None = None) -> list[Snapshot]:
    """Look at namespaces, with one pass over /proc for all of them. `look` None: without the second look at suspects.

    `states` (bits of `1 << state`) restricts what the kernel is asked for; listening sockets are always. Of several
    namespaces those that end meanwhile are told in `facts.unseen`, as is whatever else cannot be seen. Raises
    KernelError where the kernel refuses.
    """
    started = time.monotonic_ns()
    snapshots, gone = [], []
    machine = HostFacts(
        hostname=platform.node(),
        kernel=platform.release(),
        taken_ns=time.time_ns(),
        uptime_ns=facts.uptime_ns(),
        configured=configured.configured(),
        orphans=facts.orphans(),
        tcp_memory_pages=facts.tcp_memory_pages(),
    )
    for namespace in chosen:
        try:
            with namespaces.entered(namespace):
                snapshots.append(_read(namespace, machine, states))
            machine = replace(machine, orphans=Usage(None, None), tcp_memory_pages=Usage(None, None))  # told once
        except KernelError as error:
            if len(chosen) == 1:
                raise
            gone.append(f"a network namespace: {error}")
    noted = [notes.of(snapshot.connections) for snapshot in snapshots]
    owners = processes.owners(
        {inode for snapshot in snapshots for inode in _inodes(snapshot.connections)},
        pids={pid for each in noted for pid in each.pids},
    )
    snapshots = [_with_owners(*each, owners, gone) for each in zip(snapshots, noted, strict=True)]
    return snapshots if look is None else _looked_at(snapshots, started, look)


def _read(namespace: Namespace, machine: HostFacts, states: int | None) -> Snapshot:
    """What the kernel knows of the namespace that the thread is in."""
    settings = facts.settings()
    now = time.time_ns()
    fin_timeout = settings.get("tcp_fin_timeout", "")
    table = sockdiag.read(
        now,
        states=sockdiag.ALL if states is None else states | bits(State.LISTEN),
        fin_timeout_ns=int(fin_timeout) * SECOND if fin_timeout.isdigit() else None,
    )
    known = replace(
        machine,
        taken_ns=now,
        netns=namespace.label,
        settings=settings,
        counters=facts.counters(),
        conntrack=facts.conntrack(),
        time_wait=facts.time_wait(),
    )
    return Snapshot(namespace, table, known)


def _with_owners(snapshot: Snapshot, noted: Notes, owners: Owners, gone: list[str]) -> Snapshot:
    table = with_owners(snapshot.connections, owners.holders, owners.processes)
    table = with_closers(table, noted, owners.processes)
    table, unseen = with_strays(table, snapshot.namespace, owners)
    known = replace(
        snapshot.facts,
        listeners=listeners_of(table, owners.holders, owners.processes),
        processes=owners.processes,
        holders=owners.holders,
        unseen=(*unseen, *gone),
    )
    table = with_times(with_listeners(table, snapshot.namespace.label), noted, snapshot.facts.taken_ns)
    return Snapshot(snapshot.namespace, table, known)


def _looked_at(snapshots: list[Snapshot], started: Nanos, look: Look) -> list[Snapshot]:
    rows = [suspicious(snapshot.connections, look) for snapshot in snapshots]
    waiting = [held(snapshot.connections, look) for snapshot in snapshots]
    doing = [waits(each) for each in waiting]
    runtimes, stacks = programs(waiting, snapshots[0].facts.processes if snapshots else {}, look.stacks)
    later = again([snapshot.namespace for snapshot in snapshots], rows, started, look)
    return [
        replace(
            snapshot,
            facts=replace(snapshot.facts, waits=does, second_look=ended, runtimes=runtimes, stacks=stacks),
        )
        for snapshot, does, ended in zip(snapshots, doing, later, strict=True)
    ]


class LiveSocket(NamedTuple):
    """One socket: its row with owner and listener, its tcp_info (None for a mini-socket), and when it was read.

    `doing`: what its process is and does about it; None where no process has it.
    """

    connection: ConnectionTable
    info: Mapping[str, Measure] | None
    taken_ns: Nanos
    doing: Doing | None = None


def find(namespace: Namespace, which: int | FourTuple) -> LiveSocket | None:
    """The socket with this cookie or four-tuple in a namespace, or None. Raises as `take` does."""
    with namespaces.entered(namespace):
        now = time.time_ns()
        found = sockdiag.find(now, which)
        if found is None:
            return None
        snapshot = take([namespace])[0]
        everything = snapshot.connections
        same = np.flatnonzero(everything.values("cookie") == found.connection.values("cookie")[0])
        if not len(same):
            return LiveSocket(found.connection, found.info, now)
        row = everything.select(same[:1])
        return LiveSocket(row, found.info, now, _doing(row, snapshot.facts) if row.valid("fd")[0] else None)


def _doing(row: ConnectionTable, known: HostFacts) -> Doing:
    runtimes, stacks = programs([row], known.processes)
    pid, fd, cookie = (int(row.values(name)[0]) for name in ("pid", "fd", "cookie"))
    others = sorted({holder.pid for holder in known.holders.get(int(row.values("inode")[0]), ())} - {pid})
    also = tuple(known.processes[each] for each in others if each in known.processes)
    return Doing(next(iter(waits(row)), None), runtimes.get(pid), stacks.get(pid, ()), options(pid, fd, cookie), also)


def _inodes(table: ConnectionTable) -> list[int]:
    inodes = table.values("inode")
    found: list[int] = inodes[inodes != 0].tolist()
    return found
