"""A stack on a device, with the applications that use it: everything but the waiting, which a driver does.

Whatever has happened, call `advance`; it takes in what has arrived, sends what follows, and tells every application
what it should know. Then wait until the device has something to read, or until the instant that `advance` gave back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from lastack.model.time import Nanos
from lastack.stack.listener import Listener
from lastack.stack.sock import Socket
from lastack.stack.stack import Stack
from lastack.tcp.events import Event
from lastack.tcp.settings import SocketOptions

from .application import Application
from .pump import Device, send_out, take_in
from .tell import tell


@final
class Station:
    """`socket.owner`, where it is an Application, is told of the events. The MTU is no more than the device's."""

    def __init__(self, stack: Stack, device: Device) -> None:
        self.stack = stack
        self.device = device
        stack.settings.mtu = min(stack.settings.mtu, device.mtu)
        stack.settings.gso_max_size = device.gso_max_size

    def serve(
        self,
        at: int | tuple[str, int],
        make: Callable[[], Application],
        backlog: int = 4096,
        options: SocketOptions | None = None,
    ) -> Listener:
        """Listen, accept at once, and give every connection an application of its own. Raises CallError EADDRINUSE."""
        listener = self.stack.listen(at, backlog, options)
        listener.owner = make
        return listener

    def unserve(self, listener: Listener, now: Nanos) -> None:
        """Close a listener: those that were not accepted are reset, with the next `flush`."""
        self.stack.unlisten(listener, now)
        listener.owner = None

    def advance(self, now: Nanos) -> Nanos | None:
        """All that can be done at `now`. When to come back at the latest, or None: only when the device is readable."""
        take_in(self.stack, self.device, now)
        return self.flush(now)

    def flush(self, now: Nanos) -> Nanos | None:
        """Tell what there is to tell and send what there is to send: after calls of sockets. See `advance`.

        Applications come first: what they answer carries the ACK that would otherwise leave alone.
        """
        stack = self.stack
        while True:
            notice = stack.next_event()
            while notice is not None:
                self._tell(notice.source, notice.event, now)
                notice = stack.next_event()
            due = send_out(stack, self.device, now)
            # Once nothing more is to be sent for a connection, it may have come to its end.
            notice = stack.next_event()
            if notice is None:
                return due
            self._tell(notice.source, notice.event, now)

    def _tell(self, source: Socket | Listener, event: Event, now: Nanos) -> None:
        if isinstance(source, Socket):
            owner = source.owner
            if isinstance(owner, Application):
                tell(owner, source, event, now)
        else:
            self._accept(source)

    def _accept(self, listener: Listener) -> None:
        make: Callable[[], Application] | None = listener.owner
        if make is None:
            return
        socket = self.stack.accept(listener)
        while socket is not None:
            socket.owner = make()
            socket = self.stack.accept(listener)
