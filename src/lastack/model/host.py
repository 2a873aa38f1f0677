"""What a rule may ask of a machine: settings, counters, limits, listeners and processes, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath
from typing import NamedTuple

from .address import Endpoint
from .time import Nanos


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket in LISTEN, with its accept queue as sock_diag gives it.

    `limit` is what binds: min(backlog, somaxconn) at the time of listen(). It holds limit + 1 connections.
    """

    family: int
    addr: str
    port: int
    queue: int
    limit: int
    inode: int = 0
    pids: tuple[int, ...] = ()
    pid: int | None = None
    command: str | None = None
    unit: str | None = None
    container: str | None = None

    def __str__(self) -> str:
        return str(Endpoint(self.addr, self.port))


@dataclass(frozen=True, slots=True)
class Process:
    """A process as /proc shows it. `state` is the letter of proc_pid_stat(5); times are Unix nanoseconds."""

    pid: int
    ppid: int
    command: str
    uid: int
    state: str = "S"
    started_ns: Nanos = 0
    executable: str | None = None
    arguments: tuple[str, ...] = ()
    unit: str | None = None
    container: str | None = None
    descriptors: int | None = None
    descriptor_limit: int | None = None
    frozen: bool = False

    @property
    def stopped(self) -> bool:
        """Whether it cannot run: stopped by a signal or a tracer, or in a frozen cgroup."""
        return self.frozen or self.state in ("T", "t")


@dataclass(frozen=True, slots=True)
class Holder:
    """One descriptor that keeps a socket open."""

    pid: int
    fd: int


@dataclass(frozen=True, slots=True)
class Wait:
    """What the owner of one suspect socket does about it, as far as /proc tells.

    `polled`: an epoll set of the process watches it for reading. `blocked`: the system call on it that a thread is in,
    empty where none is; `blocked_by`: that thread. Both None where it could not be read. `threads_running`: threads in
    state R, of `threads`; `waiting`: where the others sleep (a system call or a kernel function) and how many, most
    first.
    """

    inode: int
    pid: int
    fd: int
    polled: bool | None = None
    blocked: str | None = None
    threads: int = 0
    threads_running: int = 0
    waiting: tuple[tuple[str, int], ...] = ()
    blocked_by: int | None = None


class Runtime(Enum):
    """What runs a program, as far as that decides how its sockets come to be left open; the value is its usual name."""

    PYTHON = "Python"
    JAVA = "Java"
    GO = "Go"
    NODE = "Node.js"
    NGINX = "nginx"
    PHP_FPM = "PHP-FPM"


class Frame(NamedTuple):
    """One call on a stack: the function, the file and line it has come to, and whether the file is of a library."""

    function: str
    file: str
    line: int
    library: bool = False

    def __str__(self) -> str:
        return f"{self.function} ({PurePosixPath(self.file).name}:{self.line})"


class Stack(NamedTuple):
    """What a thread of a process was at: its name, its number, and its calls, the innermost first."""

    thread: str
    tid: int
    frames: tuple[Frame, ...]

    def telling(self) -> Frame | None:
        """The innermost call of the program itself; of a library where all are."""
        own = (frame for frame in self.frames if not frame.library)
        return next(own, self.frames[0] if self.frames else None)


class Options(NamedTuple):
    """Options of a socket, as its process has set them: keepalive, TCP_USER_TIMEOUT, SO_LINGER (tcp(7), socket(7)).

    `user_timeout_ns` is None where none is set, `linger_ns` where close() does not linger.
    """

    keepalive: bool
    keepalive_idle_ns: Nanos
    keepalive_interval_ns: Nanos
    keepalive_probes: int
    user_timeout_ns: Nanos | None
    linger_ns: Nanos | None


class Doing(NamedTuple):
    """What the process that has one socket is and does about it; None, or nothing, where that cannot be seen.

    `also`: the other processes that have it.
    """

    wait: Wait | None
    runtime: Runtime | None
    stacks: tuple[Stack, ...] = ()
    options: Options | None = None
    also: tuple[Process, ...] = ()


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What became of the suspects a moment later: which had ended by themselves, and of which something was read."""

    after_ns: Nanos
    cookies: frozenset[int]
    ended: frozenset[int]
    read: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Usage:
    """A count against its limit, each None where it could not be read."""

    used: int | None
    limit: int | None

    @property
    def share(self) -> float | None:
        """Their ratio, or None."""
        return None if self.used is None or not self.limit else self.used / self.limit


@dataclass(frozen=True, slots=True)
class Configured:
    """A sysctl as a configuration file asks for it, whether or not the kernel has it."""

    value: str
    path: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Everything besides its connections that a rule may ask of one network namespace of one machine.

    `settings`: sysctls by their last name (`tcp_fin_timeout`), values as text. `configured`: by
    their full name, from sysctl.conf(5) and its directories. `counters`: TcpExt and Tcp by their
    nstat names, since the namespace was made. `holders`: descriptors by socket inode. `unseen`: sentences that say
    what could not be looked at, and how to see it. `runtimes` and `stacks`, by pid: of owners of suspects only.
    """

    hostname: str
    kernel: str
    taken_ns: Nanos
    netns: str = "own"
    uptime_ns: Nanos | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    configured: Mapping[str, Configured] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    listeners: tuple[Listener, ...] = ()
    processes: Mapping[int, Process] = field(default_factory=dict)
    holders: Mapping[int, tuple[Holder, ...]] = field(default_factory=dict)
    waits: tuple[Wait, ...] = ()
    second_look: SecondLook | None = None
    runtimes: Mapping[int, Runtime] = field(default_factory=dict)
    stacks: Mapping[int, tuple[Stack, ...]] = field(default_factory=dict)
    conntrack: Usage = Usage(None, None)
    orphans: Usage = Usage(None, None)
    tcp_memory_pages: Usage = Usage(None, None)
    time_wait: Usage = Usage(None, None)
    unseen: tuple[str, ...] = ()

    def number(self, setting: str, position: int = 0) -> int | None:
        """One number of a setting (`ip_local_port_range` has two), or None where it is missing."""
        words = self.settings.get(setting, "").split()
        try:
            return int(words[position])
        except (IndexError, ValueError):
            return None

    @property
    def ephemeral(self) -> tuple[int, int]:
        """The first and the last port that connect() may choose (ip_local_port_range, Linux's default if unread)."""
        low, high = self.number("ip_local_port_range"), self.number("ip_local_port_range", 1)
        return (32_768, 60_999) if low is None or high is None else (low, high)
