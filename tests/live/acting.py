"""What the tests of ending connections share: connections as a look has them, and what single sockets say."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lastack.linux.namespaces import Namespace
from lastack.live import sockdiag
from lastack.live.act import Target
from lastack.live.processes import owners
from lastack.model.ending import Ending, Outcome
from lastack.model.host import Holder
from lastack.model.record import ConnectionTable
from lastack.model.state import State

from . import peer
from .rules.situations import Puppet, Stage

Act = Callable[[list[Target], Namespace], list[Ending]]
CLOSED: Final = Ending(Outcome.ENDED, State.CLOSED)


def seen(stage: Stage, state: State, of: Puppet | None = None) -> list[Target]:
    """The connections in the state, as a look has them; those of one process only."""
    found = targets(stage.rows(state))
    return [each for each in found if of is None or of.pid in {holder.pid for holder in each.holders}]


def targets(table: ConnectionTable) -> list[Target]:
    holders = owners(set(table.values("inode").tolist())).holders
    columns = (table.values(name).tolist() for name in ("cookie", "local_state", "inode"))
    return [Target(cookie, State(state), holders.get(inode, ())) for cookie, state, inode in zip(*columns, strict=True)]


def outcomes(endings: list[Ending]) -> list[Outcome]:
    return [ending.outcome for ending in endings]


def held_here(ours: socket.socket, state: State) -> Target:
    """A socket of this very process, once it is in the state."""
    peer.until(lambda: state_of(ours) is state, state.name)
    return Target(cookie_of(ours), state, (Holder(os.getpid(), ours.fileno()),))


def cookie_of(ours: socket.socket) -> int:
    return int.from_bytes(ours.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder)


def state_of(ours: socket.socket) -> State:
    return State(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])


def now(cookie: int) -> State:
    found = sockdiag.identities([cookie])
    return found[cookie][0] if cookie in found else State.CLOSED


def letter(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
