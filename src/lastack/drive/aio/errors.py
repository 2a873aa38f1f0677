"""The engine's errors as those of Python's sockets: ConnectionResetError, BrokenPipeError, TimeoutError..."""

from __future__ import annotations

from lastack.drive.blocking import socket_error
from lastack.errors import CallError
from lastack.model.time import Nanos
from lastack.stack.sock import Socket

__all__ = ["connect_error", "socket_error", "take_error"]


def take_error(socket: Socket, now: Nanos) -> OSError | None:
    """Why a connection failed, as SO_ERROR tells it: once."""
    try:
        socket.receive(0, now)
    except CallError as error:
        return socket_error(error)
    return None


def connect_error(error: OSError, address: tuple[str, int]) -> OSError:
    """The same error in asyncio's words for a connection that could not be opened."""
    return OSError(error.errno, f"Connect call failed {address}")
