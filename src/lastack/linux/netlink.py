"""Netlink dumps, received and decoded by the megabyte.

A dump comes in datagrams of 32 KiB. Many are received into one buffer, and the messages in it are found in one pass:
each header carries the random sequence number of the request, so the places that hold it are the headers. The chain
of lengths then proves it; where it does not, the messages are walked one by one. The buffer is used again for what
follows, so a dump of any size takes the memory of one piece. Sources: linux/netlink.h, RFC 3549.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lastack.errors import DecodeError, KernelError

from .required import require_linux

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SOCK_DIAG: Final = 4
"""NETLINK_SOCK_DIAG."""

HEADER: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""

_ERROR, _DONE, _OVERRUN, _MIN_TYPE = 2, 3, 4, 16
_REQUEST_DUMP: Final = 0x301
_KIND: Final = 0x3FFF
"""NLA_TYPE_MASK: an attribute's type without its flags."""

_SO_RCVBUFFORCE: Final = 33
_RECEIVE_BUFFER: Final = 4 << 20
_DATAGRAM: Final = 1 << 16
"""Room for one datagram. The kernel fills 32 KiB at most (net/netlink/af_netlink.c: netlink_recvmsg)."""
_PIECE: Final = 1 << 20
"""Octets that are decoded at a time: few enough for the processor's cache, enough that Python's share is small."""
_SILENCE_SECONDS: Final = 10


class Messages(NamedTuple):
    """The data messages of a piece of a dump.

    `words`: the piece as native 32-bit words. `starts`: where each message's header begins, in words. `lengths`: of
    each message, header included, in octets. `done`: the dump ends with this piece.
    """

    words: Array
    starts: Array
    lengths: Array
    done: bool


class Attribute(NamedTuple):
    """One kind of attribute in many messages.

    `rows`: the messages that have it, ascending. `at`: where its value begins in each, in words. `lengths`: of the
    value, in octets.
    """

    rows: Array
    at: Array
    lengths: Array


def dump(protocol: int, kind: int, payload: bytes) -> Iterator[Messages]:
    """Ask for a dump and yield it in pieces, each good until the next is asked for: they share one buffer.

    `protocol` is that of the netlink socket, `kind` the message type of the request, `payload` what follows its
    header. Raises KernelError where the kernel refuses or falls silent, DecodeError where it does not make sense.
    """
    require_linux("a look at live sockets")
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as source:
            try:
                source.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
            except PermissionError:
                source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            # A time-out of the kernel's own costs nothing; one of Python's costs a poll() before every receive.
            source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _SILENCE_SECONDS, 0))
            source.bind((0, 0))
            # Neither small numbers nor ASCII: a value that payloads hardly hold.
            sequence = int.from_bytes(os.urandom(4), "little") | 0x8080_8080
            source.send(HEADER.pack(HEADER.size + len(payload), kind, _REQUEST_DUMP, sequence, 0) + payload)
            yield from received(source, sequence)
    except OSError as error:
        raise refused(error.errno or 0) from error


def received(source: socket.socket, sequence: int) -> Iterator[Messages]:
    """The pieces of the dump that answers the request of this sequence number; see `dump`.

    Raises OSError as the socket does, KernelError where nothing more comes or the kernel answers with an error, and
    DecodeError.
    """
    buffer = bytearray(_PIECE)
    view, last, done, end = memoryview(buffer), False, False, 0
    while not last:
        end = 0
        while not last and end <= _PIECE - _DATAGRAM:
            try:
                # With MSG_TRUNC the true length is returned, so a datagram that was cut shows.
                size = source.recv_into(view[end:], _DATAGRAM, socket.MSG_TRUNC)
            except BlockingIOError:
                raise KernelError(f"the kernel has not gone on with its answer for {_SILENCE_SECONDS} s") from None
            if size > _DATAGRAM:
                raise KernelError(f"a netlink datagram of {size} octets was cut to {_DATAGRAM}")
            last = _is_last(buffer, end, size)
            end += (size + 3) & ~3
        found = messages(view[:end], sequence)
        done = found.done
        yield found
    if not done:
        raise DecodeError("a netlink dump ends without its last message", at=end)


def messages(data: bytes | memoryview, sequence: int) -> Messages:
    """Find the data messages in whole datagrams that answer the request of this sequence number.

    Messages that answer something else are skipped. Raises DecodeError where the octets are not a chain of whole
    messages, and KernelError where the kernel answered with an error.
    """
    words = np.frombuffer(data, np.uint32, len(data) // 4)
    found = None if len(data) % 4 else _by_sequence(words, sequence)
    return _data_only(words, *(found or _walk(data, sequence)))


def attribute(found: Messages, skip: int, wanted: int, least: int) -> Attribute:
    """Find one kind of attribute in all messages, in steps that all messages whose attributes are alike take together.

    `skip` is how many octets of a message precede its attributes (a multiple of four), `least` how many the value must
    have to count. Raises DecodeError where an attribute does not fit into its message.
    """
    rows = np.flatnonzero(found.lengths >= skip + 4 + least)
    alike = [(rows, found.starts[rows] + skip // 4, found.lengths[rows].astype(np.int64) - skip)] if len(rows) else []
    hits: list[Attribute] = []
    while alike:
        rows, at, left = alike.pop()
        headers = found.words.take(at)
        if (headers != headers[0]).any():
            for header in np.unique(headers):
                same = headers == header
                alike.append((rows[same], at[same], left[same]))
            continue
        length, kind = headers[:1].view(np.uint16).tolist()
        if length < 4 or length > left.min():
            raise DecodeError("a netlink attribute does not fit into its message", at=4 * int(at[left.argmin()]))
        if kind & _KIND == wanted and length >= least + 4:
            hits.append(Attribute(rows, at + 1, np.full(len(rows), length - 4)))
            continue
        step = (length + 3) // 4
        at, left = at + step, left - 4 * step
        more = left >= 4
        if more.any():
            alike.append((rows, at, left) if more.all() else (rows[more], at[more], left[more]))
    if len(hits) == 1:
        return hits[0]
    hits.append(Attribute(*np.zeros((3, 0), np.int64)))
    every = [np.concatenate(parts) for parts in zip(*hits, strict=True)]
    order = every[0].argsort()
    return Attribute(*(part[order] for part in every))


def gather(words: Array, at: Array, layout: np.dtype[Any]) -> Array:
    """Structures of this layout that begin at these words, as one structured array.

    Every one of them must lie within `words`.
    """
    if not len(at):
        return np.empty(0, layout)
    # Whole structures are copied as plain octets; by its fields NumPy would copy them one field at a time.
    octets = np.dtype((np.void, layout.itemsize))
    places = len(words) - -(-layout.itemsize // 4) + 1
    return np.ndarray((places,), octets, words, strides=(4,))[at].view(layout)


def refused(number: int) -> KernelError:
    """The error for what the kernel answered with, saying what would help."""
    helps = {
        errno.EPERM: "run as root, or outside the sandbox that forbids netlink",
        errno.EACCES: "run as root, or outside the sandbox that forbids netlink",
        errno.EAFNOSUPPORT: "netlink is forbidden here: leave the sandbox (seccomp, RestrictAddressFamilies=)",
        errno.EPROTONOSUPPORT: "this kernel has no sock_diag: load the module inet_diag, or leave the sandbox (gVisor)",
        errno.ENOENT: "this kernel has no tcp_diag: load the module tcp_diag (CONFIG_INET_TCP_DIAG)",
        errno.EOPNOTSUPP: "this kernel has no inet_diag: load the module inet_diag (CONFIG_INET_DIAG)",
        errno.ENOBUFS: "the answer did not fit into the receive buffer: raise net.core.rmem_max, or run as root",
        errno.ENOMEM: "it is short of memory",
    }
    said = f"the kernel refuses to list sockets: {os.strerror(number)} ({errno.errorcode.get(number, number)})"
    return KernelError(f"{said}; {helps[number]}" if number in helps else said)


def _is_last(buffer: bytearray, start: int, size: int) -> bool:
    """Whether a datagram ends the dump: by an error or the DONE alone, or by a DONE that rides behind its data."""
    if size < HEADER.size:
        return True
    tail = start + size - HEADER.size - 4
    if tail >= start and HEADER.unpack_from(buffer, tail)[:2] == (HEADER.size + 4, _DONE):
        return True
    return HEADER.unpack_from(buffer, start)[1] in (_ERROR, _DONE)


def _by_sequence(words: Array, sequence: int) -> tuple[Array, Array] | None:
    """Where the messages begin and how long they are, found by their sequence number and proven by their lengths.

    None where that number is also elsewhere, or the messages are not a chain.
    """
    starts = np.flatnonzero(words[2:-1] == sequence)
    lengths = words.take(starts)
    following = starts + (lengths + 3) // 4
    chained = (
        len(starts) > 0
        and starts[0] == 0
        and following[-1] == len(words)
        and np.array_equal(starts[1:], following[:-1])
        and lengths.min() >= HEADER.size
    )
    return (starts, lengths) if chained else None


def _walk(data: bytes | memoryview, sequence: int) -> tuple[Array, Array]:
    """The messages one by one, exactly."""
    starts, lengths, at = [], [], 0
    while at < len(data):
        if len(data) - at < HEADER.size:
            raise DecodeError("a netlink message is cut within its header", at=at)
        length, _, _, its_sequence, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size or at + length > len(data):
            raise DecodeError(f"a netlink message says it is {length} octets long", at=at)
        if its_sequence == sequence:
            starts.append(at // 4)
            lengths.append(length)
        at += (length + 3) & ~3
    return np.array(starts, np.int64), np.array(lengths, np.uint32)


def _data_only(words: Array, starts: Array, lengths: Array) -> Messages:
    """Without the control messages; what they say is heeded."""
    kinds_and_flags = words[1:].take(starts)
    if len(starts) and (kinds_and_flags == kinds_and_flags[0]).all() and _kinds(kinds_and_flags[:1])[0] >= _MIN_TYPE:
        return Messages(words, starts, lengths, False)
    kinds = _kinds(kinds_and_flags)
    control = np.flatnonzero(kinds < _MIN_TYPE)
    done = False
    for row in control:
        if kinds[row] == _OVERRUN:
            raise refused(errno.ENOBUFS)
        if kinds[row] in (_ERROR, _DONE) and lengths[row] >= HEADER.size + 4:
            number = int(words[starts[row] + HEADER.size // 4].astype(np.int32))
            if number < 0:
                raise refused(-number)
        done = done or bool(kinds[row] == _DONE)
    if len(control):
        starts, lengths = np.delete(starts, control), np.delete(lengths, control)
    return Messages(words, starts, lengths, done)


def _kinds(kinds_and_flags: Array) -> Array:
    """The message types, each of which shares a word with the flags."""
    kinds: Array = kinds_and_flags.view(np.uint16)[::2]
    return kinds
