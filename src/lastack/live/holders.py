"""Who holds which socket, as columns: found for one inode as in a mapping, or for all rows of a table at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lastack.model.host import Holder

if TYPE_CHECKING:
    from lastack.model.record import Array


class Holders(Mapping[int, tuple[Holder, ...]]):
    """Descriptors of sockets, ordered by the socket's inode.

    `inodes`, `pids`, `fds`: of each descriptor the inode of its socket, the process that has it, and its number there.
    """

    __slots__ = ("fds", "inodes", "pids")

    def __init__(self, inodes: Array, pids: Array, fds: Array) -> None:
        order = np.argsort(inodes, kind="stable")
        self.inodes: Array = inodes[order]
        self.pids: Array = pids[order]
        self.fds: Array = fds[order]

    @classmethod
    def of(cls, descriptors: Sequence[tuple[int, int, int]]) -> Holders:
        """From the inode, process and number of each descriptor."""
        return cls(*np.array(descriptors, np.int64).reshape(-1, 3).T)

    def find(self, inodes: Array) -> tuple[Array, Array]:
        """For each inode where its descriptors begin, and how many they are."""
        first = np.searchsorted(self.inodes, inodes, "left")
        return first, np.searchsorted(self.inodes, inodes, "right") - first

    def __getitem__(self, inode: int) -> tuple[Holder, ...]:
        first, count = self.find(np.array([inode], self.inodes.dtype))
        if not count[0]:
            raise KeyError(inode)
        its = slice(int(first[0]), int(first[0] + count[0]))
        return tuple(map(Holder, self.pids[its].tolist(), self.fds[its].tolist()))

    def __iter__(self) -> Iterator[int]:
        return iter(np.unique(self.inodes).tolist())

    def __len__(self) -> int:
        return len(np.unique(self.inodes))
