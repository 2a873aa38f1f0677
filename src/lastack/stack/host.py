"""Everything that one host's TCP holds: its tables, and the few things done with them from several places."""

from __future__ import annotations

from typing import final

from lastack.model.state import State
from lastack.model.time import SECOND, Nanos
from lastack.tcp.challenges import Challenges
from lastack.tcp.connection import Connection
from lastack.tcp.counters import Counters
from lastack.tcp.observer import Observer
from lastack.tcp.settings import Settings, SocketOptions
from lastack.tcp.tcb import CLOSED_BIT, Tcb
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK

from . import demux
from .cookies import Cookies
from .dice import Dice
from .isn import Secrets
from .listener import Listener
from .path import Paths
from .ports import Ports
from .schedule import Schedule
from .sock import Socket
from .timewait import FIN_WAIT_2, REUSE, SCALE_AT, TIMESTAMPS, Rows


@final
class Host:
    """The tables of one host. What is done to them step by step are functions of it: `passive`, `active`, `stack`."""

    def __init__(self, addresses: list[bytes], settings: Settings, dice: Dice, observer: Observer | None) -> None:
        self.addresses = addresses
        self.settings = settings
        self.observer = observer
        self.counters = Counters()
        self.schedule = Schedule()
        self.secrets = Secrets(dice)
        self.cookies = Cookies(self.secrets)
        self.ports = Ports(self.secrets, dice)
        self.paths = Paths()
        self.challenges = Challenges(self.secrets.digest(b"challenges"))
        self.sockets: dict[bytes, Socket] = {}
        self.listeners: dict[int, list[Listener]] = {}
        self.four = Rows(12)
        self.six = Rows(36)
        self.orphans = 0
        self.replies: list[Packet] = []
        self.notices: list[Socket | Listener] = []
        self.numbers = 0
        self.seen_stamps: dict[bytes, tuple[int, Nanos]] = {}
        """tcp_tw_recycle: the last timestamp of each address, and when it was."""

    def rows(self, key: bytes) -> Rows:
        """The waiting rows of a four-tuple's family."""
        return self.four if len(key) == 12 else self.six

    def reply(self, packet: Packet, segment: Segment) -> None:
        """Queue an answer to the sender of a packet."""
        self.counters.TcpOutSegs += 1
        answer = Packet(packet.destination, packet.source, segment, ttl=self.settings.ip_default_ttl)
        self.replies.append(answer)

    def notice(self, socket: Socket) -> None:
        """Its owner should know of something."""
        if not socket.noticed:
            socket.noticed = True
            self.notices.append(socket)

    def connection(
        self,
        options: SocketOptions,
        local: bytes,
        remote: bytes,
        local_port: int,
        remote_port: int,
        isn: int,
        now: Nanos,
    ) -> Connection:
        """A new connection, not opened yet, with the next number."""
        mtu = self.paths.mtu(remote, self.settings.mtu, now)
        mss = mtu - (40 if len(local) == 4 else 60)
        offset = self.secrets.timestamp_offset(local, remote)
        tcb = Tcb(self.settings, options, self.counters, local_port, remote_port, isn, mss, offset, now)
        self.numbers += 1
        tcb.number = self.numbers
        tcb.observer = self.observer
        tcb.challenges = self.challenges
        return Connection(tcb)

    def forget_wait(self, rows: Rows, row: int, becomes: State, cause: str, now: Nanos) -> None:
        """A row is over."""
        if self.observer is not None:
            state = State.FIN_WAIT_2 if rows.flags[row] & FIN_WAIT_2 else State.TIME_WAIT
            self.observer.moved(rows.number[row], state, becomes, cause, now)
        key = rows.key(row)
        self.ports.release(demux.addresses(key)[0], demux.ports(key)[0], bool(rows.flags[row] & REUSE))
        rows.remove(row)

    def settle(self, socket: Socket, now: Nanos) -> None:
        """Nothing more is to be sent for it at present: see what else became of it."""
        tcb = socket.connection.tcb
        if tcb.orphan and not socket.counted_orphan and self.sockets.get(socket.key) is socket:
            socket.counted_orphan = True
            self.orphans += 1
            if self.orphans > self.settings.tcp_max_orphans and not tcb.leaving:
                self.counters.TCPAbortOnMemory += 1
                socket.abort(now)
                return
        if tcb.leaving or tcb.bit & CLOSED_BIT:
            self._remove(socket, now)
        else:
            self.schedule.arm(socket, socket.connection.deadline())
        if tcb.events and socket.accepted:
            self.notice(socket)

    def _remove(self, socket: Socket, now: Nanos) -> None:
        """The connection is gone, or a row is enough for it."""
        if self.sockets.get(socket.key) is not socket:
            return
        del self.sockets[socket.key]
        socket.alarm.cancel()
        tcb = socket.connection.tcb
        if socket.counted_orphan:
            self.orphans -= 1
        if socket.requesting and socket.listener is not None:
            socket.listener.answered(socket)
        if tcb.leaving and (self.settings.time_wait_ms or tcb.state is State.FIN_WAIT_2):
            self.wait(socket, now)
            return
        if tcb.leaving and self.observer is not None:
            self.observer.moved(tcb.number, tcb.state, State.CLOSED, "2 MSL have passed", now)
        self.ports.release(socket.local, tcb.local_port, tcb.options.so_reuseaddr)

    def wait(self, socket: Socket, now: Nanos) -> None:
        """Turn it into a row (tcp_time_wait), unless there are too many already: then nothing is left of it."""
        tcb = socket.connection.tcb
        reuse = tcb.options.so_reuseaddr
        if self.four.count + self.six.count >= self.settings.tcp_max_tw_buckets:
            self.counters.TCPTimeWaitOverflow += 1
            self.ports.release(socket.local, tcb.local_port, reuse)
            if self.observer is not None:
                self.observer.moved(tcb.number, tcb.state, State.CLOSED, "tcp_max_tw_buckets", now)
            return
        rows = self.rows(socket.key)
        row = rows.add(socket.key, tcb.leaving, now)
        flags = (TIMESTAMPS if tcb.timestamps else 0) | (REUSE if reuse else 0) | tcb.receiver.scale << SCALE_AT
        rows.flags[row] = flags | (FIN_WAIT_2 if tcb.state is State.FIN_WAIT_2 else 0)
        rows.rcv_nxt[row] = tcb.receiver.nxt & MASK
        rows.snd_nxt[row] = tcb.sender.nxt & MASK
        rows.window[row] = min(tcb.receiver.remaining() >> tcb.receiver.scale, 0xFFFF)
        rows.number[row] = tcb.number
        rows.acked_at[row] = 0
        if tcb.timestamps:
            rows.ts_recent[row] = tcb.receiver.ts_recent
            rows.ts_at[row] = tcb.receiver.ts_recent_at // SECOND & MASK
            rows.ts_offset[row] = tcb.ts_offset
            if self.settings.tcp_tw_recycle:
                self.seen_stamps[socket.remote] = (tcb.receiver.ts_recent, now)
        if tcb.leaving <= 4 * SECOND:
            self.counters.TWKilled += 1
        else:
            self.counters.TW += 1
