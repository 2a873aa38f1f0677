"""One connection as asyncio has them: a Transport between a Socket of the stack and a Protocol.

It behaves as the transport of asyncio's own selector loop does, callback by callback; `tests/live/aio` plays both the
same scenes. Every callback runs in the connection's own context, so that a context variable set in one never shows in
another, though one pass of the driver serves them all.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.log import logger
from typing import TYPE_CHECKING, Any, Final

from lastack.drive.application import Application
from lastack.errors import CallError
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.stack.sock import Socket

from .errors import socket_error
from .flow import FlowControl
from .resolve import socket_address
from .streamsocket import StreamSocket

if TYPE_CHECKING:
    from .network import Network
    from .server import Server

_LARGEST_READ: Final = 256 * 1024
_CHUNK: Final = 64 * 1024
"""How much of the write buffer is offered at a time: what is not taken was copied in vain."""
_LOST_WRITES: Final = 5
"""So many writes to a lost connection are forgiven silently (asyncio.constants)."""


class Transport(FlowControl, Application):
    """Made by `Network`; `missed`: something has happened to the socket that was told to somebody else.

    `get_extra_info` knows peername, sockname, socket (a stand-in) and tcp_info (as of now).
    """

    # What asyncio's loop asks before start_tls().
    _start_tls_compatible = True

    def __init__(
        self,
        network: Network,
        socket: Socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        server: Server | None = None,
        *,
        missed: bool = False,
    ) -> None:
        super().__init__()
        self._loop = network.loop
        self._network = network
        self._socket = socket
        self._server = server
        self._context = contextvars.copy_context()
        self._buffer = bytearray()
        self._paused = True
        self._pending = missed
        """There may be something to read; and, `_ended`, there may still be after all that has been read."""
        self._ended = missed
        self._at_end = False
        self._eof_written = False
        self._closing = False
        self._lost = 0
        """Above 0: connection_lost() is under way, and writes come to nothing."""
        self._emptied: asyncio.Future[None] | None = None
        self._stand_in: StreamSocket | None = None
        self.set_protocol(protocol)
        socket.owner = self
        network.opened(self)
        if server is not None:
            server.attach(self)
        self._loop.call_soon(self._begin, waiter, context=self._context)

    def _begin(self, waiter: asyncio.Future[None] | None) -> None:
        assert self._protocol is not None
        self._paused = False
        try:
            self._protocol.connection_made(self)
        finally:
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            self._read_soon()

    # -- what is known

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername`, `sockname`, `socket` or `tcp_info`; anything else is `default`."""
        if name == "peername":
            return socket_address(*self._socket.remote_endpoint)
        if name == "sockname":
            return socket_address(*self._socket.local_endpoint)
        if name == "tcp_info":
            return self._socket.info(self._network.now())
        if name != "socket":
            return default
        if self._stand_in is None:
            self._stand_in = StreamSocket(self._socket, self._network)
            self._stand_in.show(self._pending)
        return self._stand_in

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give all that happens from now on to another protocol."""
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)
        self._delivers = "data_received"
        """The callback that is to blame where delivering fails."""

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The present protocol."""
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing

    def __repr__(self) -> str:
        state = "closed" if self._protocol is None else "closing" if self._closing else self._socket.state.name
        return f"<{type(self).__name__} {self._socket.local_endpoint} > {self._socket.remote_endpoint} {state}>"

    # -- reading

    def is_reading(self) -> bool:
        """Whether data are being delivered."""
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Deliver nothing: the receive buffer fills, and the window closes."""
        if self.is_reading():
            self._paused = True

    def resume_reading(self) -> None:
        """Deliver again, what has come meanwhile first."""
        if self._paused and not self._closing:
            self._paused = False
            self._read_soon()

    def _read_soon(self) -> None:
        self._loop.call_soon(self._read, context=self._context)

    def _read(self) -> None:
        """Deliver what there is, once; where there may be more, again in the loop's next turn."""
        if self._paused or self._lost or self._closing or self._at_end or not self._pending:
            return
        try:
            data = self._fill_buffer() if self._buffered else self._hand_over()
        except Exception as error:
            self._fatal(error, f"Fatal error: protocol.{self._delivers}() call failed.")
        else:
            if data is None:
                self._ended = False
                self._show(False)
            elif not data:
                self._end_of_file()
            elif self._ended:
                self._read_soon()
            else:
                self._show(False)

    def _hand_over(self) -> bytes | None:
        data = self._receive(_LARGEST_READ)
        if data:
            self._protocol.data_received(data)  # type: ignore[union-attr]
        return data

    def _fill_buffer(self) -> bytes | None:
        self._delivers = "get_buffer"
        buffer = self._protocol.get_buffer(-1)  # type: ignore[union-attr]
        if not len(buffer):
            raise RuntimeError("get_buffer() returned an empty buffer")
        self._delivers = "buffer_updated"
        data = self._receive(len(buffer))
        if data:
            buffer[: len(data)] = data
            self._protocol.buffer_updated(len(data))  # type: ignore[union-attr]
        return data

    def _receive(self, limit: int) -> bytes | None:
        try:
            data = self._socket.receive(limit, self._network.now())
        except CallError as error:
            raise socket_error(error) from error
        if data:
            # An ACK may be due, or a wider window worth telling.
            self._network.touch()
            self._ended = self._ended or len(data) == limit
        return data

    def _end_of_file(self) -> None:
        self._at_end = True
        try:
            keep_open = self._protocol.eof_received()  # type: ignore[union-attr]
        except Exception as error:
            self._fatal(error, "Fatal error: protocol.eof_received() call failed.")
            return
        if not keep_open:
            self.close()

    def _show(self, pending: bool) -> None:
        self._pending = pending
        if self._stand_in is not None:
            self._stand_in.show(pending)

    # -- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data, later where they cannot leave at once. Raises RuntimeError after write_eof(), TypeError."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data:
            return
        if self._lost:
            if self._lost >= _LOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self._lost += 1
            return
        if self._buffer:
            self._buffer += data
        else:
            octets = bytes(data)
            taken = self._send(octets)
            if taken is None or taken == len(octets):
                return
            self._buffer += memoryview(octets)[taken:]
        self._pause_if_full()

    def writelines(self, list_of_data: Any) -> None:
        """The same for many pieces at once."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Say that nothing more will be sent, after all that was written; receiving goes on. Raises OSError."""
        if self._closing or self._eof_written:
            return
        self._eof_written = True
        if not self._buffer:
            self._shutdown()

    def can_write_eof(self) -> bool:
        """True: TCP can close one direction."""
        return True

    def get_write_buffer_size(self) -> int:
        """Octets that the stack's send buffer had no room for."""
        return len(self._buffer)

    async def emptied(self) -> None:
        """Wait until the write buffer is empty. Raises ConnectionError where it is never going to be."""
        if self._lost:
            raise ConnectionError("Connection is closed by peer")
        if self._buffer:
            if self._emptied is None:
                self._emptied = self._loop.create_future()
            await asyncio.shield(self._emptied)

    def _send(self, octets: bytes) -> int | None:
        """How many octets were taken; None: the connection has failed."""
        try:
            taken = self._socket.send(octets, self._network.now())
        except CallError as error:
            self._fatal(socket_error(error), "Fatal write error on socket transport")
            return None
        self._network.touch()
        return taken

    def _shutdown(self) -> None:
        try:
            self._socket.shutdown("write", self._network.now())
        except CallError as error:
            raise socket_error(error) from error
        self._network.touch()

    def _write_on(self) -> None:
        """There is room in the send buffer again."""
        if self._lost or not self._buffer:
            return
        while self._buffer:
            with memoryview(self._buffer) as view:
                chunk = bytes(view[:_CHUNK])
            taken = self._send(chunk)
            if taken is None:
                return
            del self._buffer[:taken]
            if taken < len(chunk):
                break
        self._resume_if_low()
        if self._buffer:
            return
        self._wake(None)
        if self._closing:
            self._connection_lost(None)
        elif self._eof_written:
            self._shutdown()

    def _wake(self, error: Exception | None) -> None:
        """Whoever waits for the buffer to be empty."""
        waiter, self._emptied = self._emptied, None
        if waiter is not None and not waiter.done():
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    # -- the end

    def close(self) -> None:
        """Close after all that was written has been taken; connection_lost(None) follows."""
        if self._closing:
            return
        self._closing = True
        if not self._buffer:
            self._lost += 1
            self._loop.call_soon(self._connection_lost, None)

    def abort(self) -> None:
        """Close without what the transport still holds back. As with the kernel's, it is SO_LINGER that makes a RST."""
        self._force_close(None)

    def fail(self, error: OSError) -> None:
        """The network is gone: end with an error."""
        self._force_close(error)

    def reset(self) -> None:
        """End the connection with a RST, whatever it is doing."""
        self._socket.abort(self._network.now())
        self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        # asyncio's TLS calls this by its name.
        if self._lost:
            return
        self._buffer.clear()
        self._closing = True
        self._lost += 1
        self._loop.call_soon(self._connection_lost, error)

    def _fatal(self, error: Exception, message: str) -> None:
        if not isinstance(error, OSError):
            self._loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            )
        self._force_close(error)

    def _connection_lost(self, error: BaseException | None) -> None:
        self._lost += 1
        try:
            assert self._protocol is not None
            self._protocol.connection_lost(error)  # type: ignore[arg-type]
        finally:
            self._wake(ConnectionError("Connection is closed by peer"))
            self._protocol = None
            self._socket.close(self._network.now())
            self._network.touch()
            if self._socket.state is State.CLOSED:
                # It may have been so before this transport had it, and then nobody tells.
                self._network.closed(self)
            if self._stand_in is not None:
                self._stand_in.close()
            if self._server is not None:
                self._server.detach(self)
                self._server = None

    # -- what the stack tells

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """There is something to receive."""
        self._show(True)
        if not self._paused:
            self._context.run(self._read)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """The peer has sent everything; as on the kernel's loop, the protocol learns of it a turn after the data."""
        self._ended = True
        self._show(True)
        if not self._paused:
            self._read_soon()

    def on_error(self, socket: Socket, now: Nanos) -> None:
        """The connection has failed. Who neither reads nor writes learns of it when he does."""
        self._ended = True
        self._show(True)
        if self.is_reading() and not self._at_end:
            self._context.run(self._read)
        else:
            self._context.run(self._write_on)

    def on_writable(self, socket: Socket, now: Nanos) -> None:
        """There is room to send."""
        self._context.run(self._write_on)

    def on_closed(self, socket: Socket, now: Nanos) -> None:
        """The stack has done with it."""
        self._network.closed(self)
