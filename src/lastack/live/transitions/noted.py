"""What is noted of a socket while somebody watches, and under which names it is found in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from lastack.model.record import Array

TELLER: Final = "lastack_states"
"""The program that tells and notes changes of state."""
NOTES: Final = "lastack_notes"
"""The array of its notes."""
NOTE: Final = np.dtype(
    [
        ("cookie", "u8"),
        ("opened", "u8"),
        ("changed", "u8"),
        ("cgroup", "u8"),
        ("command", "S16"),
        ("pid", "u4"),
        ("state", "u1"),
        ("began", "u1"),
        ("opener", "u1"),
        ("spare", "u1"),
    ]
)
"""What is noted of a socket, 56 octets. Times are in ns since boot; what was not seen is 0.

`opened`: when a connection began, and `opener` whose call did (a number of `Closer`). `changed`: when it came to
`state`, the latest. `pid`, `command`, `cgroup`: the process whose call began the close, as in TRANSITION; `began`: the
state that this brought.
"""

HERE: Final[dict[int, Array]] = {}
"""The notes that programs of this very process keep, by who attached them: to find these takes no permission."""
