"""One netlink request that the kernel answers with an error number: what was ordered, done or refused (RFC 3549)."""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from lastack.errors import KernelError

_REQUEST, _ACK = 1, 4
_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""


def ask(source: socket.socket, kind: int, payload: bytes, flags: int = 0) -> int:
    """Send a request of this message type, and return the errno that it is answered with (0: done).

    The kernel answers before send() returns, so nothing here waits. Raises OSError as the socket does, and KernelError
    where the answer is to something else.
    """
    sequence = int.from_bytes(os.urandom(4), "little")
    source.send(_HEADER.pack(_HEADER.size + len(payload), kind, _REQUEST | _ACK | flags, sequence, 0) + payload)
    answer = source.recv(1 << 16)
    _, answered, _, its_sequence, _ = _HEADER.unpack_from(answer)
    if answered != _ERROR or its_sequence != sequence:
        raise KernelError(f"the kernel answers something else than was asked (message type {answered})")
    return -int(struct.unpack_from("=i", answer, _HEADER.size)[0])
