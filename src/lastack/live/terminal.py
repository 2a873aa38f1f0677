"""Which processes keep up the terminal, or the session, that a command was given at: it had better not end those.

They are its ancestors (the shell, sshd, a runner of jobs); under a terminal multiplexer, whose server is nobody's
child, also the ancestors of those who look at it. What no process says, the environment may: SSH_CONNECTION.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from lastack.model.address import Endpoint, FourTuple, address_halves

from . import procfs
from .procfs import GONE, PROC

_MULTIPLEXERS: Final = frozenset({b"tmux", b"screen", b"SCREEN", b"zellij", b"abduco", b"dtach"})
_MOST_ENVIRONMENT: Final = 1 << 20


class Session(NamedTuple):
    """The processes that keep up the session, and the connections that the environment names."""

    pids: frozenset[int]
    connections: frozenset[FourTuple]


def session(pid: int | None = None, proc: Path = PROC) -> Session:
    """The session of a process (None: of this one), as far as /proc may be read. Never raises for what it says."""
    chain = dict(_up(os.getpid() if pid is None else pid, proc))
    multiplexers = _MULTIPLEXERS.intersection(map(_first_word, chain.values()))
    if multiplexers:
        with suppress(OSError):
            for each in [int(name) for name in os.listdir(proc) if name.isdecimal()]:  # noqa: PTH208 (much faster)
                if _first_word(_parent(each, proc)[1]) in multiplexers:
                    chain.update(_up(each, proc))
    named = (_ssh_connection(each, proc) for each in chain)
    return Session(frozenset(chain), frozenset(each for each in named if each is not None))


def _up(pid: int, proc: Path) -> Iterator[tuple[int, bytes]]:
    """A process and its ancestors, each with its name."""
    seen: set[int] = set()
    while pid and pid not in seen:
        seen.add(pid)
        parent, name = _parent(pid, proc)
        yield pid, name
        pid = parent


def _parent(pid: int, proc: Path) -> tuple[int, bytes]:
    """The parent of a process and its own name; 0 and no name where it has gone."""
    try:
        with procfs.directory(f"{proc}/{pid}") as home:
            name, fields = procfs.stat(home)
            return int(fields[1]), name
    except (*GONE, PermissionError, ValueError):
        return 0, b""


def _first_word(name: bytes) -> bytes:
    """`tmux` of `tmux: server`."""
    return name.partition(b":")[0]


def _ssh_connection(pid: int, proc: Path) -> FourTuple | None:
    """What sshd(8) has written into the environment: the client's address and port, and its own."""
    try:
        with procfs.directory(f"{proc}/{pid}") as home:
            variables = procfs.read(home, "environ", _MOST_ENVIRONMENT).split(b"\0")
    except OSError:
        return None
    for variable in variables:
        name, _, value = variable.partition(b"=")
        words = os.fsdecode(value).split()
        if name == b"SSH_CONNECTION" and len(words) == 4:
            with suppress(ValueError):
                return FourTuple(_endpoint(*words[2:]), _endpoint(*words[:2]))
    return None


def _endpoint(address: str, port: str) -> Endpoint:
    """Raises ValueError where they are none."""
    address = address.partition("%")[0]
    address_halves(address)
    return Endpoint(address, int(port))
