"""What the processes that hold connections are, and do about them: evidence for whoever blames them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from lastack.model.finding import Evidence
from lastack.model.host import HostFacts, Runtime, Stack, Wait
from lastack.model.record import ConnectionTable
from lastack.model.time import spoken

from .context import Context
from .pools import made_with, pool

_NAMED = 3  # descriptors, and places of code, that are named one by one


def doing(context: Context, rows: ConnectionTable) -> Iterator[Evidence]:
    """What their owner does about the rows: which descriptors they are, who watches them, where its threads are."""
    held = _held(rows)
    if len(np.unique(held.values("pid"))) == 1:
        descriptors = np.sort(held.values("fd"))
        named = ", ".join(map(str, descriptors[:_NAMED].tolist()))
        more = f" and {len(descriptors) - _NAMED:,} more" if len(descriptors) > _NAMED else ""
        yield Evidence("descriptor" if len(descriptors) == 1 else "descriptors", named + more, "", "/proc/PID/fd")
    if rows.valid("first_ns").any():
        ages = context.facts.taken_ns - rows.values("first_ns")[rows.valid("first_ns")]
        first, last = spoken(int(ages.max())), spoken(int(ages.min()))
        said = f"{first} ago" if first == last else f"from {first} to {last} ago"
        yield Evidence("opened", said, "", "BPF, a running watch")
    known = ", ".join(_described(context, held))
    if known:
        yield Evidence("runtime", known, "", "/proc/PID/exe, /proc/PID/cmdline")
    idle = pool(rows)
    if idle is not None:
        yield Evidence("looks like a pool of", idle, "", "remote port")
    yield from _waiting(context, rows)


def code(context: Context, rows: ConnectionTable) -> Iterator[Evidence]:
    """Where in the program the threads of the rows' owner are, as far as that can be told."""
    where = _places(context.facts, _held(rows))
    if where:
        yield Evidence("its Python threads are at", where, "", "py-spy")


def runtimes(context: Context, rows: ConnectionTable) -> list[Runtime]:
    """What runs the owners of the rows, most rows first."""
    pids = (pid for (pid,), _ in _held(rows).groups("pid"))
    found = (context.facts.runtimes.get(int(str(pid))) for pid in pids)
    return list(dict.fromkeys(each for each in found if each is not None))


def _described(context: Context, held: ConnectionTable) -> Iterator[str]:
    """`Python (gunicorn)`: each runtime of the owners once, with what the program is made with."""
    facts = context.facts
    for runtime in runtimes(context, held):
        pids = (pid for pid, its in facts.runtimes.items() if its is runtime and pid in facts.processes)
        wanted = {int(str(pid)) for (pid,), _ in held.groups("pid")}
        frameworks = (made_with(runtime, facts.processes[pid]) for pid in pids if pid in wanted)
        named = next((each for each in frameworks if each is not None), None)
        yield f"{runtime.value} ({named})" if named else runtime.value


def _held(rows: ConnectionTable) -> ConnectionTable:
    """Those that a process has a descriptor of."""
    return rows.select(rows.valid("fd") & rows.valid("pid"))


def read_lately(context: Context, rows: ConnectionTable) -> Iterator[Evidence]:
    """Of how many rows with something unread anything was read between the two looks."""
    look = context.facts.second_look
    unread = {int(cookie) for cookie in rows.values("cookie")[rows.values("recv_q") > 0]}
    if look is not None and unread & look.cookies:
        said = f"{len(unread & look.read):,} of {len(unread & look.cookies):,} within {spoken(look.after_ns)}"
        yield Evidence("read from", said, "", "second sock_diag dump")


def _waiting(context: Context, rows: ConnectionTable) -> Iterator[Evidence]:
    """What threads and epoll sets do about the suspects that were looked at."""
    inodes = {int(inode) for inode in rows.values("inode")}
    waits = [wait for wait in context.facts.waits if wait.inode in inodes]
    if not waits:
        return
    told = [wait for wait in waits if wait.polled is not None]
    polled = sum(1 for wait in told if wait.polled)
    if told:
        yield Evidence("watched by an epoll set", f"{polled:,} of {len(told):,} looked at", "", "/proc/PID/fdinfo")
    asleep = Counter[str]()
    for wait in {wait.pid: wait for wait in waits}.values():
        asleep.update(dict(wait.waiting))
    if asleep:
        most = ", ".join(f"{call} ({count:,})" for call, count in asleep.most_common(_NAMED))
        yield Evidence("its threads sleep in", most, "", "/proc/PID/task/TID/syscall")
    yield from _blocked(waits)
    busiest = max(waits, key=lambda wait: wait.threads_running)
    if busiest.threads_running:
        running = f"{busiest.threads_running} of {busiest.threads} in pid {busiest.pid}"
        yield Evidence("threads running", running, "", "/proc/PID/task/TID/stat")


def _blocked(waits: list[Wait]) -> Iterator[Evidence]:
    blocked = Counter(wait.blocked for wait in waits if wait.blocked)
    if blocked:
        calls = ", ".join(blocked)
        said = f"{blocked.total():,} of {len(waits):,}, in {calls}"
        yield Evidence("a thread is blocked on it", said, "", "/proc/PID/task/TID/syscall")


def _places(facts: HostFacts, held: ConnectionTable) -> str:
    """`handle (server.py:41) (12 threads), <module> (server.py:60)`: where the program's own code has come to."""
    pids = [int(str(pid)) for (pid,), _ in held.groups("pid")]
    stacks = next((facts.stacks[pid] for pid in pids if pid in facts.stacks), ())
    return ", ".join(places(stacks))


def places(stacks: Iterable[Stack]) -> list[str]:
    """The most telling call of each thread, with how many threads are at the same one; most first."""
    found = Counter(str(frame) for frame in (stack.telling() for stack in stacks) if frame is not None)
    return [f"{place} ({count:,} threads)" if count > 1 else place for place, count in found.most_common(_NAMED)]
