"""Which sockets have something to send, and when each has to be woken next.

A timer is lazy: one that moves back, as it does with every ACK, is left where it is and looked at again when its old
time comes up front. Instants are kept in a heap of plain integers, each with the sockets that wait for it.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import final

from lastack.model.time import Nanos
from lastack.tcp.timers import NEVER

from .sock import Socket


@final
class Schedule:
    """The ready queue and the timers of one stack."""

    __slots__ = ("_buckets", "_heap", "_last", "_last_at", "head", "ready")

    def __init__(self) -> None:
        self.ready: list[Socket] = []
        self.head = 0
        self._heap: list[int] = []
        self._last: Socket | None = None
        self._last_at: Nanos = 0
        self._buckets: dict[int, list[Socket]] = {}

    def touch(self, socket: Socket) -> None:
        """Something happened to it: it will be polled."""
        if not socket.queued:
            socket.queued = True
            self.ready.append(socket)

    def first(self) -> Socket | None:
        """The socket to be polled, or None."""
        return self.ready[self.head] if self.head < len(self.ready) else None

    def drop(self) -> None:
        """The first has nothing to send."""
        self.ready[self.head].queued = False
        self.head += 1
        if self.head == len(self.ready):
            self.ready.clear()
            self.head = 0
        elif self.head >= 512:
            del self.ready[: self.head]
            self.head = 0

    def arm(self, socket: Socket, at: Nanos) -> None:
        """Wake it at `at`, or earlier, where it can look again."""
        if at >= socket.wakes_at:
            return
        socket.wakes_at = at
        if at < self._last_at:
            self._last = None
        bucket = self._buckets.get(at)
        if bucket is None:
            self._buckets[at] = [socket]
            heappush(self._heap, at)
        else:
            bucket.append(socket)

    def next(self) -> Nanos:
        """The earliest instant at which a timer really goes off; NEVER where none is armed."""
        last = self._last
        if last is not None and last.wakes_at == self._last_at and last.connection.deadline() <= self._last_at:
            # What was found the last time still holds, and nothing earlier was armed.
            return self._last_at
        self._last = None
        while self._heap:
            at = self._heap[0]
            bucket = self._buckets[at]
            while bucket:
                socket = bucket[-1]
                if socket.wakes_at == at:
                    due = socket.connection.deadline()
                    if due <= at:
                        self._last = socket
                        self._last_at = at
                        return at
                    socket.wakes_at = NEVER
                    if due != NEVER:
                        self.arm(socket, due)
                bucket.pop()
            heappop(self._heap)
            del self._buckets[at]
        return NEVER

    def due(self, now: Nanos) -> list[Socket]:
        """The sockets whose timer has gone off, each taken out."""
        found: list[Socket] = []
        while self.next() <= now:
            at = heappop(self._heap)
            for socket in self._buckets.pop(at):
                if socket.wakes_at == at:
                    socket.wakes_at = NEVER
                    found.append(socket)
        return found
