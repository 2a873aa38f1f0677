r"""Blocking sockets on a stack of ours, for one thread: whoever waits drives the stack, and so everybody else as well.

with TunDevice(Tun(["10.9.0.1/24"])) as device:
    driver = Driver(real_stack(["10.9.0.2"]), device)
    with driver.connect(("10.9.0.1", 80), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        print(sock.recv(65536))

Applications that are called when something happens (`Driver.serve`) and blocking sockets can be mixed. Errors are
those of Python's sockets: OSError by errno, so ConnectionResetError or BrokenPipeError, and TimeoutError.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket as kernel
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from lastack.errors import CallError
from lastack.model.address import Endpoint
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack.dice import Dice
from lastack.stack.listener import Listener
from lastack.stack.sock import Socket
from lastack.stack.stack import Stack
from lastack.tcp.info import TcpInfo
from lastack.tcp.settings import Settings, SocketOptions

from .application import Application
from .pump import Wire, soonest
from .station import Station

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")

_OPENING = (State.SYN_SENT, State.SYN_RECEIVED)
_HOW = {kernel.SHUT_RD: "read", kernel.SHUT_WR: "write", kernel.SHUT_RDWR: "both"}
_PIECE = 1 << 20
_LONGEST = 1 << 30
"""Milliseconds that poll(2) can wait."""


def real_stack(addresses: list[str], settings: Settings | None = None) -> Stack:
    """A stack whose chance is the system's: for anything but a simulation. `addresses` are ours, not the kernel's."""
    return Stack(addresses, settings, Dice(int.from_bytes(os.urandom(8), "big")))


def socket_error(error: CallError) -> OSError:
    """What a socket of Python's raises where the engine raises this: BrokenPipeError for EPIPE, and so on."""
    number = getattr(errno, error.code or "", errno.EINVAL)
    return OSError(number, os.strerror(number))


class Driver:
    """A stack on a device, driven by the calls of one thread. `clock` gives nanoseconds that never go back."""

    def __init__(self, stack: Stack, device: Wire, clock: Callable[[], Nanos] = time.monotonic_ns) -> None:
        self.stack = stack
        self.device = device
        self.station = Station(stack, device)
        self._clock = clock
        self._poll = select.poll()
        self._poll.register(device.fileno(), select.POLLIN)
        self._watched: dict[int, Callable[[], None]] = {}

    def watch(self, descriptor: int, call: Callable[[], None]) -> None:
        """Call this whenever a descriptor of somebody else's is readable or has ended: a kernel's socket, a key."""
        self._poll.register(descriptor, select.POLLIN)
        self._watched[descriptor] = call

    def unwatch(self, descriptor: int) -> None:
        """Look at it no more. Raises KeyError where it was not watched."""
        del self._watched[descriptor]
        self._poll.unregister(descriptor)

    def now(self) -> Nanos:
        """The time that the stack is given."""
        return self._clock()

    def step(self, timeout: float | None = 0.0) -> bool:
        """Wait for a packet or a timer, `timeout` seconds at most (None: as long as it takes), and do what follows.

        Whether anything came in time.
        """
        now = self._clock()
        until = None if timeout is None else now + int(timeout * SECOND)
        due = soonest(self.stack.next_timeout(), self.device.next_timeout())
        wake = due if until is None else until if due is None else min(due, until)
        # A timer goes off a little late rather than early: else the last moments would be spent in a loop.
        wait = None if wake is None else min(max(-((now - wake) // MILLISECOND), 0), _LONGEST)
        ready = self._poll.poll(wait)
        if self._watched:
            for descriptor, _ in ready:
                call = self._watched.get(descriptor)
                if call is not None:
                    call()
        self.station.advance(self._clock())
        return bool(ready) or (due is not None and (until is None or due <= until))

    def run_until(self, condition: Callable[[], T | None], timeout: float | None = None) -> T:
        """Drive until `condition` gives something true, and give that back. Raises TimeoutError after `timeout` s."""
        end = None if timeout is None else self._clock() + int(timeout * SECOND)
        while True:
            found = condition()
            if found:
                return found
            left = None if end is None else (end - self._clock()) / SECOND
            if left is not None and left <= 0:
                raise TimeoutError("timed out")
            self.step(left)

    def run(self, duration: float) -> None:
        """Drive for so many seconds."""
        end = self._clock() + int(duration * SECOND)
        while (left := end - self._clock()) > 0:
            self.step(left / SECOND)

    def connect(
        self,
        to: tuple[str, int],
        timeout: float | None = None,
        *,
        options: SocketOptions | None = None,
        local: tuple[str, int] | None = None,
    ) -> BlockingSocket:
        """Open a connection; its time-out is then `timeout`, in seconds.

        Raises OSError as connect(2) does (ConnectionRefusedError, EADDRNOTAVAIL, EHOSTUNREACH...), TimeoutError.
        """
        try:
            socket = self.stack.connect(to, self.now(), options, local)
        except CallError as error:
            raise socket_error(error) from error
        opening = BlockingSocket(self, socket, timeout)
        self.flush()
        try:
            opening.wait_until_open()
        except BaseException:
            opening.close()
            raise
        return opening

    def listen(
        self, at: int | tuple[str, int], backlog: int = 4096, *, options: SocketOptions | None = None
    ) -> BlockingListener:
        """Listen on a port of every address, or on (address, port). Raises OSError (EADDRINUSE)."""
        try:
            return BlockingListener(self, self.stack.listen(at, backlog, options))
        except CallError as error:
            raise socket_error(error) from error

    def serve(
        self,
        at: int | tuple[str, int],
        make: Callable[[], Application],
        backlog: int = 4096,
        options: SocketOptions | None = None,
    ) -> Listener:
        """Listen, accept at once, and give every connection an application of its own. Raises OSError (EADDRINUSE)."""
        try:
            return self.station.serve(at, make, backlog, options)
        except CallError as error:
            raise socket_error(error) from error

    def flush(self) -> None:
        """Send what there is to send: after calls of the engine's own sockets."""
        self.station.flush(self.now())


class BlockingSocket(Application):
    """One end of a connection, much like Python's socket. `socket` is the engine's own."""

    def __init__(self, driver: Driver, socket: Socket, timeout: float | None = None) -> None:
        self._driver = driver
        self._timeout = timeout
        self._woken = False
        self._closed = False
        self._gone = False
        self._streams = 0
        self.socket = socket
        socket.owner = self

    def settimeout(self, timeout: float | None) -> None:
        """How many seconds a call may take; None: as long as it does, 0: not at all (BlockingIOError)."""
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        """The same, asked."""
        return self._timeout

    def wait_until_open(self) -> None:
        """Return when the connection is open. Raises OSError where it could not be opened."""
        self._attempt(self._open)

    def send(self, data: bytes) -> int:
        """Queue octets, at least one; how many were taken. Raises OSError (BrokenPipeError, ...), TimeoutError."""
        if not data:
            return 0
        raw = bytes(data)
        taken = self._attempt(lambda: self.socket.send(raw, self._driver.now()) or None)
        self._driver.flush()
        return taken

    def sendall(self, data: bytes) -> None:
        """Queue all of `data`. Raises as `send` does; how much was queued is then not known."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(bytes(rest[:_PIECE])) :]

    def recv(self, limit: int = 1 << 16) -> bytes:
        """Octets in order, `limit` at most; empty: the peer has sent everything. Raises OSError, TimeoutError."""
        data = self._attempt(lambda: self.socket.receive(limit, self._driver.now()))
        self._driver.flush()
        return data

    def recv_into(self, buffer: WriteableBuffer, limit: int = 0) -> int:
        """The same into a buffer; how many octets."""
        room = memoryview(buffer).cast("B")
        data = self.recv(min(limit or len(room), len(room)))
        room[: len(data)] = data
        return len(data)

    def makefile(
        self,
        mode: str = "r",
        buffering: int = -1,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """The connection as a file, as Python's sockets have it: it stays open until its files are closed as well."""
        raw = _Stream(self)
        self._streams += 1
        if buffering == 0:
            return cast(IO[Any], raw)
        size = buffering if buffering > 0 else io.DEFAULT_BUFFER_SIZE
        if "w" not in mode:
            file: io.BufferedIOBase = io.BufferedReader(raw, size)
        else:
            file = io.BufferedRWPair(raw, raw, size) if "r" in mode else io.BufferedWriter(raw, size)
        if "b" in mode:
            return cast(IO[Any], file)
        return io.TextIOWrapper(cast(BinaryIO, file), encoding, errors, newline)

    def shutdown(self, how: str | int = "write") -> None:
        """Close `read`, `write` or `both` (or socket.SHUT_WR and so on), and keep the socket. Raises OSError."""
        words = _HOW[how] if isinstance(how, int) else how
        self._call(lambda: self.socket.shutdown(words, self._driver.now()))

    def close(self) -> None:
        """Give the socket up; what was sent and a FIN are still delivered while somebody drives. Never waits."""
        self._closed = True
        self._let_go()

    def file_closed(self) -> None:
        """A file of `makefile` was closed: the last one closes a socket that was given up before."""
        self._streams -= 1
        self._let_go()

    def _let_go(self) -> None:
        if self._closed and not self._streams and not self._gone:
            self._gone = True
            self._call(lambda: self.socket.close(self._driver.now()))

    def abort(self) -> None:
        """End the connection at once, with a RST."""
        self._closed = self._gone = True
        self._call(lambda: self.socket.abort(self._driver.now()))

    def getsockname(self) -> Endpoint:
        """Our address and port."""
        return self.socket.local_endpoint

    def getpeername(self) -> Endpoint:
        """The peer's address and port."""
        return self.socket.remote_endpoint

    def info(self) -> TcpInfo:
        """What getsockopt(TCP_INFO) says."""
        return self.socket.info(self._driver.now())

    @property
    def options(self) -> SocketOptions:
        """The socket's options, to be set at any time."""
        return self.socket.options

    @property
    def state(self) -> State:
        """The connection's state; TIME_WAIT only while it lasts."""
        return self._driver.stack.state_of(self.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- waiting

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """Whoever waits looks again."""
        self._woken = True

    on_readable = on_writable = on_end_of_file = on_error = on_closed = on_opened

    def _open(self) -> bool | None:
        if self.socket.state in _OPENING:
            return None
        error = self.socket.connection.error
        if error is not None:
            self.socket.connection.error = None
            raise CallError("the connection was not opened", error)
        return True

    def _attempt(self, call: Callable[[], T | None]) -> T:
        """Try again whenever something has happened to the connection, until there is a result."""
        if self._gone or (self._closed and not self._streams):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        timeout = self._timeout
        end = None if timeout is None else self._driver.now() + int(timeout * SECOND)
        try:
            result = call()
            while result is None:
                if timeout == 0:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                self._woken = False
                left = None if end is None else (end - self._driver.now()) / SECOND
                self._driver.run_until(lambda: self._woken, left)
                result = call()
        except CallError as error:
            raise socket_error(error) from error
        return result

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except CallError as error:
            raise socket_error(error) from error
        self._driver.flush()


class _Stream(io.RawIOBase):
    """A connection as a raw file."""

    def __init__(self, ours: BlockingSocket) -> None:
        self._ours = ours

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Octets in order; 0: the end of file."""
        return self._ours.recv_into(buffer)

    def write(self, data: ReadableBuffer) -> int:
        """Queue octets; how many were taken."""
        return self._ours.send(bytes(data))

    def close(self) -> None:
        """One file less that keeps the connection open."""
        if not self.closed:
            super().close()
            self._ours.file_closed()


class BlockingListener:
    """A listening socket."""

    def __init__(self, driver: Driver, listener: Listener) -> None:
        self._driver = driver
        self.listener = listener

    def accept(self, timeout: float | None = None) -> BlockingSocket:
        """The next connection. Raises TimeoutError where none came in so many seconds."""
        socket = self._driver.run_until(lambda: self._driver.stack.accept(self.listener), timeout)
        return BlockingSocket(self._driver, socket)

    def getsockname(self) -> Endpoint:
        """Where it listens."""
        return self.listener.endpoint

    def close(self) -> None:
        """Listen no more; what was not accepted is reset."""
        self._driver.station.unserve(self.listener, self._driver.now())
        self._driver.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
