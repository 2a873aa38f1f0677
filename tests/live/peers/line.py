"""Our TCP at one end of a TUN device and the kernel's at the other, in the network namespace of the test's thread."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, Generic, TypeVar

from lastack.api import connections
from lastack.drive.blocking import Driver, real_stack
from lastack.drive.impair import OVERTAKEN, Impaired
from lastack.drive.link import Fate
from lastack.drive.pump import Wire
from lastack.drive.recorder import Recorder
from lastack.drive.tun import TunDevice
from lastack.linux.tun import Tun
from lastack.model.filters import parse
from lastack.model.state import State
from lastack.model.time import MILLISECOND
from lastack.tcp.settings import Settings

T = TypeVar("T")

OURS: Final = {4: "10.9.0.2", 6: "fd09::2"}
KERNEL: Final = {4: "10.9.0.1", 6: "fd09::1"}
PATIENCE: Final = 60.0


def bad_fate() -> Fate:
    """A wire that loses, reorders, doubles and damages, enough of each to be met in every transfer."""
    fate = Fate()
    fate.loss, fate.duplicate, fate.corrupt = 0.01, 0.01, 0.002
    fate.reorder, fate.reorder_by = 0.03, OVERTAKEN
    fate.delay = MILLISECOND
    return fate


class Line:
    """`driver` and `stack` are ours. Whoever waits here drives them meanwhile."""

    def __init__(
        self,
        *,
        bad: bool = False,
        trace: BinaryIO | None = None,
        settings: Settings | None = None,
        around: Callable[[Wire], Wire] | None = None,
    ) -> None:
        self.bad = bad
        self.tun = Tun([f"{KERNEL[4]}/24", f"{KERNEL[6]}/64"], offload=not bad)
        device: Wire = TunDevice(self.tun)
        if bad:
            device = Impaired(device, bad_fate(), bad_fate(), time.monotonic_ns, seed=5)
        if trace is not None:
            device = Recorder(device, trace, time.time_ns)
        if around is not None:
            device = around(device)
        self.driver = Driver(real_stack([OURS[4], OURS[6]], settings), device)
        self.stack = self.driver.stack

    def until(self, condition: Callable[[], T | None], timeout: float = PATIENCE) -> T:
        """Drive until something is true, and look for it often."""
        end = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < end, "it did not come to that"
            self.driver.step(0.01)
        return found

    def start(self, call: Callable[[], T]) -> Beside[T]:
        """A call that uses the kernel's sockets, in a thread of its own."""
        return Beside(self, call)

    def beside(self, call: Callable[[], T], timeout: float = PATIENCE) -> T:
        """The result of such a call."""
        return self.start(call).result(timeout)

    def run(self, *command: str, timeout: float = PATIENCE, check: bool = True) -> str:
        """What a program prints; it talks to us meanwhile."""
        with tempfile.TemporaryFile("w+b") as said:
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT) as program:
                try:
                    self.until(lambda: program.poll() is not None, timeout)
                finally:
                    program.kill()
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
        assert not check or program.returncode == 0, text
        return text

    @contextmanager
    def server(self, *command: str, port: int, **options: Any) -> Iterator[None]:
        """A server program on the kernel's TCP, from when it listens until the block ends."""
        with (
            tempfile.TemporaryFile("w+b") as said,
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, **options) as program,
        ):
            try:
                self.until(lambda: program.poll() is not None or _listens(port))
                assert program.poll() is None, _text(said)
                yield
            finally:
                program.terminate()
                self.until(lambda: program.poll() is not None)

    def kernel_states(self, port: int) -> list[State]:
        """The states of the kernel's connections from or to a port, listeners left out."""
        table = connections(netns="own", where=parse(f"exclude listening and ( sport = :{port} or dport = :{port} )"))
        return [State(value) for value in table.values("local_state").tolist()] if len(table) else []

    def our_states(self) -> list[State]:
        """The states of ours, listeners left out."""
        states = [State(value) for value in self.stack.connections(self.driver.now()).values("local_state").tolist()]
        return [state for state in states if state is not State.LISTEN]

    def close(self) -> None:
        """The device is gone."""
        self.driver.device.close()


class Beside(Generic[T]):
    """A call that goes on in a thread, while whoever holds this drives the line."""

    def __init__(self, line: Line, call: Callable[[], T]) -> None:
        self._line = line
        self._call = call
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return not self._thread.is_alive()

    def result(self, timeout: float = PATIENCE) -> T:
        """What it gives; raises what it raises."""
        self._line.until(lambda: self.over, timeout)
        if self._errors:
            raise self._errors[0]
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:  # handed on to the test
            self._errors.append(error)


def _listens(port: int) -> bool:
    """Seen from outside: a server may take a connection that says nothing for its one client."""
    return len(connections(netns="own", where=parse(f"state listening and sport = :{port}"))) > 0


def _text(said: BinaryIO) -> str:
    said.seek(0)
    return said.read().decode("utf-8", "replace")
