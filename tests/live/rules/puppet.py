"""A process that does with its sockets what it is told, one call a line, so that a test decides what happens when.

Run as `python -I -S puppet.py NAME`. Reads `["function", arguments...]` as JSON from standard input and answers with
the result as JSON. Ends with its standard input. Standard library only: it has to start in no time.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

connections: list[socket.socket] = []
listeners: list[socket.socket] = []
forgotten: list[socket.socket] = []
spare: list[int] = []
epoll: list[select.epoll] = []

_IP_BIND_ADDRESS_NO_PORT = 24  # the port is then chosen at connect(), for its destination
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27


def listen(address: str, backlog: int, port: int) -> int:
    """Listen on the port, or on one of the kernel's choice (0); the port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listeners.append(socket.create_server((address, port), family=family, backlog=backlog))
    return int(listeners[-1].getsockname()[1])


def stop_listening() -> None:
    while listeners:
        listeners.pop().close()


def accept(count: int) -> None:
    connections.extend(listeners[-1].accept()[0] for _ in range(count))


def connect(address: str, port: int, count: int, source: str = "") -> None:
    bound = (source, 0) if source else None
    connections.extend(socket.create_connection((address, port), source_address=bound) for _ in range(count))


def connect_in_vain(address: str, port: int, count: int, deaf: bool = False) -> None:
    """Send SYNs and wait for no answer; deaf to it, the connections stay half-open at the listener."""
    for _ in range(count):
        connection = socket.socket()
        if deaf:
            _deafen(connection)
        connection.setblocking(False)
        connection.connect_ex((address, port))
        connections.append(connection)


def visit(address: str, port: int, count: int, source: str = "", first_port: int = 0) -> int:
    """Connections one after the other, each closed by this side first; how many there were until no port was left.

    With `first_port` they have the ports from there on, and the other side closes first.
    """
    for done in range(count):
        try:
            with socket.socket() as connection:
                connection.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                connection.bind((source, first_port + done if first_port else 0))
                connection.connect((address, port))
                if not first_port:
                    connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return done
    return count


def serve(close_first: bool, delay: float = 0) -> None:
    """From now on answer on a thread of its own: read to the end, wait, close; or close first."""

    def answer(connection: socket.socket) -> None:
        with connection:
            if close_first:
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
            time.sleep(delay)

    def forever() -> None:
        while True:
            connection, _ = listeners[-1].accept()
            if delay:
                threading.Thread(target=answer, args=(connection,), daemon=True).start()
            else:
                answer(connection)

    threading.Thread(target=forever, daemon=True).start()


def read() -> None:
    """Read every connection to its end of file."""
    for connection in connections:
        while connection.recv(65_536):
            pass


def read_some(octets: int) -> None:
    """Read so many octets of every connection."""
    for connection in connections:
        connection.recv(octets, socket.MSG_WAITALL)


def nibble(pause: float) -> None:
    """From now on read an octet of the first connection every so often, on a thread of its own."""

    def forever() -> None:
        while connections[0].recv(1):
            time.sleep(pause)

    threading.Thread(target=forever, daemon=True).start()


def keep_coming(address: str, port: int, pause: float) -> None:
    """From now on make a connection every so often on a thread of its own, and close one direction of it at once."""

    def forever() -> None:
        while True:
            forgotten.append(socket.create_connection((address, port)))
            forgotten[-1].shutdown(socket.SHUT_WR)
            time.sleep(pause)

    threading.Thread(target=forever, daemon=True).start()


def send(size: int) -> None:
    for connection in connections:
        connection.sendall(bytes(size))


def fill() -> None:
    """Send until no connection takes any more: the peers do not read, and their windows are shut."""
    for connection in connections:
        connection.setblocking(False)
    while ready := select.select((), connections, (), 0.1)[1]:  # longer than a delayed ACK
        for connection in ready:
            with contextlib.suppress(BlockingIOError):
                connection.send(bytes(65_536))


def small_buffers(octets: int) -> None:
    for connection in (*connections, *listeners):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, octets)


def shut(first: int = 0) -> None:
    """Send a FIN on every connection from that one on, and keep the descriptors."""
    for connection in connections[first:]:
        connection.shutdown(socket.SHUT_WR)


def close(count: int | None = None) -> None:
    """Close that many connections, or all."""
    for connection in connections[:count]:
        connection.close()
    del connections[:count]


def close_slowly(pause: float) -> None:
    """From now on close a connection every so often, on a thread of its own."""

    def slowly() -> None:
        while connections:
            time.sleep(pause)
            close(1)

    threading.Thread(target=slowly, daemon=True).start()


def try_to(what: str, row: int = 0) -> str:
    """What a connection answers: `recv` how many octets, `send` likewise; the name of the error otherwise."""
    connections[row].settimeout(5)
    try:
        return str(connections[row].send(b"x") if what == "send" else len(connections[row].recv(65_536)))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)


def descriptor(row: int = 0) -> int:
    """The number of a connection's descriptor; -1 where it is closed."""
    return connections[row].fileno()


def move(row: int, fd: int) -> None:
    """Give a connection another descriptor and close the present one."""
    former = connections[row]
    connections[row] = socket.socket(fileno=os.dup2(former.fileno(), fd))
    former.close()


def run(*command: str) -> list[int | str]:
    """What a program that this process starts ends with, and prints: status, output, errors."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return [ended.returncode, ended.stdout, ended.stderr]


def deafen() -> None:
    """Drop whatever arrives from now on, without a word to the peer."""
    for connection in connections:
        _deafen(connection)


def hear() -> None:
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def keep_alive(idle: int) -> None:
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)


def set_option(level: int, option: int, value: int) -> None:
    for connection in connections:
        connection.setsockopt(level, option, value)


def watch(row: int) -> None:
    """An epoll set that watches one connection for reading."""
    epoll.append(select.epoll())
    epoll[-1].register(connections[row], select.EPOLLIN)


def spawn(as_input: bool = False) -> int:
    """Start another program that inherits all connections, or has the first as its standard input; its pid."""
    inherited = () if as_input else [connection.fileno() for connection in connections]
    given = connections[0].fileno() if as_input else subprocess.DEVNULL
    return subprocess.Popen(["sleep", "60"], stdin=given, pass_fds=inherited, preexec_fn=_end_with_parent).pid  # noqa: PLW1509 (no threads)


def fork() -> int:
    """A child that has copies of everything and does nothing; its pid."""
    pid = os.fork()
    if not pid:
        _end_with_parent()
        time.sleep(60)
        os._exit(0)
    return pid


def limit_descriptors(most: int, used: int = 0) -> None:
    """Lower RLIMIT_NOFILE, and open descriptors until `used` are."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    while sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1 < used:
        spare.append(os.open(os.devnull, os.O_RDONLY))


def become(user: int) -> None:
    """Go on as that user, whom /proc then shows as the owner too (PR_SET_DUMPABLE of prctl(2))."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    ctypes.CDLL(None).prctl(4, 1)


def call_myself(name: str) -> None:
    Path("/proc/self/comm").write_text(name)


def _end_with_parent() -> None:
    """Die when the process that started this one does, however that ends (PR_SET_PDEATHSIG of prctl(2))."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _deafen(connection: socket.socket) -> None:
    """A socket filter of one instruction, `return 0`: nothing passes (socket(7), SO_ATTACH_FILTER)."""
    instruction = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\0\0")
    program = ctypes.create_string_buffer(16)
    ctypes.c_ushort.from_buffer(program).value = 1
    ctypes.c_void_p.from_buffer(program, 8).value = ctypes.addressof(instruction)
    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program.raw)


def main() -> None:
    """Do what is asked until nobody asks any more."""
    call_myself(sys.argv[1])
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(globals()[name](*arguments)), flush=True)


if __name__ == "__main__":
    main()
