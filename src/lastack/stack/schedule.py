"""Which sockets have something to send, which have something to tell, and when each has to be woken next.

Who is ready, and who has news, stand in a chain: first come, first served. The alarms are a binary heap of the sockets
themselves, the earliest on top, so that a socket that is gone leaves nothing behind. An alarm is lazy: a timer that
moves back, as it does with every ACK, is left where it is and looked at again when its old time comes up.
"""

from __future__ import annotations

from typing import final

from lastack.model.time import Nanos
from lastack.native import i64
from lastack.tcp.timers import NEVER

from .sock import Socket


@final
class Schedule:
    """The ready queue, the news and the alarms of one stack."""

    __slots__ = ("_last", "_last_news", "first", "heap", "news")

    def __init__(self) -> None:
        self.first: Socket | None = None
        """Who is polled next."""
        self._last: Socket | None = None
        self.news: Socket | None = None
        """Whose events are told next."""
        self._last_news: Socket | None = None
        self.heap: list[Socket] = []
        """Those that are to be woken, the earliest on top."""

    # -- who has something to send

    def touch(self, socket: Socket) -> None:
        """Something happened to it: it will be polled."""
        if socket.queued:
            return
        socket.queued = True
        last = self._last
        if last is None:
            self.first = socket
        else:
            last.behind = socket
        self._last = socket

    def drop(self, first: Socket) -> None:
        """The first has nothing to send."""
        first.queued = False
        self.first = first.behind
        first.behind = None
        if self.first is None:
            self._last = None

    # -- who has something to tell

    def notice(self, socket: Socket) -> None:
        """Its owner, or its listener's while nobody has accepted it, should know of something."""
        if socket.noticed:
            return
        socket.noticed = True
        last = self._last_news
        if last is None:
            self.news = socket
        else:
            last.tells_next = socket
        self._last_news = socket

    def told(self, first: Socket) -> None:
        """The first has told everything."""
        first.noticed = False
        self.news = first.tells_next
        first.tells_next = None
        if self.news is None:
            self._last_news = None

    # -- who has to be woken

    def arm(self, socket: Socket, at: Nanos) -> None:
        """Wake it at `at`, which is earlier than its alarm was so far."""
        place = socket.place
        if place < 0:
            place = len(self.heap)
            self.heap.append(socket)
        socket.alarm = at
        self._rise(socket, place)

    def cancel(self, socket: Socket) -> None:
        """Wake it no more."""
        place = socket.place
        if place < 0:
            return
        socket.alarm = NEVER
        socket.place = -1
        last = self.heap.pop()
        if last is not socket:
            self._sink(last, place)
            self._rise(last, last.place)

    def next(self) -> i64:
        """The earliest instant at which a timer really goes off; NEVER where none is armed."""
        while self.heap:
            socket = self.heap[0]
            due = socket.connection.deadline()
            if due <= socket.alarm:
                return socket.alarm
            if due == NEVER:
                self.cancel(socket)
            else:
                socket.alarm = due
                self._sink(socket, 0)
        return NEVER

    def due(self, now: Nanos) -> Socket | None:
        """A socket whose timer has gone off, taken out; None where there is none."""
        if self.next() > now:
            return None
        socket = self.heap[0]
        self.cancel(socket)
        return socket

    def _rise(self, socket: Socket, place: i64) -> None:
        """Put it into a free place, or higher up, below all that are earlier (of the same instant: older)."""
        heap, at, number = self.heap, socket.alarm, socket.number
        while place:
            above = (place - 1) >> 1
            other = heap[above]
            if other.alarm < at or (other.alarm == at and other.number <= number):
                break
            heap[place] = other
            other.place = place
            place = above
        heap[place] = socket
        socket.place = place

    def _sink(self, socket: Socket, place: i64) -> None:
        """Put it into a free place, or further down, above all that are later (of the same instant: younger)."""
        heap, at, number = self.heap, socket.alarm, socket.number
        size: i64 = len(heap)
        below = 2 * place + 1
        while below < size:
            other = heap[below]
            if below + 1 < size:
                right = heap[below + 1]
                if right.alarm < other.alarm or (right.alarm == other.alarm and right.number < other.number):
                    below += 1
                    other = right
            if at < other.alarm or (at == other.alarm and number <= other.number):
                break
            heap[place] = other
            other.place = place
            place = below
            below = 2 * place + 1
        heap[place] = socket
        socket.place = place
