"""A program at one end of a connection, called when something happens to it."""

from __future__ import annotations

from typing import ClassVar, Final

from lastack.model.time import Nanos
from lastack.stack.sock import Socket
from lastack.tcp import events


class Application:
    """Does nothing: override what you need. `socket` is the connection's, `now` the time that its calls take."""

    told: ClassVar[int] = events.CLOSED
    """The events (`tcp.events`) that it is told of: the end, and those whose method its class overrides."""

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        own = {event for event, name in _METHODS if getattr(cls, name) is not getattr(Application, name)}
        cls.told = sum(own | {events.CLOSED})

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """The connection is established."""

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """There is something to receive."""

    def on_writable(self, socket: Socket, now: Nanos) -> None:
        """There is room to send."""

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """The peer has sent everything."""

    def on_error(self, socket: Socket, now: Nanos) -> None:
        """The connection has failed."""

    def on_closed(self, socket: Socket, now: Nanos) -> None:
        """Nothing more will happen."""


_METHODS: Final = (
    (events.OPENED, "on_opened"),
    (events.READABLE, "on_readable"),
    (events.WRITABLE, "on_writable"),
    (events.END_OF_FILE, "on_end_of_file"),
    (events.ERROR, "on_error"),
    (events.CLOSED, "on_closed"),
)
