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
from lastack.tcp.settings import SocketOptions

from .application import Application
from .pump import Device, pump, soonest
from .tell import tell


@final
class Station:
    """`socket.owner`, where it is an Application, is told of the events. The MTU is no more than the device's."""

    def __init__(self, stack: Stack, device: Device) -> None:
        self.stack = stack
        self.device = device
        self._servers: dict[int, Callable[[], Application]] = {}
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
        self._servers[id(listener)] = make
        return listener

    def unserve(self, listener: Listener, now: Nanos) -> None:
        """Close a listener: those that were not accepted are reset, with the next `flush`."""
        self.stack.unlisten(listener, now)
        self._servers.pop(id(listener), None)

    def advance(self, now: Nanos) -> Nanos | None:
        """All that can be done at `now`. When to come back at the latest, or None: only when the device is readable."""
        pump(self.stack, self.device, now)
        return self.flush(now)

    def flush(self, now: Nanos) -> Nanos | None:
        """Send what there is to send and tell what there is to tell: after calls of sockets. See `advance`."""
        stack, device = self.stack, self.device
        while True:
            while device.ready():
                packet = stack.poll(now)
                if packet is None:
                    break
                device.transmit(packet)
            notice = stack.next_event()
            if notice is None:
                return soonest(stack.next_timeout(), device.next_timeout())
            source = notice.source
            if isinstance(source, Socket):
                owner = source.owner
                if isinstance(owner, Application):
                    tell(owner, source, notice.event, now)
            else:
                self._accept(source)

    def _accept(self, listener: Listener) -> None:
        make = self._servers.get(id(listener))
        if make is None:
            return
        socket = self.stack.accept(listener)
        while socket is not None:
            socket.owner = make()
            socket = self.stack.accept(listener)
