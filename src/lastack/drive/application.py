"""A program at one end of a connection, called when something happens to it."""

from __future__ import annotations

from lastack.model.time import Nanos
from lastack.stack.sock import Socket


class Application:
    """Does nothing: override what you need. `socket` is the connection's, `now` the time that its calls take."""

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
