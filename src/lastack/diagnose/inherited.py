"""Whether a socket is kept open by a child process that only inherited its descriptor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lastack.model.host import Holder, HostFacts, Process

from .context import Context, Mask

_STANDARD = 2  # descriptors 0 to 2: a child that was given the connection as its input and output owns it
_ACCEPTS_FOR_OTHERS = frozenset({"systemd", "sshd", "inetd", "xinetd"})  # their children are meant to have it


def inherited(context: Context, among: Mask) -> Mask:
    """Rows whose socket is held by a process and its descendant, or only by a descendant of who listens.

    close() in the parent sends no FIN while a child has the descriptor too.
    """
    facts = context.facts
    listening = {pid for listener in facts.listeners for pid in listener.pids}
    found = np.zeros(len(context.table), np.bool_)
    inodes = context.table.values("inode")
    for row in np.flatnonzero(among & context.owned):
        holders = facts.holders.get(int(inodes[row]), ())
        found[row] = _shared_with_descendant(holders, facts) or _left_to_a_child(holders, facts, listening)
    return found


def _shared_with_descendant(holders: tuple[Holder, ...], facts: HostFacts) -> bool:
    pids = {holder.pid for holder in holders}
    return len(pids) > 1 and any(pids & set(_ancestors(pid, facts.processes)) for pid in pids)


def _left_to_a_child(holders: tuple[Holder, ...], facts: HostFacts, listening: set[int]) -> bool:
    """One holder, running another program than the ancestor that listens, and not as its standard input or output."""
    if len({holder.pid for holder in holders}) != 1 or any(holder.fd <= _STANDARD for holder in holders):
        return False
    child = facts.processes.get(holders[0].pid)
    if child is None or child.pid in listening:
        return False
    for pid in _ancestors(child.pid, facts.processes):
        if pid in listening:
            parent = facts.processes[pid]
            other = parent.executable is not None and parent.executable != child.executable
            return other and parent.command not in _ACCEPTS_FOR_OTHERS
    return False


def _ancestors(pid: int, processes: Mapping[int, Process]) -> list[int]:
    chain: list[int] = []
    process = processes.get(pid)
    while process is not None and process.ppid in processes and process.ppid not in chain:
        chain.append(process.ppid)
        process = processes[process.ppid]
    return chain
