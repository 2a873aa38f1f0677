"""Which method of an application an event is for."""

from __future__ import annotations

from lastack.model.time import Nanos
from lastack.stack.sock import Socket
from lastack.tcp import events

from .application import Application


def tell(application: Application, socket: Socket, event: int, now: Nanos) -> None:
    """Call the one method that an event is for. After CLOSED the socket has no owner any more."""
    if event == events.READABLE:
        application.on_readable(socket, now)
    elif event == events.OPENED:
        application.on_opened(socket, now)
    elif event == events.WRITABLE:
        application.on_writable(socket, now)
    elif event == events.END_OF_FILE:
        application.on_end_of_file(socket, now)
    elif event == events.ERROR:
        application.on_error(socket, now)
    elif event == events.CLOSED:
        application.on_closed(socket, now)
        socket.owner = None
