"""A host's TCP: many connections, listeners and waits behind `on_packet`, `on_timeout`, `poll` and `next_timeout`."""

from __future__ import annotations

from typing import final

from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.tcp.counters import Counters
from lastack.tcp.events import Event
from lastack.tcp.observer import Observer
from lastack.tcp.settings import Settings, SocketOptions
from lastack.tcp.timers import NEVER
from lastack.wire.flags import ACK, RST, SYN
from lastack.wire.icmp import IcmpMessage, Problem
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment

from . import active, demux, passive, waiting
from .dice import Dice
from .host import Host
from .listener import Listener
from .sock import Socket
from .table import connection_table
from .timewait import FIN_WAIT_2, Rows
from .waiting import Verdict


@final
class Notice:
    """An event and whose it is. A listener's is that a connection waits to be accepted: OPENED."""

    __slots__ = ("event", "source")

    def __init__(self, source: Socket | Listener, event: Event) -> None:
        self.source = source
        self.event = event


@final
class Stack:
    """One host. `addresses` in text; everything random comes from `dice`; `observer` is told of changes of state.

    Give it packets and the time, then take packets from `poll` until None, and events from `next_event`. The device
    or link below has `settings.mtu`.
    """

    def __init__(
        self,
        addresses: list[str],
        settings: Settings | None = None,
        dice: Dice | None = None,
        observer: Observer | None = None,
    ) -> None:
        packed = [address_bytes(address) for address in addresses]
        self.host = Host(packed, settings or Settings.linux(), dice or Dice(1), observer)

    @property
    def settings(self) -> Settings:
        """The host's settings, to be changed at any time."""
        return self.host.settings

    @property
    def counters(self) -> Counters:
        """What was counted so far."""
        return self.host.counters

    # -- what happened

    def on_packet(self, packet: Packet, now: Nanos) -> None:
        """A packet has arrived. One that is for somebody else is not looked at."""
        host = self.host
        if packet.destination not in host.addresses:
            return
        segment = packet.segment
        if segment is None:
            if packet.icmp is not None:
                self._on_icmp(packet.icmp, now)
            return
        host.counters.TcpInSegs += 1
        key = demux.four_tuple(packet.destination, packet.source, segment.dst_port, segment.src_port)
        socket = host.sockets.get(key)
        if socket is not None:
            if socket.listener is not None and socket.requesting:
                passive.on_request(host, socket, socket.listener, packet, segment, now)
            else:
                socket.connection.on_segment(segment, now)
            host.schedule.touch(socket)
            return
        rows = host.rows(key)
        row = rows.find(key)
        if row >= 0:
            self._on_waiting(rows, row, packet, segment, now)
        else:
            self._on_unknown(packet, segment, key, now)

    def on_timeout(self, now: Nanos) -> None:
        """Everything whose time has come; harmless before."""
        host = self.host
        for socket in host.schedule.due(now):
            if socket.requesting and socket.listener is not None:
                socket.listener.timed_out(socket, host.settings)
            socket.connection.on_timeout(now)
            host.schedule.touch(socket)
        for rows in (host.four, host.six):
            while rows.next() <= now:
                row = rows.first()
                cause = "2 MSL have passed"
                if rows.flags[row] & FIN_WAIT_2:
                    cause = "tcp_fin_timeout has passed"
                host.forget_wait(rows, row, State.CLOSED, cause, rows.deadline[row])

    def _on_icmp(self, message: IcmpMessage, now: Nanos) -> None:
        """An error quotes a segment of ours (RFC 5927: only one that is out counts)."""
        host = self.host
        quote = message.quote
        if quote is None:
            return
        key = demux.four_tuple(quote.source, quote.destination, quote.src_port, quote.dst_port)
        socket = host.sockets.get(key)
        if socket is None:
            if host.rows(key).find(key) < 0:
                host.counters.OutOfWindowIcmps += 1
            return
        if socket.requesting:
            passive.on_complaint(host, socket, message.problem, quote.seq, now)
            host.schedule.touch(socket)
            return
        mtu = message.mtu
        if message.problem is Problem.TOO_BIG:
            mtu = host.paths.learn(quote.destination, mtu, now)
        headers = 40 if len(socket.local) == 4 else 60
        socket.connection.on_icmp(message.problem, mtu - headers, quote.seq, now)
        host.schedule.touch(socket)

    def _on_waiting(self, rows: Rows, row: int, packet: Packet, segment: Segment, now: Nanos) -> None:
        """A segment for a TIME_WAIT, or for a FIN_WAIT_2 that nobody holds."""
        host = self.host
        half_closed = rows.flags[row] & FIN_WAIT_2
        verdict = waiting.arrive(rows, row, segment, host.settings, host.counters, now)
        if half_closed and not rows.flags[row] & FIN_WAIT_2 and host.observer is not None:
            host.observer.moved(rows.number[row], State.FIN_WAIT_2, State.TIME_WAIT, "rcv FIN", now)
        if verdict is Verdict.ACKNOWLEDGE:
            host.reply(packet, waiting.last_ack(rows, row, segment, now))
        elif verdict is Verdict.RESET:
            passive.refuse(host, packet, segment)
            host.forget_wait(rows, row, State.CLOSED, "rcv text after CLOSE", now)
        elif verdict is Verdict.END:
            host.forget_wait(rows, row, State.CLOSED, "rcv RST", now)
        elif verdict is Verdict.REOPEN:
            listener = passive.listener_for(host, packet.destination, segment)
            if listener is None:
                host.reply(packet, waiting.last_ack(rows, row, segment, now))
                return
            isn = waiting.next_isn(rows, row)
            cause = "rcv SYN with a newer timestamp or sequence number"
            key = rows.key(row)
            host.forget_wait(rows, row, State.SYN_RECEIVED, cause, now)
            passive.on_syn(host, listener, packet, segment, key, isn, now)

    def _on_unknown(self, packet: Packet, segment: Segment, key: bytes, now: Nanos) -> None:
        """A segment for no connection: for a listener, or for nobody (RFC 9293 3.10.7.1, 3.10.7.2)."""
        host = self.host
        listener = passive.listener_for(host, packet.destination, segment)
        flags = segment.flags
        if listener is not None and not flags & RST:
            if not flags & ACK:
                if flags & SYN:
                    passive.on_syn(host, listener, packet, segment, key, 0, now)
                return
            may_be_cookie = flags & ACK and not flags & SYN and host.settings.tcp_syncookies
            if may_be_cookie and passive.on_cookie(host, listener, packet, segment, key, now):
                return
        passive.refuse(host, packet, segment)

    # -- the owners' calls

    def connect(
        self,
        to: tuple[str, int],
        now: Nanos,
        options: SocketOptions | None = None,
        local: tuple[str, int] | None = None,
    ) -> Socket:
        """Open a connection. `local`: bind() first, to an address and a port (0: one of those that are free).

        Raises CallError EADDRNOTAVAIL where no port is left towards that destination, EADDRINUSE where bind()
        cannot have the port.
        """
        return active.connect(self.host, to, now, options or SocketOptions(), local)

    def listen(self, at: int | tuple[str, int], backlog: int = 4096, options: SocketOptions | None = None) -> Listener:
        """Listen on a port of every address, or on (address, port). Raises CallError EADDRINUSE."""
        return passive.listen(self.host, at, backlog, options or SocketOptions())

    def accept(self, listener: Listener) -> Socket | None:
        """The next established connection of a listener, or None. What happened to it so far is told now."""
        return passive.accept(self.host, listener)

    def unlisten(self, listener: Listener, now: Nanos) -> None:
        """Close a listener: those that were not accepted are reset (inet_csk_listen_stop)."""
        passive.unlisten(self.host, listener, now)

    # -- what follows

    def poll(self, now: Nanos) -> Packet | None:
        """The next packet to send, or None until something happens."""
        host = self.host
        if host.replies:
            return host.replies.pop(0)
        schedule = host.schedule
        while schedule.head < len(schedule.ready):
            socket = schedule.ready[schedule.head]
            segment = socket.connection.poll(now)
            if segment is not None:
                host.counters.TcpOutSegs += 1
                return Packet(socket.local, socket.remote, segment, None, host.settings.ip_default_ttl)
            schedule.drop()
            host.settle(socket, now)
        return None

    def next_timeout(self) -> Nanos | None:
        """When to call `on_timeout`; None: nothing is waited for."""
        at = self.deadline()
        return None if at == NEVER else at

    def deadline(self) -> Nanos:
        """The same as a plain number, NEVER where nothing is waited for."""
        return self._rows_end_before(self.host.schedule.next())

    def bound(self) -> Nanos:
        """No later than `deadline`, and known at once: who waits for long looks closer only when it is near."""
        return self._rows_end_before(self.host.schedule.bound())

    def _rows_end_before(self, at: Nanos) -> Nanos:
        host = self.host
        if host.four.count and host.four.next() < at:
            at = host.four.next()
        return min(at, host.six.next()) if host.six.count else at

    def next_event(self) -> Notice | None:
        """What an owner should know: whose event it is, and which."""
        while self.host.notices:
            source = self.host.notices[0]
            if isinstance(source, Listener):
                self.host.notices.pop(0)
                source.noticed = False
                return Notice(source, Event.OPENED)
            event = source.connection.next_event()
            if event is not None:
                return Notice(source, event)
            source.noticed = False
            self.host.notices.pop(0)
        return None

    # -- what there is

    def state_of(self, socket: Socket) -> State:
        """A socket's state, also after it became a row: TIME_WAIT ends, and FIN_WAIT_2 may become TIME_WAIT."""
        tcb = socket.connection.tcb
        if not tcb.leaving:
            return tcb.state
        if self.host.sockets.get(socket.key) is socket:
            return tcb.state
        rows = self.host.rows(socket.key)
        row = rows.find(socket.key)
        if row < 0 or rows.number[row] != tcb.number:
            return State.CLOSED
        return State.FIN_WAIT_2 if rows.flags[row] & FIN_WAIT_2 else State.TIME_WAIT

    def waiting(self) -> int:
        """How many rows wait: TIME_WAIT and FIN_WAIT_2."""
        return self.host.four.count + self.host.six.count

    def connections(self, now: Nanos) -> ConnectionTable:
        """Every connection, wait and listener of this host. Needs NumPy."""
        listeners = [one for some in self.host.listeners.values() for one in some]
        return connection_table(list(self.host.sockets.values()), [self.host.four, self.host.six], listeners, now)
