"""What another process can make wait for ever, done on a thread that is left behind when it does.

Its memory, or its program's file, may lie on a file system that never answers: a dead server's, or a hostile one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, do: Callable[[], Result]) -> Result | None:
    """What `do` returns; None where it has not by then. `do` must not raise, and must close what it has opened."""
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(do()), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None
