"""A stack's connections as the table that every instrument fills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastack.model.address import MAPPED_PREFIX
from lastack.model.close import CloseKind, Closer, Timer, Viewpoint
from lastack.model.record import ConnectionTable, Values, address_values
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.tcp.tcb import SYN_STATES
from lastack.tcp.timers import LOSS_PROBE, NEVER, PROBE, REORDER, RETRANSMIT

from . import demux
from .timewait import Wait

if TYPE_CHECKING:
    from .listener import Listener
    from .rows import Rows
    from .sock import Socket

_TIMER = {
    RETRANSMIT: Timer.RETRANSMIT,
    LOSS_PROBE: Timer.RETRANSMIT,
    REORDER: Timer.RETRANSMIT,
    PROBE: Timer.PROBE,
}


def halves(address: bytes) -> tuple[int, int]:
    """An address as the two halves that a column holds."""
    if len(address) == 4:
        return 0, MAPPED_PREFIX | int.from_bytes(address, "big")
    return int.from_bytes(address[:8], "big"), int.from_bytes(address[8:], "big")


def connection_table(
    sockets: list[Socket], tables: list[Rows], listeners: list[Listener], now: Nanos
) -> ConnectionTable:
    """Every connection, waiting row and listener as a row. Instants count from the start of the simulation."""
    rows: list[dict[str, int | tuple[int, int] | None]] = []
    rows.extend(_live(socket, now) for socket in sockets)
    for table in tables:
        rows.extend(_waiting(wait) for wait in table.waits())
    rows.extend(_listening(listener) for listener in listeners)
    return _columns(rows)


def _named(local: bytes, remote: bytes, local_port: int, remote_port: int) -> dict[str, int | tuple[int, int] | None]:
    return {
        "viewpoint": int(Viewpoint.SIM),
        "family": 4 if len(local) == 4 else 6,
        "local_addr": halves(local),
        "local_port": local_port,
        "remote_addr": halves(remote),
        "remote_port": remote_port,
    }


def _live(socket: Socket, now: Nanos) -> dict[str, int | tuple[int, int] | None]:
    tcb = socket.connection
    tally = tcb.tally
    sender, receiver = tcb.sender, tcb.receiver
    fin = sender.fin_queued and not tcb.bit & SYN_STATES
    row = _named(socket.local, socket.remote, tcb.local_port, tcb.remote_port)
    timer, at = Timer.OFF, NEVER
    if tcb.retransmit_at != NEVER:
        timer, at = _TIMER[tcb.armed_for], tcb.retransmit_at
    elif tcb.keepalive_at != NEVER:
        timer, at = Timer.KEEPALIVE, tcb.keepalive_at
    row.update(
        id=tcb.number,
        opened_by=int(Closer.LOCAL if tcb.active else Closer.REMOTE),
        first_closer=int(tally.first_closer),
        close_kind=int(tally.close_kind),
        local_state=int(tcb.state),
        first_ns=tally.opened_at,
        segments_out=tally.segments_out,
        segments_in=tally.segments_in,
        octets_out=tally.octets_out,
        octets_in=tally.octets_in,
        syn_out=tally.syn_out,
        syn_in=tally.syn_in,
        fin_out=tally.fin_out,
        fin_in=tally.fin_in,
        rst_out=tally.rst_out,
        rst_in=tally.rst_in,
        inode=0 if tcb.orphan or not socket.accepted else tcb.number,
        recv_q=receiver.unread + (1 if receiver.fin_at >= 0 and not tcb.end_read else 0),
        send_q=0 if socket.requesting else max(sender.buffer.end + fin - sender.una, 0),
        timer=int(timer),
        timer_expires_ns=None if at == NEVER else at,
        retransmits=min(sender.retransmits or sender.probes, 255),
        last_ack_received_ns=sender.heard_at,
        last_data_received_ns=receiver.last_data_at or None,
        last_data_sent_ns=sender.last_sent_at or None,
        age_ns=now - tally.since,
        timestamps=int(tcb.timestamps),
    )
    return row


def _waiting(wait: Wait) -> dict[str, int | tuple[int, int] | None]:
    found = _named(*demux.addresses(wait.key), *demux.ports(wait.key))
    half_closed = wait.state is State.FIN_WAIT_2
    found.update(
        id=wait.number,
        local_state=int(wait.state),
        first_closer=int(Closer.LOCAL) if half_closed else None,
        close_kind=int(CloseKind.HALF_CLOSED if half_closed else CloseKind.ORDERLY),
        inode=0,
        timer=int(Timer.TIME_WAIT),
        timer_expires_ns=wait.until,
        recv_q=0,
        send_q=0,
    )
    return found


def _listening(listener: Listener) -> dict[str, int | tuple[int, int] | None]:
    local = bytes(4) if listener.address is None else listener.address
    row = _named(local, bytes(len(local)), listener.port, 0)
    row.update(local_state=int(State.LISTEN), recv_q=len(listener), send_q=listener.limit)
    return row


def _columns(rows: list[dict[str, int | tuple[int, int] | None]]) -> ConnectionTable:
    import numpy as np

    from lastack.model.record import COLUMN

    filled: dict[str, Values] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        cells = [row.get(name) for row in rows]
        if name.endswith("_addr"):
            filled[name] = address_values([cell for cell in cells if isinstance(cell, tuple)])
            continue
        numbers = [cell if isinstance(cell, int) else 0 for cell in cells]
        valid = np.array([cell is not None for cell in cells])
        kind = COLUMN[name].dtype
        filled[name] = Values(np.array(numbers, np.dtype(kind)), None if valid.all() else valid)
    return ConnectionTable(len(rows), filled)
