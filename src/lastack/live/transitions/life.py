"""A life: what is known of one connection from the changes of its state; a row of a structured array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lastack.model.record import address_dtype

from .record import none

if TYPE_CHECKING:
    from lastack.model.record import Array

UNKNOWN: Final = 0
"""As a state: the kernel has let the socket go, and no dump has shown yet whether a mini-socket took its place."""

LIFE: Final = np.dtype(
    [
        # What every change touches comes first, in one line of the processor's cache.
        ("key", "u8"),
        ("cookie", "u8"),
        ("since", "i8"),
        ("changed", "i8"),
        ("state", "u1"),
        ("former", "u1"),
        ("opened_by", "u1"),
        ("first_closer", "u1"),
        ("sampled", "u2"),
        ("local_port", "u2"),
        ("remote_port", "u2"),
        ("family", "u1"),
        ("namespace", "u4"),
        ("pid", "u4"),
        ("began", "i8"),
        ("spent", "i8", (16,)),
        ("command", "S16"),
        ("cgroup", "u8"),
        ("local_addr", address_dtype()),
        ("remote_addr", address_dtype()),
    ],
    align=True,
)
"""One connection (or listening socket), as far as it is known.

`key`: what tells it from all others: its cookie, or a number of the source's own. `cookie`: the kernel's; 0 unknown.
`began`: Unix time of its first change in ns; 0 where that was not seen. `since`: when it came into `state` (where
that is UNKNOWN: into the one before); 0 unknown.
`changed`: when something was last heard of it. `spent`: ns in each state, by the state's number, those that are over;
-1 where it was in that state but how long is not known. `sampled`: a bit `1 << state` for each state whose beginning or
end was found by a dump, so that its time is no exact one. `state`: a State's number, UNKNOWN, or CLOSED where the life
is over. `opened_by`, `first_closer`: a Closer's number. `pid`, `command`, `cgroup`: the process that last called
connect, shutdown or close on it; 0 and empty where none was seen. The rest is as in TRANSITION.
"""


class Step(NamedTuple):
    """What one step of watching brought.

    `changes`: TRANSITION rows, in order of time; `after` may be UNKNOWN. `stayed`: how long each had been in `before`,
    in ns; -1 unknown. `ended`: the LIFE rows of those that are over with this step.
    """

    changes: Array
    stayed: Array
    ended: Array


def nothing() -> Step:
    """A step without news."""
    return Step(none(), np.empty(0, np.int64), np.empty(0, LIFE))


def joined(steps: Sequence[Step]) -> Step:
    """Steps, one after the other, as one."""
    steps = [step for step in steps if len(step.changes) or len(step.ended)]
    if len(steps) <= 1:
        return steps[0] if steps else nothing()
    return Step(*(np.concatenate(parts) for parts in zip(*steps, strict=True)))
