"""A host of the kernel's bench: a network namespace with a TUN device, and sockets in it."""

from __future__ import annotations

import errno
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Final, TypeVar, final

from lastack.errors import CallError, KernelError
from lastack.linux import namespaces, sysctl
from lastack.linux.namespaces import Namespace
from lastack.linux.sockopts import SOCKET_OPTIONS
from lastack.linux.tun import Tun
from lastack.live import facts, sockdiag
from lastack.model.address import Endpoint, FourTuple
from lastack.model.state import State
from lastack.tcp.counters import Counters

from .bench import Host, Listening, Memory, Option, Seen, Sock, moved
from .seen import seen_in

T = TypeVar("T")
_PREFIX: Final = 8
"""The length of the prefix of the wire's network."""
_BUCKETS: Final = 16_384
"""Of a host's own table of sockets: enough for 100,000 of them."""
_OF_CORE: Final = frozenset({"somaxconn"})
_COUNTED: Final = frozenset(Counters().as_dict(zeros=True))
_CACHES: Final = (
    ("tw_sock_TCP",),
    ("tcp_bind_bucket", "tcp_bind2_bucket"),
    ("TCP", "sock_inode_cache", "filp", "dentry"),
)
"""What a TIME_WAIT, a local port and an open socket are made of."""
_REPAIR: Final = 19
_REPAIR_QUEUE: Final = 20


@final
class KernelSock(Sock):
    """A socket of the kernel, non-blocking. `touched` is called after every call that may have made it send."""

    def __init__(self, host: KernelHost, made: socket.socket, four: FourTuple) -> None:
        self.four = four
        self.made = made
        self._host = host
        self._error: str | None = None

    @property
    def state(self) -> State:
        """From a dump: of a mini-socket too."""
        return self._host.state_of(self.four)

    @property
    def error(self) -> str | None:
        """SO_ERROR, which the kernel forgets once it has told it: kept for the next call.

        Only where poll() says that there is an error: SO_ERROR also tells what was merely noted, as an ICMP message is.
        """
        if self._error is None and self.made.fileno() >= 0 and self._failed():
            code = self.made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._error = errno.errorcode.get(code) if code else None
        return self._error

    def send(self, data: bytes) -> int:
        """The system call send; it never raises SIGPIPE."""
        return self._call("send", lambda: self.made.send(data, socket.MSG_NOSIGNAL), 0)

    def receive(self, limit: int = 1 << 20) -> bytes | None:
        """The system call recv."""
        return self._call("receive", lambda: self._read(limit), None)

    def shutdown(self) -> None:
        """The system call shutdown."""
        self._call("shutdown", lambda: self.made.shutdown(socket.SHUT_WR), None)

    def close(self) -> None:
        """The system call close."""
        self._call("close", self.made.close, None)

    def set(self, **options: Option) -> None:
        """The system call setsockopt."""
        _set(self.made, options)
        self._host.touched("setsockopt call")

    def _failed(self) -> bool:
        asked = select.poll()
        asked.register(self.made, 0)
        return any(events & select.POLLERR for _, events in asked.poll(0))

    def _read(self, limit: int) -> bytes | None:
        return self.made.recv(limit)

    def _call(self, name: str, call: Callable[[], T], nothing: T) -> T:
        if self._error is not None and name != "close":
            code, self._error = self._error, None
            raise CallError(f"{name}: {code}", code)
        try:
            return call()
        except BlockingIOError:
            return nothing
        except OSError as error:
            raise _refused(name, error) from None
        finally:
            self._host.touched(f"{name} call")


@final
class KernelListening(Listening):
    """A listener of the kernel."""

    def __init__(self, host: KernelHost, made: socket.socket) -> None:
        self.made = made
        self._host = host

    def accept(self) -> Sock | None:
        """The system call accept."""
        try:
            made, peer = self.made.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            raise _refused("accept", error) from None
        made.setblocking(False)
        self._host.kept.append(made)
        here = made.getsockname()
        return KernelSock(self._host, made, FourTuple(Endpoint(*here[:2]), Endpoint(*peer[:2])))

    def close(self) -> None:
        """The system call close."""
        self.made.close()
        self._host.touched("close call")


@final
class KernelHost(Host):
    """A namespace of its own. It is gone, with all that is in it, when the descriptors of this process are.

    Raises KernelError without root, or without TUN.
    """

    def __init__(self, name: str, addresses: tuple[str, ...], settings: Mapping[str, int | str]) -> None:
        self.name = name
        self.addresses = addresses
        self.touched: Callable[[str], None] = lambda cause: None
        self.moved: Callable[[], None] = lambda: None
        """Called once the host is in another namespace."""
        self._settings = dict(settings)
        self.kept: list[socket.socket] = []
        """Every socket of the host: one that the experiment forgets must not be closed for that."""
        self._children: list[Popen[str]] = []
        self._namespace: Namespace
        self._usual: dict[str, int | str] = {}
        self._open()

    @property
    def namespace(self) -> int:
        """The inode of its network namespace."""
        return self._namespace.inode

    def _open(self) -> None:
        with _small_table() as self._usual, namespaces.private() as made:
            self._descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self._namespace = Namespace(self.name, made.inode, f"/proc/self/fd/{self._descriptor}")
            with suppress(KernelError):
                # What IPv6 says of its own accord is nobody's connection; a kernel without it says nothing.
                sysctl.write("net.ipv6.conf.default.disable_ipv6", 1)
            self.tun = Tun([f"{address}/{_PREFIX}" for address in self.addresses])
            for key, value in (self._usual | self._settings).items():
                _write(key, value)
            self._before = self._counted()

    def set(self, **settings: int | str) -> None:
        """Write sysctls of the namespace."""
        self._settings.update(settings)
        with namespaces.entered(self._namespace):
            for name, value in settings.items():
                _write(name, value)

    def listen(self, port: int, backlog: int = 128, address: str = "", **options: Option) -> Listening:
        """socket, setsockopt, bind, listen."""
        made = self.socket(options)
        try:
            made.bind((address, port))
            made.listen(backlog)
        except OSError as error:
            made.close()
            raise _refused("listen", error) from None
        return KernelListening(self, made)

    def connect(self, address: str, port: int, local: tuple[str, int] | None = None, **options: Option) -> Sock:
        """socket, setsockopt, bind, connect."""
        made = self.socket(options)
        try:
            if local is not None:
                made.bind(local)
            code = made.connect_ex((address, port))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            here = made.getsockname()
        except OSError as error:
            made.close()
            raise _refused("connect", error) from None
        self.touched("connect call")
        return KernelSock(self, made, FourTuple(Endpoint(*here), Endpoint(address, port)))

    def socket(self, options: Mapping[str, Option] | None = None) -> socket.socket:
        """A non-blocking TCP socket in the namespace."""
        with namespaces.entered(self._namespace):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        self.kept.append(made)
        _set(made, options or {})
        return made

    def sockets(self) -> list[Seen]:
        """From a sock_diag dump."""
        with namespaces.entered(self._namespace):
            return seen_in(sockdiag.read(time.time_ns(), info=0))

    def counters(self) -> dict[str, int]:
        """From /proc/net/snmp and netstat."""
        with namespaces.entered(self._namespace):
            return moved(self._before, self._counted())

    def child(self, command: Sequence[str], *held: Sock | Listening) -> Popen[str]:
        """A process that inherits the descriptors."""
        made = [one.made.fileno() for one in held if isinstance(one, KernelSock | KernelListening)]
        with namespaces.entered(self._namespace):
            child = Popen([*command, *map(str, made)], stdin=PIPE, stdout=PIPE, text=True, pass_fds=made)
        self._children.append(child)
        return child

    def reboot(self) -> None:
        """Another namespace with the same address; the former one's device is pulled out first."""
        self.tun.close()
        os.close(self._descriptor)
        self._open()
        self.moved()
        self.touched("reboot")

    def setting(self, name: str) -> str | None:
        """From /proc/sys of the namespace."""
        with namespaces.entered(self._namespace):
            value = sysctl.read(_path(name))
        return None if value is None else " ".join(value.split())

    def memory(self) -> Memory:
        """From the slab caches: an object of each that it needs, with its share of the pages."""
        return Memory(*(sum(_octets(cache) for cache in caches) for caches in _CACHES))

    def close(self) -> None:
        """Remove the device, end the children, close what is open, and let go of the namespace."""
        self.tun.close()
        for child in self._children:
            with child:
                child.kill()
        for made in self.kept:
            made.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @staticmethod
    def _counted() -> dict[str, int]:
        """The counters that the engine has too, by its names."""
        found = facts.counters()
        return {
            name: found[bare]
            for name in _COUNTED
            if (bare := name.removeprefix("Tcp") if name.startswith("Tcp") else name) in found
        }


@contextmanager
def _small_table() -> Iterator[dict[str, int | str]]:
    """Inside, a namespace that is made has a table of sockets for itself; given are the settings to restore in it.

    All namespaces share one table, sized for the whole machine, and a dump of two sockets walks all of it: 5 ms of CPU
    time. Who makes a namespace says in its own one how large a table the new one gets (Linux 6.1 and later), so that
    takes a namespace between. The new one's limits would follow from the size of its table.
    """
    with namespaces.private():
        usual = {name: sysctl.read(f"net.ipv4.{name}") for name in ("tcp_max_tw_buckets", "tcp_max_syn_backlog")}
        with suppress(KernelError):
            sysctl.write("net.ipv4.tcp_child_ehash_entries", _BUCKETS)
        yield {name: value for name, value in usual.items() if value is not None}


def _octets(cache: str) -> int:
    """What an object of a slab cache takes. Raises CallError where the kernel does not tell."""
    try:
        about = Path(f"/sys/kernel/slab/{cache}")
        order, objects = (int((about / name).read_text()) for name in ("order", "objs_per_slab"))
    except OSError as error:
        raise CallError(f"this kernel does not tell about its slab cache {cache}: {error.strerror}") from None
    return (mmap.PAGESIZE << order) // objects


def _write(name: str, value: int | str) -> None:
    """Set a sysctl by the last part of its name. Raises CallError where a namespace of this kernel has none."""
    if sysctl.read(_path(name)) is None:
        raise CallError(f"this kernel has no {name} in a network namespace: the engine alone has it (--on sim)")
    # A list of ports has commas; all other settings of several numbers have blanks.
    sysctl.write(_path(name), str(value).replace(" ", ",") if name == "ip_local_reserved_ports" else value)


def _path(name: str) -> str:
    return f"net.core.{name}" if name in _OF_CORE else f"net.ipv4.{name}"


def _set(made: socket.socket, options: Mapping[str, Option]) -> None:
    # Repair first, for when it ends it switches SO_REUSEADDR off; keepalive last: what is set before it starts is what
    # it starts with.
    first_last = {"tcp_queue_seq": -1, "so_keepalive": 1}
    for name, value in sorted(options.items(), key=lambda option: first_last.get(option[0], 0)):
        if name not in SOCKET_OPTIONS:
            raise CallError(f"a socket of the kernel has no option {name}", "ENOPROTOOPT")
        level, number = SOCKET_OPTIONS[name]
        if name == "so_linger":
            made.setsockopt(level, number, struct.pack("ii", value is not None, int(value or 0)))
        elif name == "tcp_queue_seq":
            # Of the queue of what is sent, and only under repair, which must end before connect().
            for code, said in ((_REPAIR, 1), (_REPAIR_QUEUE, 2), (number, int(value or 0)), (_REPAIR, 0)):
                made.setsockopt(level, code, struct.pack("I", said))
        else:
            made.setsockopt(level, number, int(value or 0))


def _refused(doing: str, error: OSError) -> CallError:
    return CallError(f"{doing}: {error.strerror}", errno.errorcode.get(error.errno or 0))
