"""A station driven by an event loop: what a selector and the kernel's sockets are to asyncio's own transports.

One reader for the device, one timer for the stack, and at most one flush in a turn of the loop, whatever the number of
connections.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from lastack.drive.pump import Wire
from lastack.drive.station import Station
from lastack.errors import KernelError
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack.stack import Stack

from .hairpin import Hairpin


class LoopDriver(ABC):
    """Waits by means of `loop` for `device`, if there is one, and for the timers of `stack`."""

    def __init__(self, stack: Stack, device: Wire | None, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.stack = stack
        self._device = Hairpin(stack.host.addresses, device)
        self._descriptor: int = -1 if device is None else device.fileno()
        self.station = Station(stack, self._device)
        self._passing = False
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Nanos = 0
        self._stopped = False
        if self._descriptor >= 0:
            loop.add_reader(self._descriptor, self._advance)

    @abstractmethod
    def failed(self, error: OSError) -> None:
        """The device is gone, and so is every connection."""

    def now(self) -> Nanos:
        """The time that the stack is given."""
        return time.monotonic_ns()

    def touch(self) -> None:
        """Something may have to be sent: once in this turn of the loop, for all who say so."""
        if self._soon is None and not self._passing and not self._stopped and not self.loop.is_closed():
            self._soon = self.loop.call_soon(self._flush)

    def stop(self) -> None:
        """Send what can be sent now, and wait for nothing any more."""
        if not self._passing:
            self._flush()
        self._stopped = True
        if self._descriptor >= 0 and not self.loop.is_closed():
            self.loop.remove_reader(self._descriptor)
            self.loop.remove_writer(self._descriptor)
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()

    def _advance(self) -> None:
        self._pass(self.station.advance)

    def _flush(self) -> None:
        self._soon = None
        self._pass(self.station.flush)

    def _due(self) -> None:
        self._timer = None
        self._pass(self.station.advance)

    def _write_on(self) -> None:
        self.loop.remove_writer(self._descriptor)
        self._flush()

    def _pass(self, act: Callable[[Nanos], Nanos | None]) -> None:
        """Let the station do what there is to do, and see to it that it is called again in time."""
        if self._stopped:
            return
        self._passing = True
        try:
            due = act(self.now())
        except KernelError as error:
            self.loop.call_exception_handler({"message": "the device of a network has failed", "exception": error})
            self.stop()
            self.failed(OSError(str(error)))
            return
        except BaseException:
            # An interrupt in a callback, above all, which ends the loop's run. The rest is done in a moment.
            self._arm(self.now() + MILLISECOND)
            raise
        finally:
            self._passing = False
        if due is not None:
            self._arm(due)
        if not self._device.ready():
            self.loop.add_writer(self._descriptor, self._write_on)

    def _arm(self, at: Nanos) -> None:
        """Come back at `at`. A timer that is set for earlier stays: it costs less to look in vain than to set anew."""
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.loop.call_later(max(at - self.now(), 0) / SECOND, self._due)
