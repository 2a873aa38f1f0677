"""The TCP sockets of this host as a ConnectionTable, read by sock_diag.

One request of the old kind (TCPDIAG_GETSOCK) with no family walks the kernel's table once for IPv4 and IPv6; the
newer SOCK_DIAG_BY_FAMILY walks all of it for each family, at a quarter more CPU. The same request asks for tcp_info of
every socket that has one: a second walk for some states only would cost more than what it saves.

Sources: net/ipv4/inet_diag.c, include/uapi/linux/inet_diag.h; sock_diag(7) is older than much of it.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lastack.linux import netlink
from lastack.linux.sock_destroy import Identity
from lastack.model.address import FourTuple, address_halves
from lastack.model.record import ConnectionTable
from lastack.model.state import LINUX_NEW_SYN_RECV, State, bits
from lastack.model.time import Nanos

from . import tcpinfo
from .sockcolumns import FIXED, INFO, Sockets

if TYPE_CHECKING:
    from lastack.model.record import Array

ALL: Final = bits(*(state for state in State if state is not State.CLOSED))
"""Every state that a socket in the kernel's tables can be in. Ports bound but never connected are not among them."""

_TCPDIAG_GETSOCK: Final = 18
_CGROUP_ID: Final = 21
"""INET_DIAG_CGROUP_ID."""
_REQUEST: Final = struct.Struct("=4B48x2I")
"""struct inet_diag_req: family, two prefix lengths, extensions; an empty socket id; states, tables."""

_MESSAGE: Final = netlink.HEADER.size // 4
"""Where struct inet_diag_msg begins in a message, in words: family, state and two more octets, then the identity."""
_COOKIE: Final = _MESSAGE + 11
"""The last two words of struct inet_diag_sockid."""


class Socket(NamedTuple):
    """One socket: its row, its tcp_info (None where it has none), and the id of its cgroup (v2), where known."""

    connection: ConnectionTable
    info: Mapping[str, tcpinfo.Measure] | None
    cgroup_id: int | None


def read(now_ns: Nanos, states: int = ALL, info: int = ALL, fin_timeout_ns: Nanos | None = None) -> ConnectionTable:
    """The sockets of the calling thread's network namespace, IPv4 and IPv6, in the states of the mask.

    `now_ns` is the present Unix time. `info` is the mask of states whose tcp_info is wanted: the kernel is asked for
    that of all sockets or of none, and without it the columns that it fills stay null. With `fin_timeout_ns` (the
    present tcp_fin_timeout) the age of an orphaned FIN_WAIT_2 is told. Raises KernelError where the kernel refuses,
    DecodeError where its answer makes no sense.
    """
    sockets = Sockets(_expected(), now_ns, fin_timeout_ns)
    for found in _dump(states, info):
        sockets.add(found)
    table = sockets.table()
    # Between being chosen and being written down a socket may have gone on to another state, or to its end.
    keep = np.array([states >> state & 1 for state in range(256)], np.bool_).take(table.values("local_state"))
    keep &= _last_of_each(table.values("cookie"))
    if keep.all():
        return table
    table = table.select(keep)
    return table.with_columns({"id": np.arange(1, len(table) + 1, dtype=np.uint32)})


def find(now_ns: Nanos, which: int | FourTuple, fin_timeout_ns: Nanos | None = None) -> Socket | None:
    """The socket with this cookie or four-tuple and all that the kernel tells of it, or None where there is none.

    Raises ValueError where an address is none, and KernelError and DecodeError as `read` does.
    """
    for found in _dump(ALL, ALL):
        sockets = Sockets(len(found.starts), now_ns, fin_timeout_ns)
        order = sockets.add(found)
        table = sockets.table()
        rows = np.flatnonzero(rows_of(table, which))
        if len(rows):
            message = order[rows[:1]]
            one = found._replace(starts=found.starts[message], lengths=found.lengths[message])
            info, cgroup = _value(one, INFO), _value(one, _CGROUP_ID)
            return Socket(
                table.select(rows[:1]),
                tcpinfo.decode(info) if info else None,
                int.from_bytes(cgroup[:8], sys.byteorder) or None,
            )
    return None


def cgroup_ids(states: int) -> dict[int, int]:
    """The id of the cgroup (v2) of every whole socket in the states of the mask, by the socket's cookie; 0 for none.

    It is that of the process that made the socket, or of the listener that it came in by, and anybody may read it.
    Raises as `read` does.
    """
    found: dict[int, int] = {}
    for piece in _dump(states, 0):
        sockets = Sockets(len(piece.starts), 0, None)
        order = sockets.add(piece)
        cgroup = netlink.attribute(piece, FIXED, _CGROUP_ID, least=8)
        ids = np.zeros(len(piece.starts), np.uint64)
        ids[cgroup.rows] = piece.words[np.stack((cgroup.at, cgroup.at + 1), axis=1)].view(np.uint64).reshape(-1)
        found.update(zip(sockets.table().values("cookie").tolist(), ids[order].tolist(), strict=True))
    return found


def identities(cookies: Collection[int]) -> dict[int, tuple[State, Identity]]:
    """The sockets of these cookies: in which state each is now, and what the kernel calls it. Raises as `read` does."""
    wanted = np.array(list(cookies), np.uint64)
    found: dict[int, tuple[State, Identity]] = {}
    for piece in _dump(ALL, 0):
        words, starts = piece.words, piece.starts
        low, high = words[starts + _COOKIE].astype(np.uint64), words[starts + _COOKIE + 1].astype(np.uint64)
        its = low | high << np.uint64(32)
        for row in np.flatnonzero(np.isin(its, wanted)).tolist():
            at = int(starts[row])
            family, state, *_ = words[at + _MESSAGE : at + _MESSAGE + 1].tobytes()
            state = State.SYN_RECEIVED if state == LINUX_NEW_SYN_RECV else State(state)
            octets = words[at + _MESSAGE + 1 : at + _COOKIE + 2].tobytes()
            found[int(its[row])] = state, Identity(family, octets)
    return found


def rows_of(table: ConnectionTable, which: int | FourTuple) -> Array:
    """Which rows have the cookie, or the four-tuple, as a mask. Raises ValueError where an address is none."""
    same = np.ones(len(table), np.bool_)
    if isinstance(which, int):
        same &= table.values("cookie") == which
        return same
    for side, endpoint in (("local", which.local), ("remote", which.remote)):
        high, low = address_halves(endpoint.addr)
        address = table.values(f"{side}_addr")
        same &= (address["high"] == high) & (address["low"] == low) & (table.values(f"{side}_port") == endpoint.port)
    return same


def _dump(states: int, info: int) -> Iterator[netlink.Messages]:
    extensions = 1 << (INFO - 1) if info & states else 0
    request = _REQUEST.pack(socket.AF_UNSPEC, 0, 0, extensions, states, 0)
    return netlink.dump(netlink.SOCK_DIAG, _TCPDIAG_GETSOCK, request)


def _expected() -> int:
    """About how many sockets the namespace of the calling thread has, rather more than less."""
    count = 0
    for name in ("sockstat", "sockstat6"):
        with suppress(OSError, ValueError):
            words = Path(f"/proc/thread-self/net/{name}").read_text().split()
            count += sum(int(number) for word, number in pairwise(words) if word in ("inuse", "tw"))
    return count + count // 16 + 64


def _value(found: netlink.Messages, kind: int) -> bytes:
    """The value of an attribute of the only message; no octets where it has none."""
    attribute = netlink.attribute(found, FIXED, kind, least=1)
    if not len(attribute.rows):
        return b""
    at = 4 * int(attribute.at[0])
    return found.words.view("u1")[at : at + int(attribute.lengths[0])].tobytes()


def _last_of_each(cookies: Array) -> Array:
    """A mask with the last row of each cookie: a socket whose bucket changed under the dump may be in it twice."""
    keep = np.ones(len(cookies), np.bool_)
    if not len(cookies):
        return keep
    # Cookies are given out in sequence: marking each on a line costs a tenth of sorting them. In small steps, because
    # touching fresh memory would cost more than the rest.
    first = cookies.min()
    span = int(cookies.max() - first) + 1
    if span <= 64 * len(cookies):
        seen = np.zeros(span, np.bool_)
        for begin in range(0, len(cookies), 8_192):
            seen[cookies[begin : begin + 8_192] - first] = True
        if np.count_nonzero(seen) == len(cookies):
            return keep
    keep[:] = False
    keep[len(cookies) - 1 - np.unique(cookies[::-1], return_index=True)[1]] = True
    return keep
