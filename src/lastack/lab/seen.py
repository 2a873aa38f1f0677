"""A host's connections as an experiment looks at them, from the table that engine and kernel both fill."""

from __future__ import annotations

from lastack.model.address import Endpoint, FourTuple, address_text
from lastack.model.record import ConnectionTable
from lastack.model.state import State

from .bench import Seen


def seen_in(table: ConnectionTable) -> list[Seen]:
    """The connections of a table, listeners left out."""
    columns = [table.values(name).tolist() for name in ("local_state", "local_port", "remote_port", "recv_q", "send_q")]
    ends = [table.values(name).tolist() for name in ("local_addr", "remote_addr")]
    inodes = table.values("inode").tolist()
    found = []
    for state, local_port, remote_port, recv_q, send_q, local, remote, inode in zip(
        *columns, *ends, inodes, strict=True
    ):
        if state != State.LISTEN:
            four = FourTuple(Endpoint(address_text(*local), local_port), Endpoint(address_text(*remote), remote_port))
            found.append(Seen(State(state), four, recv_q, send_q, inode != 0))
    return found
