"""Which sockets have something to send, and when each has to be woken next.

A timer is lazy: one that moves back, as it does with every ACK, is left where it is and looked at again when its old
time comes up front. Instants are kept in a heap of plain integers, each with the alarms that are set for it.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import final

from lastack.model.time import Nanos
from lastack.tcp.timers import NEVER

from .sock import Alarm, Socket


@final
class Schedule:
    """The ready queue and the timers of one stack."""

    __slots__ = ("_buckets", "_heap", "_last", "_last_at", "head", "ready")

    def __init__(self) -> None:
        self.ready: list[Socket] = []
        """Those to be polled, from `head` on."""
        self.head = 0
        self._heap: list[int] = []
        self._last: Alarm | None = None
        self._last_at: Nanos = 0
        self._buckets: dict[int, list[Alarm]] = {}

    def touch(self, socket: Socket) -> None:
        """Something happened to it: it will be polled."""
        if not socket.queued:
            socket.queued = True
            self.ready.append(socket)

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
        alarm = socket.alarm
        if at >= alarm.at:
            return
        alarm.at = at
        if at < self._last_at:
            self._last = None
        bucket = self._buckets.get(at)
        if bucket is None:
            self._buckets[at] = [alarm]
            heappush(self._heap, at)
        else:
            bucket.append(alarm)

    def bound(self) -> Nanos:
        """No timer goes off before this; NEVER where none is armed. Looks at none of them."""
        return self._heap[0] if self._heap else NEVER

    def next(self) -> Nanos:
        """The earliest instant at which a timer really goes off; NEVER where none is armed."""
        last = self._last
        if last is not None and last.at == self._last_at and _due(last) <= self._last_at:
            # What was found the last time still holds, and nothing earlier was armed.
            return self._last_at
        self._last = None
        while self._heap:
            at = self._heap[0]
            bucket = self._buckets[at]
            while bucket:
                alarm = bucket[-1]
                if alarm.at == at and alarm.socket is not None:
                    due = _due(alarm)
                    if due <= at:
                        self._last = alarm
                        self._last_at = at
                        return at
                    alarm.at = NEVER
                    if due != NEVER:
                        self.arm(alarm.socket, due)
                bucket.pop()
            heappop(self._heap)
            del self._buckets[at]
        return NEVER

    def due(self, now: Nanos) -> list[Socket]:
        """The sockets whose timer has gone off, each taken out."""
        found: list[Socket] = []
        while self.next() <= now:
            at = heappop(self._heap)
            for alarm in self._buckets.pop(at):
                if alarm.at == at and alarm.socket is not None:
                    alarm.at = NEVER
                    found.append(alarm.socket)
        return found


def _due(alarm: Alarm) -> Nanos:
    """When the connection really wants to be woken."""
    socket = alarm.socket
    return NEVER if socket is None else socket.connection.deadline()
