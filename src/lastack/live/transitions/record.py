"""What is told of one change of state: a row of a structured array, whichever source it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.model.record import address_dtype
from lastack.model.state import State

if TYPE_CHECKING:
    from lastack.model.record import Array

SAMPLED: Final = 1
"""Flag: found by comparing dumps. `at` is exact where a timer of the kernel's tells it, otherwise a bound: it happened
between the dump before and then."""

NUMBERED: Final = np.uint64(1 << 63)
"""Set in a `cookie` that is none, but a number of the source's own for a socket whose cookie it cannot see."""

TRANSITION: Final = np.dtype(
    [
        ("at", "i8"),
        ("cookie", "u8"),
        ("cgroup", "u8"),
        ("local_addr", address_dtype()),
        ("remote_addr", address_dtype()),
        ("namespace", "u4"),
        ("pid", "u4"),
        ("local_port", "u2"),
        ("remote_port", "u2"),
        ("family", "u1"),
        ("before", "u1"),
        ("after", "u1"),
        ("flags", "u1"),
        ("command", "S16"),
    ]
)
"""One change of state, 88 octets.

`at`: ns since 1970. `cookie`: the kernel's socket cookie, or see NUMBERED. `cgroup`: id of the cgroup (v2) of the
process; 0 unknown. Addresses: two native halves, IPv4 mapped, as the columns of a ConnectionTable have them.
`namespace`: inode of the network namespace; 0 unknown. `pid`: the process (tgid) that made the change by a call; 0
where a segment or a timer did, or it is unknown. `command`: the name of that process, as the kernel has it (any
octets); empty where `pid` is 0. Ports in host order; the local one is 0 in SYN_SENT where connect() has not chosen it
yet. `family`: 4 or 6, what is on the wire. `before`, `after`: numbers of `State`, which are Linux's. `flags`: SAMPLED.
"""


def is_birth(rows: Array) -> Array:
    """Which changes begin a life: out of CLOSED, or a listening socket's child (inet_csk_clone_lock())."""
    child = (rows["before"] == State.LISTEN) & (rows["after"] != State.CLOSED)
    born: Array = child | (rows["before"] == State.CLOSED)
    return born


def copied(rows: Array, places: Array) -> Array:
    """The rows at these places, or of this mask: copied as plain octets, where NumPy would copy field by field."""
    found: Array = rows.view(np.dtype((np.void, rows.itemsize)))[places].view(rows.dtype)
    return found


def none() -> Array:
    """No transitions."""
    return np.empty(0, TRANSITION)
