"""Sockets whose process cannot be seen: their cgroup, which anybody may read, still names unit and container."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lastack.errors import KernelError
from lastack.linux import namespaces
from lastack.linux.namespaces import Namespace
from lastack.model.record import ConnectionTable, Values
from lastack.model.state import State, bits

from . import cgroups, sockdiag
from .processes import Owners


def with_strays(
    table: ConnectionTable, namespace: Namespace, owners: Owners
) -> tuple[ConnectionTable, tuple[str, ...]]:
    """The table with unit and container of sockets that no visible process holds, and a line that says so.

    `table` has its owners. Sockets that have merely been closed since are nobody's any more and do not count.
    """
    inodes = table.values("inode")
    lost = np.flatnonzero((inodes != 0) & (owners.holders.find(inodes)[1] == 0))
    if not len(lost):
        return table, ()
    states = bits(*(State(state) for state in np.unique(table.values("local_state")[lost])))
    try:
        with namespaces.entered(namespace):
            ids = sockdiag.cgroup_ids(states)
    except KernelError:
        return table, ()  # the namespace has ended meanwhile, and they with it
    lost = lost[np.isin(table.values("cookie")[lost], list(ids))]
    if not len(lost):
        return table, ()
    places = cgroups.places({ids[cookie] for cookie in table.values("cookie")[lost].tolist()}, Path("/proc"))
    found = [places.get(ids[cookie], cgroups.Place(None, None)) for cookie in table.values("cookie")[lost].tolist()]
    table = table.with_columns(
        {
            "unit": _with_texts(table.column("unit"), table.valid("unit"), lost, [place.unit for place in found]),
            "container": _with_texts(
                table.column("container"), table.valid("container"), lost, [place.container for place in found]
            ),
        }
    )
    return table, (_said(len(lost), owners.unreadable),)


def _with_texts(
    column: Values, valid: NDArray[np.bool_], rows: NDArray[np.intp], texts: Sequence[str | None]
) -> Values:
    strings = {text: code for code, text in enumerate(column.strings)}
    values, known = column.values.copy(), valid.copy()
    values[rows] = [0 if text is None else strings.setdefault(text, len(strings)) for text in texts]
    known[rows] = [text is not None for text in texts]
    return Values(values, known, tuple(strings))


def _said(count: int, unreadable: int) -> str:
    those = "a socket" if count == 1 else f"{count:,} sockets"
    said = f"whose {those} on this host {'is' if count == 1 else 'are'}"
    if unreadable:
        hidden = "1 process" if unreadable == 1 else f"{unreadable:,} processes"
        said += f": the descriptors of {hidden} could not be read"
    return said + ("; run as root to see" if os.geteuid() else ", though this is root (CAP_SYS_PTRACE)")
