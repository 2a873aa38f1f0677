"""From the kernel's inet_diag messages to the columns of a ConnectionTable: all sockets at once, no loop over them.

Sources: include/uapi/linux/inet_diag.h, net/ipv4/inet_diag.c: inet_sk_diag_fill() and inet_twsk_diag_fill().
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lastack.errors import DecodeError
from lastack.linux import netlink
from lastack.model.address import MAPPED_PREFIX
from lastack.model.close import CloseKind, Closer, Timer, Viewpoint
from lastack.model.record import ADDRESS, COLUMN, ConnectionTable, Values, address_dtype
from lastack.model.state import FIN_RECEIVED, LINUX_NEW_SYN_RECV, SYNCHRONIZED, State
from lastack.model.time import MILLISECOND, TIME_WAIT_LENGTH, Nanos

from . import tcpinfo

if TYPE_CHECKING:
    from lastack.model.record import Array

FIXED: Final = 88
"""Octets of struct nlmsghdr and struct inet_diag_msg: what every message has before its attributes."""

_FIELDS: Final = (
    ("family", "u1", 16),
    ("state", "u1", 17),
    ("timer", "u1", 18),
    ("retransmits", "u1", 19),
    ("local_port", ">u2", 20),
    ("remote_port", ">u2", 22),
    ("local", "(2,)>u8", 24),
    ("local_ipv4", ">u4", 24),  # IPv4 is in the first of four words
    ("remote", "(2,)>u8", 40),
    ("remote_ipv4", ">u4", 40),
    ("cookie_low", "u4", 60),  # in this order on every machine
    ("cookie_high", "u4", 64),
    ("expires", "u4", 68),
    ("recv_q", "u4", 72),
    ("send_q", "u4", 76),
    ("uid", "u4", 80),
    ("inode", "u4", 84),
)
"""What is read of struct inet_diag_msg, and where in the message: behind struct nlmsghdr's 16 octets."""

_FIRST_CLOSER: Final[Mapping[State, Closer]] = {
    State.ESTABLISHED: Closer.NOBODY,
    State.SYN_SENT: Closer.NOBODY,
    State.SYN_RECEIVED: Closer.NOBODY,
    State.FIN_WAIT_1: Closer.LOCAL,
    State.FIN_WAIT_2: Closer.LOCAL,
    State.TIME_WAIT: Closer.LOCAL,
    State.CLOSE_WAIT: Closer.REMOTE,
    State.LAST_ACK: Closer.REMOTE,
    State.CLOSING: Closer.BOTH,
}
_CLOSE_KIND: Final[Mapping[State, CloseKind]] = {
    State.ESTABLISHED: CloseKind.OPEN,
    State.SYN_SENT: CloseKind.OPEN,
    State.SYN_RECEIVED: CloseKind.OPEN,
    State.FIN_WAIT_2: CloseKind.HALF_CLOSED,
    State.CLOSE_WAIT: CloseKind.HALF_CLOSED,
    State.CLOSING: CloseKind.SIMULTANEOUS,
    State.TIME_WAIT: CloseKind.ORDERLY,
}


# What must hold for a column not to be null; columns that need the same share one mask. Those not named here never are.
_MASK: Final[Mapping[str, str]] = {
    "remote_addr": "is connected",
    "remote_port": "is connected",
    "first_closer": "is connected",
    "close_kind": "has kind",
    "uid": "has uid",
    "timer": "has timer",
    "timer_expires_ns": "is armed",
    "retransmits": "is whole",
    "timestamps": "has info",
    "last_ack_received_ns": "has info",
    "segments_out": "has info",
    "segments_in": "has info",
    "octets_in": "has info",
    "octets_out": "has info",
    "last_data_received_ns": "had data in",
    "last_data_sent_ns": "had data out",
    "age_ns": "has least age",
    "age_most_ns": "has most age",
}
_COLUMNS: Final = (
    *("id", "viewpoint", "family", "local_addr", "local_port", "local_state"),
    *("inode", "cookie", "recv_q", "send_q"),
    *_MASK,
)
# The field of tcp_info whose presence tells that the kernel is new enough for the column.
_NEEDS: Final[Mapping[str, str]] = {
    "segments_out": "segs_in",
    "segments_in": "segs_in",
    "octets_in": "segs_in",
    "octets_out": "bytes_retrans",
}
INFO: Final = 2
"""INET_DIAG_INFO: the attribute that holds a tcp_info."""
_LEAST_INFO: Final = 104
"""Octets of the tcp_info of Linux 2.6; what newer kernels add comes behind."""
_MOST_INFO: Final = tcpinfo.OFFSET["bytes_retrans"] + 8
"""Octets of tcp_info up to the last field that a column needs."""


class Sockets:
    """The columns of a ConnectionTable, filled from one piece of a dump after the other; one row a message.

    Sockets with a tcp_info are put before all others, so that what it fills is in one place and the rest of those
    columns is never touched. `with_info` and `without` are how many of each to expect; where there are more, what is
    filled moves to a larger place.
    """

    __slots__ = ("_capacity", "_filled", "_fin_timeout_ns", "_first", "_info_octets", "_last", "_now_ns")

    def __init__(self, with_info: int, without: int, now_ns: Nanos, fin_timeout_ns: Nanos | None) -> None:
        self._capacity = with_info + without
        self._filled = _allocate(self._capacity)
        self._first = self._last = with_info
        self._info_octets = _MOST_INFO
        self._now_ns = now_ns
        self._fin_timeout_ns = fin_timeout_ns

    def add(self, found: netlink.Messages) -> Array:
        """Fill in the sockets of one piece; which message each row is comes back, as far as there is only one piece.

        Raises DecodeError where a message is too short or not that of a socket.
        """
        count = len(found.starts)
        if count and int(found.lengths.min()) < FIXED:
            short = int(found.starts[found.lengths.argmin()])
            raise DecodeError(f"a socket's message has fewer than {FIXED} octets", at=4 * short)
        info = netlink.attribute(found, FIXED, INFO, _LEAST_INFO)
        without = np.ones(count, np.bool_)
        without[info.rows] = False
        others = np.flatnonzero(without)
        self._make_room(len(info.rows), len(others))
        if len(info.rows):
            self._info_octets = min(self._info_octets, int(info.lengths.min()))
            self._first -= len(info.rows)
            block = self._fill(found, info.rows, self._first)
            block.fill_info(netlink.gather(found.words, info.at, tcpinfo.layout(self._info_octets)), self._now_ns)
        if len(others):
            self._fill(found, others, self._last)
            self._last += len(others)
        return np.concatenate((info.rows, others))

    def table(self) -> ConnectionTable:
        """All that was filled in. Nulls hold anything."""
        present = tcpinfo.layout(self._info_octets).names or ()
        filled = {name: column[self._first : self._last] for name, column in self._filled.items()}
        count = self._last - self._first
        filled["id"][:] = np.arange(1, count + 1)
        return ConnectionTable(
            count,
            {
                name: Values(filled[name], filled[_MASK[name]]) if name in _MASK else filled[name]
                for name in _COLUMNS
                if _NEEDS.get(name, "options") in present
            },
        )

    def _fill(self, found: netlink.Messages, rows: Array, begin: int) -> _Block:
        sockets = netlink.gather(found.words, found.starts[rows], _layout())
        block = _Block(sockets, {name: column[begin : begin + len(rows)] for name, column in self._filled.items()})
        block.fill(self._now_ns, self._fin_timeout_ns)
        return block

    def _make_room(self, before: int, behind: int) -> None:
        if before <= self._first and self._last + behind <= self._capacity:
            return
        more_before, more_behind = self._capacity + before, self._capacity + behind
        self._capacity += more_before + more_behind
        former, self._filled = self._filled, _allocate(self._capacity)
        for name, column in former.items():
            self._filled[name][more_before + self._first : more_before + self._last] = column[self._first : self._last]
        self._first += more_before
        self._last += more_before


class _Block:
    """Some of the sockets: what the kernel said of them, and their places, still zero, in the columns and masks."""

    __slots__ = ("into", "sockets", "state")

    def __init__(self, sockets: Array, into: dict[str, Array]) -> None:
        self.sockets = sockets
        self.into = into
        self.state: Array = sockets["state"].copy()
        self.state[self.state == LINUX_NEW_SYN_RECV] = State.SYN_RECEIVED

    def fill(self, now_ns: Nanos, fin_timeout_ns: Nanos | None) -> None:
        """What every socket's message says."""
        into, sockets = self.into, self.sockets
        into["viewpoint"][:] = Viewpoint.HOST
        into["local_port"][:], into["remote_port"][:] = sockets["local_port"], sockets["remote_port"]
        into["cookie"][:] = sockets["cookie_high"]
        into["cookie"] <<= np.uint64(32)
        into["cookie"] |= sockets["cookie_low"]
        into["timer"][:] = sockets["timer"]
        left = np.multiply(sockets["expires"], MILLISECOND, dtype=np.int64)
        np.add(left, now_ns, out=into["timer_expires_ns"])
        np.less_equal(into["timer"], max(Timer), out=into["has timer"])
        np.not_equal(into["timer"], Timer.OFF, out=into["is armed"])
        np.not_equal(into["timer"], Timer.TIME_WAIT, out=into["is whole"])
        self._fill_addresses()
        self._fill_states()
        self._fill_mini(left, fin_timeout_ns)
        if into["is whole"].any():
            for name in ("uid", "inode", "recv_q", "send_q", "retransmits"):
                into[name][:] = sockets[name]
            # Zero without a descriptor may be root, and is more often nobody known.
            np.not_equal(into["uid"] | into["inode"], 0, out=into["has uid"])

    def _fill_addresses(self) -> None:
        into, family = self.into, self.sockets["family"]
        six = np.flatnonzero(family != socket.AF_INET)
        if (family[six] != socket.AF_INET6).any():
            raise DecodeError("a socket of no internet family")
        into["family"][:] = 4
        for side in ("remote", "local"):
            address = into[f"{side}_addr"]
            np.bitwise_or(self.sockets[f"{side}_ipv4"], MAPPED_PREFIX, out=address["low"], dtype=np.uint64)
            if len(six):
                high, low = self.sockets[side][six].T.astype(np.uint64)
                address["high"][six], address["low"][six] = high, low
                into["family"][six] = np.where((high == 0) & (low >> np.uint64(32) == 0xFFFF), 4, 6)

    def _fill_states(self) -> None:
        into, state = self.into, self.state
        into["local_state"][:] = state
        into["first_closer"][:] = _value_of("first_closer").take(state)
        into["close_kind"][:] = _value_of("close_kind").take(state)
        into["has kind"][:] = _those_in(*_CLOSE_KIND).take(state)
        np.not_equal(state, State.LISTEN, out=into["is connected"])

    def _fill_mini(self, left: Array, fin_timeout_ns: Nanos | None) -> None:
        """The age of mini-sockets: what has passed of a life whose rest is known."""
        into = self.into
        np.subtract(TIME_WAIT_LENGTH, left, out=into["age_ns"])
        np.maximum(into["age_ns"], 0, out=into["age_ns"])
        into["age_most_ns"][:] = into["age_ns"]
        into["has least age"][:] = into["has most age"][:] = self.state == State.TIME_WAIT
        if fin_timeout_ns is not None:
            # Above 60 s the socket stays whole for what exceeds 60 s and is then a mini-socket for as long again
            # (net/ipv4/tcp_input.c: tcp_rcv_state_process(), net/ipv4/tcp_timer.c: tcp_keepalive_timer()).
            excess = fin_timeout_ns - TIME_WAIT_LENGTH
            rows = np.flatnonzero(~into["is whole"] & (self.state == State.FIN_WAIT_2))
            into["age_ns"][rows] = np.maximum((fin_timeout_ns if excess <= 0 else 2 * excess) - left[rows], 0)
            into["has least age"][rows] = True

    def fill_info(self, info: Array, now_ns: Nanos) -> None:
        """What their tcp_info says, where they all have one.

        Where there never was a connection it says nothing to build on: a listener's holds its queues once more, and
        before the handshake is done its times count from no event at all.
        """
        state, into = self.state, self.into
        established = _those_in(*SYNCHRONIZED).take(state)
        into["has info"][:] = into["had data in"][:] = into["had data out"][:] = established
        np.not_equal(info["options"] & 1, 0, out=into["timestamps"])
        ack, data_in, data_out = (
            np.multiply(info[name], MILLISECOND, dtype=np.int64)
            for name in ("last_ack_recv", "last_data_recv", "last_data_sent")
        )
        np.subtract(now_ns, ack, out=into["last_ack_received_ns"])
        np.subtract(now_ns, data_in, out=into["last_data_received_ns"])
        np.subtract(now_ns, data_out, out=into["last_data_sent_ns"])
        names = info.dtype.names or ()
        # The kernel sets all three times at the handshake; where no data ever flowed there is no last time of it.
        if "segs_in" in names:
            into["segments_out"][:], into["segments_in"][:] = info["segs_out"], info["segs_in"]
            # tcpi_bytes_received counts a FIN as one (net/ipv4/tcp_input.c: tcp_rcv_nxt_update()).
            np.subtract(info["bytes_received"], _those_in(*FIN_RECEIVED).take(state), out=into["octets_in"])
            into["had data in"] &= into["octets_in"] != 0
        if "bytes_retrans" in names:
            np.subtract(info["bytes_sent"], info["bytes_retrans"], out=into["octets_out"])
            into["had data out"] &= into["octets_out"] != 0
        _fill_bounds(into, state, ack, data_in, data_out)


def _fill_bounds(into: dict[str, Array], state: Array, ack: Array, data_in: Array, data_out: Array) -> None:
    """The age of sockets with a tcp_info, at least and at most, from how long ago something happened.

    A state that a segment brought about began with an ACK, so not after the last one, and
    - CLOSE_WAIT, CLOSING and LAST_ACK begin with the peer's FIN or after it, and no data follows a FIN: not before the
      last data came (or the handshake);
    - FIN_WAIT_2 begins with the ACK of our FIN: not before our last data left;
    - ESTABLISHED began before anything that happened in it.
    FIN_WAIT_1 and LAST_ACK begin with a call of the application, which leaves no time behind.
    """
    anything = np.maximum(ack, np.maximum(data_in, data_out))
    into["age_ns"][:] = np.where(state == State.ESTABLISHED, anything, ack)
    into["age_most_ns"][:] = np.where(state == State.FIN_WAIT_2, data_out, data_in)
    least = (State.ESTABLISHED, State.FIN_WAIT_2, State.CLOSE_WAIT, State.CLOSING)
    most = (State.FIN_WAIT_2, State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK)
    into["has least age"][:] = _those_in(*least).take(state)
    into["has most age"][:] = _those_in(*most).take(state)


@cache
def _layout() -> np.dtype[Any]:
    names, formats, offsets = zip(*_FIELDS, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": FIXED})


def _allocate(count: int) -> dict[str, Array]:
    """Room for so many rows in every column and mask, cut from one piece.

    NumPy asks for huge pages where a piece is 4 MiB or more; touching so many small pages for the first time would cost
    more than all the decoding.
    """
    dtypes = {name: _dtype(COLUMN[name].dtype) for name in _COLUMNS} | dict.fromkeys(_MASK.values(), np.dtype(np.bool_))
    arrays, at = {}, 0
    whole = np.zeros(sum(_padded(count * dtype.itemsize) for dtype in dtypes.values()), np.uint8)
    for name, dtype in dtypes.items():
        arrays[name] = whole[at : at + count * dtype.itemsize].view(dtype)
        at += _padded(count * dtype.itemsize)
    return arrays


def _dtype(declared: str) -> np.dtype[Any]:
    return address_dtype() if declared == ADDRESS else np.dtype(declared)


def _padded(octets: int) -> int:
    return (octets + 63) & ~63


@cache
def _those_in(*states: State) -> Array:
    """For each value of an octet, whether it is one of the states."""
    mask = np.zeros(256, np.bool_)
    mask[list(states)] = True
    return mask


@cache
def _value_of(column: str) -> Array:
    """For each value of an octet, what a column that follows from the state alone has for that state."""
    table = {"first_closer": _FIRST_CLOSER, "close_kind": _CLOSE_KIND}[column]
    values = np.zeros(256, np.uint8)
    values[list(table)] = list(table.values())
    return values
