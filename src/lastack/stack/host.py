"""Everything that one host's TCP holds: its tables, and the few things done with them from several places."""

from __future__ import annotations

from typing import final

from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.tcp.challenges import Challenges
from lastack.tcp.connection import Connection
from lastack.tcp.counters import Counters
from lastack.tcp.observer import Observer
from lastack.tcp.settings import Settings, SocketOptions
from lastack.tcp.tcb import CLOSED_BIT
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
from .rows import Rows
from .schedule import Schedule
from .sock import Socket
from .timewait import FIN_WAIT_2, REUSE, SCALE_AT, TIMESTAMPS, WINDOW_AT, Wait


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
        made = Connection(self.settings, options, self.counters, local_port, remote_port, isn, mss, offset, now)
        self.numbers += 1
        made.number = self.numbers
        made.observer = self.observer
        made.challenges = self.challenges
        return made

    def enter(self, socket: Socket, port: int, reuse: bool) -> None:
        """A new connection: it can be found, keeps its port, and has something to send."""
        self.sockets[socket.key] = socket
        self.ports.take(socket.local, port, reuse)
        socket.reuse = reuse
        self.schedule.touch(socket)

    def forget_wait(self, wait: Wait, becomes: State, cause: str, now: Nanos) -> None:
        """A wait is over."""
        if self.observer is not None:
            self.observer.moved(wait.number, wait.state, becomes, cause, now)
        self.rows(wait.key).remove(wait.key)
        self._release(wait.key, wait.flags)

    def end_waits(self, rows: Rows, now: Nanos) -> None:
        """The waits whose time has come are over."""
        while rows.soonest <= now:
            row = rows.take()
            if self.observer is not None:
                wait = rows.load(row)
                cause = "tcp_fin_timeout has passed" if wait.flags & FIN_WAIT_2 else "2 MSL have passed"
                self.observer.moved(wait.number, wait.state, State.CLOSED, cause, wait.until)
            self._release(rows.key(row), row[-1])

    def _release(self, key: bytes, flags: int) -> None:
        self.ports.release(demux.local_address(key), demux.ports(key)[0], bool(flags & REUSE))

    def crash(self, cause: str, now: Nanos) -> None:
        """Everything is gone at once, without a word to anybody but who watches."""
        if self.observer is None:
            return
        for socket in self.sockets.values():
            tcb = socket.connection
            self.observer.moved(tcb.number, tcb.state, State.CLOSED, cause, now)
        for rows in (self.four, self.six):
            for wait in rows.waits():
                self.observer.moved(wait.number, wait.state, State.CLOSED, cause, now)

    def settle(self, socket: Socket, now: Nanos) -> None:
        """Nothing more is to be sent for it at present: see what else became of it."""
        tcb = socket.connection
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
            deadline = socket.connection.deadline()
            if deadline < socket.alarm:
                self.schedule.arm(socket, deadline)
        if tcb.events and socket.accepted:
            self.schedule.notice(socket)

    def _remove(self, socket: Socket, now: Nanos) -> None:
        """The connection is gone, or a row is enough for it."""
        if self.sockets.get(socket.key) is not socket:
            return
        del self.sockets[socket.key]
        self.schedule.cancel(socket)
        tcb = socket.connection
        if socket.counted_orphan:
            self.orphans -= 1
        if socket.requesting and socket.listener is not None:
            socket.listener.answered(socket)
        if tcb.leaving and (self.settings.time_wait_ms or tcb.state is State.FIN_WAIT_2):
            self.wait(socket, now)
            return
        if tcb.leaving and self.observer is not None:
            self.observer.moved(tcb.number, tcb.state, State.CLOSED, "2 MSL have passed", now)
        self.ports.release(socket.local, tcb.local_port, socket.reuse)

    def wait(self, socket: Socket, now: Nanos) -> None:
        """Turn it into a row (tcp_time_wait), unless there are too many already: then nothing is left of it."""
        tcb = socket.connection
        if self.four.count + self.six.count >= self.settings.tcp_max_tw_buckets:
            self.counters.TCPTimeWaitOverflow += 1
            self.ports.release(socket.local, tcb.local_port, socket.reuse)
            if self.observer is not None:
                self.observer.moved(tcb.number, tcb.state, State.CLOSED, "tcp_max_tw_buckets", now)
            return
        receiver = tcb.receiver
        flags = min(receiver.remaining() >> receiver.scale, 0xFFFF) << WINDOW_AT | receiver.scale << SCALE_AT
        if tcb.state is State.FIN_WAIT_2:
            flags |= FIN_WAIT_2
        if socket.reuse:
            flags |= REUSE
        ts_recent = ts_at = 0
        if tcb.timestamps:
            flags |= TIMESTAMPS
            ts_recent = receiver.ts_recent
            ts_at = receiver.ts_recent_at // MILLISECOND & MASK
            if self.settings.tcp_tw_recycle:
                self.seen_stamps[socket.remote] = (ts_recent, now)
        rcv_nxt, snd_nxt = receiver.nxt & MASK, tcb.sender.nxt & MASK
        until = now + tcb.leaving
        wait = Wait(socket.key, tcb.number, until, flags, rcv_nxt, snd_nxt, ts_recent, ts_at)
        self.rows(socket.key).add(wait)
        if tcb.leaving <= 4 * SECOND:
            self.counters.TWKilled += 1
        else:
            self.counters.TW += 1
