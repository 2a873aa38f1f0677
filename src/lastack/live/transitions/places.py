"""The network namespaces that are watched, found again as they come and go."""

from __future__ import annotations

import time
from typing import Final

from lastack.linux import namespaces
from lastack.linux.namespaces import Namespace
from lastack.model.time import SECOND

from .source import Namespaces

_FRESH: Final = 10 * SECOND
"""Finding all namespaces means looking at every process."""


class Places:
    """Namespaces by their inodes; None: whichever there are, looked for anew from time to time."""

    __slots__ = ("_found", "_since", "_wanted")

    def __init__(self, wanted: Namespaces) -> None:
        self._wanted = wanted
        self._found: tuple[Namespace, ...] = ()
        self._since = 0

    def present(self) -> tuple[Namespace, ...]:
        """Those that there are. Raises KernelError as `namespaces.known` does."""
        now = time.monotonic_ns()
        own = namespaces.own()
        if self._wanted == frozenset((own.inode,)):
            return (own,)
        if not self._found or now - self._since > _FRESH:
            self._found = tuple(
                each for each in namespaces.known() if self._wanted is None or each.inode in self._wanted
            )
            self._since = now
        return self._found
