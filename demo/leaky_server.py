"""A small server with three bugs, one a port, as they are found in the field. Each leaks CLOSE_WAIT in its own way.

Usage: leaky_server.py ADDRESS PORT. Listens on PORT, PORT + 1 and PORT + 2, and says so on a line when it is ready.
"""

from __future__ import annotations

import socket
import sys
import threading


def forgets_to_read(listener: socket.socket) -> None:
    """A feed that only ever writes: nobody reads the connection, so nobody sees its end of file."""
    subscribers = []
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"welcome\n")
        subscribers.append(connection)


def forgets_to_close(listener: socket.socket) -> None:
    """A handler that returns early when the client has gone, past the line that closes."""
    handled = []
    while True:
        connection, _ = listener.accept()
        handled.append(connection)
        threading.Thread(target=_handle, args=(connection,), daemon=True).start()


def _handle(connection: socket.socket) -> None:
    request = b""
    while not request.endswith(b"\n"):
        part = connection.recv(4096)
        if not part:
            return  # the bug: every other path closes
        request += part
    connection.sendall(b"done\n")
    connection.close()


def forgets_to_accept(listener: socket.socket) -> None:
    """The accepting thread waits for a lock that nobody will release; the kernel goes on accepting."""
    lock = threading.Lock()
    lock.acquire()
    with lock:
        listener.accept()


def main() -> None:
    """Serve for ever."""
    address, port = sys.argv[1], int(sys.argv[2])
    for offset, serve in enumerate((forgets_to_read, forgets_to_close, forgets_to_accept)):
        listener = socket.create_server((address, port + offset), backlog=64)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
