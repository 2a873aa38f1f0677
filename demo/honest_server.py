"""A server without a bug: it answers, reads to the end of file, and closes.

Usage: honest_server.py ADDRESS PORT. Says so on a line when it is ready.
"""

from __future__ import annotations

import socket
import sys
import threading


def answer(connection: socket.socket) -> None:
    """Echo until the end of file, then close."""
    with connection:
        while part := connection.recv(4096):
            connection.sendall(part)


def main() -> None:
    """Serve for ever."""
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=256)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
