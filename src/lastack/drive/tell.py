"""Which method of an application an event is for."""

from __future__ import annotations

from typing import Final

from lastack.model.time import Nanos
from lastack.stack.sock import Socket
from lastack.tcp.events import Event

from .application import Application

# Looked up once: a member of an enumeration costs more than what is done with it.
_OPENED: Final = Event.OPENED
_READABLE: Final = Event.READABLE
_WRITABLE: Final = Event.WRITABLE
_END_OF_FILE: Final = Event.END_OF_FILE
_ERROR: Final = Event.ERROR
_CLOSED: Final = Event.CLOSED


def tell(application: Application, socket: Socket, event: Event, now: Nanos) -> None:
    """Call the one method that an event is for. After CLOSED the socket has no owner any more."""
    if event is _READABLE:
        application.on_readable(socket, now)
    elif event is _OPENED:
        application.on_opened(socket, now)
    elif event is _WRITABLE:
        application.on_writable(socket, now)
    elif event is _END_OF_FILE:
        application.on_end_of_file(socket, now)
    elif event is _ERROR:
        application.on_error(socket, now)
    elif event is _CLOSED:
        application.on_closed(socket, now)
        socket.owner = None
