"""A host's TCP: many connections, listeners and waits behind `on_packet`, `on_timeout`, `poll` and `next_timeout`."""

from __future__ import annotations

from typing import final

from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.native import i64
from lastack.tcp.counters import Counters
from lastack.tcp.events import Event
from lastack.tcp.observer import Observer
from lastack.tcp.output import more_to_send, next_segment
from lastack.tcp.settings import Settings, SocketOptions
from lastack.tcp.timers import NEVER
from lastack.wire.flags import ACK, RST, SYN
from lastack.wire.icmp import IcmpMessage, Problem
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment
from lastack.wire.seq import expand

from . import active, demux, passive, waiting
from .dice import Dice
from .host import Host
from .listener import Listener
from .sock import Socket
from .table import connection_table
from .timewait import Wait
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
        segment = packet.segment
        if segment is None:
            if packet.icmp is not None and packet.destination in host.addresses:
                self._on_icmp(packet.icmp, now)
            return
        key = packet.flow
        if len(key) == 0:
            key = demux.four_tuple(packet.destination, packet.source, segment.dst_port, segment.src_port)
        socket = host.sockets.get(key)
        if socket is not None:
            host.counters.TcpInSegs += segment.count if segment.gso else 1
            if socket.requesting and socket.listener is not None:
                passive.on_request(host, socket, socket.listener, packet, segment, now)
            else:
                socket.connection.on_segment(segment, now)
            host.schedule.touch(socket)
            if socket.accepted and socket.connection.events:
                # At once, so that an owner can answer before an ACK leaves alone.
                host.schedule.notice(socket)
        elif packet.destination in host.addresses:
            host.counters.TcpInSegs += segment.count
            self._on_other(packet, segment, key, now)

    def _on_other(self, packet: Packet, segment: Segment, key: bytes, now: Nanos) -> None:
        """A segment for no connection that is alive."""
        host = self.host
        wait = host.rows(key).find(key)
        if wait is not None:
            self._on_waiting(wait, packet, segment, now)
        else:
            self._on_unknown(packet, segment, key, now)

    def on_timeout(self, now: Nanos) -> None:
        """Everything whose time has come; harmless before."""
        host = self.host
        schedule = host.schedule
        socket = schedule.due(now)
        while socket is not None:
            if socket.requesting and socket.listener is not None:
                socket.listener.timed_out(socket, host.settings)
            socket.connection.on_timeout(now)
            schedule.touch(socket)
            socket = schedule.due(now)
        host.end_waits(host.four, now)
        host.end_waits(host.six, now)

    def _on_icmp(self, message: IcmpMessage, now: Nanos) -> None:
        """An error quotes a segment of ours (RFC 5927: only one that is out counts)."""
        host = self.host
        quote = message.quote
        if quote is None:
            return
        key = demux.four_tuple(quote.source, quote.destination, quote.src_port, quote.dst_port)
        socket = host.sockets.get(key)
        if socket is None:
            if host.rows(key).find(key) is None:
                host.counters.OutOfWindowIcmps += 1
            return
        if socket.requesting:
            passive.on_complaint(host, socket, message.problem, quote.seq, now)
            host.schedule.touch(socket)
            return
        mtu = message.mtu
        sender = socket.connection.sender
        if message.problem is Problem.TOO_BIG and sender.una <= expand(quote.seq, sender.una) <= sender.nxt:
            mtu = host.paths.learn(quote.destination, mtu, now)
        headers = 40 if len(socket.local) == 4 else 60
        socket.connection.on_icmp(message.problem, mtu - headers, quote.seq, now)
        host.schedule.touch(socket)

    def _on_waiting(self, wait: Wait, packet: Packet, segment: Segment, now: Nanos) -> None:
        """A segment for a TIME_WAIT, or for a FIN_WAIT_2 that nobody holds."""
        host = self.host
        state = wait.state
        verdict = waiting.arrive(wait, segment, host.settings, host.counters, now)
        host.rows(wait.key).store(wait)
        if wait.state is not state and host.observer is not None:
            host.observer.moved(wait.number, state, wait.state, "rcv FIN", now)
        if verdict is Verdict.ACKNOWLEDGE:
            self._acknowledge_again(wait, packet, segment, now)
        elif verdict is Verdict.RESET:
            passive.refuse(host, packet, segment)
            host.forget_wait(wait, State.CLOSED, "rcv text after CLOSE", now)
        elif verdict is Verdict.END:
            host.forget_wait(wait, State.CLOSED, "rcv RST", now)
        elif verdict is Verdict.REOPEN:
            listener = passive.listener_for(host, packet.destination, segment)
            if listener is None:
                self._acknowledge_again(wait, packet, segment, now)
                return
            cause = "rcv SYN with a newer timestamp or sequence number"
            host.forget_wait(wait, State.SYN_RECEIVED, cause, now)
            passive.on_syn(host, listener, packet, segment, wait.key, waiting.next_isn(wait), now)

    def _acknowledge_again(self, wait: Wait, packet: Packet, segment: Segment, now: Nanos) -> None:
        offset = self.host.secrets.timestamp_offset(packet.destination, packet.source)
        self.host.reply(packet, waiting.last_ack(wait, segment, offset, now))

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
        socket = schedule.first
        while socket is not None:
            segment = next_segment(socket.connection, now)
            if segment is None or not more_to_send(socket.connection):
                schedule.drop(socket)
                host.settle(socket, now)
            if segment is not None:
                host.counters.TcpOutSegs += segment.count if segment.gso else 1
                ttl = host.settings.ip_default_ttl
                return Packet(socket.local, socket.remote, segment, None, ttl, 0, socket.flow)
            socket = schedule.first
        return None

    def next_timeout(self) -> Nanos | None:
        """When to call `on_timeout`; None: nothing is waited for."""
        at = self.deadline()
        return None if at == NEVER else at

    def deadline(self) -> i64:
        """The same as a plain number, NEVER where nothing is waited for."""
        self.host.schedule.next()
        return self.bound()

    def bound(self) -> i64:
        """No later than `deadline`, and known at once: who waits for long looks closer only when it is near."""
        host = self.host
        at = host.four.soonest
        if host.six.soonest < at:
            at = host.six.soonest
        heap = host.schedule.heap
        if heap and heap[0].alarm < at:
            at = heap[0].alarm
        return at

    def news(self) -> Socket | None:
        """The first connection that has an event to tell; one not `accepted` yet tells its listener that it waits."""
        schedule = self.host.schedule
        socket = schedule.news
        while socket is not None:
            if not socket.accepted:
                schedule.told(socket)
                return socket
            if socket.connection.events:
                return socket
            schedule.told(socket)
            socket = schedule.news
        return None

    def next_event(self) -> Notice | None:
        """What an owner should know: whose event it is, and which."""
        socket = self.news()
        if socket is None:
            return None
        if socket.listener is not None and not socket.accepted:
            return Notice(socket.listener, Event.OPENED)
        event = socket.next_event()
        return None if event is None else Notice(socket, event)

    # -- what there is

    def state_of(self, socket: Socket) -> State:
        """A socket's state, also after it became a row: TIME_WAIT ends, and FIN_WAIT_2 may become TIME_WAIT."""
        tcb = socket.connection
        if not tcb.leaving:
            return tcb.state
        if self.host.sockets.get(socket.key) is socket:
            return tcb.state
        wait = self.host.rows(socket.key).find(socket.key)
        return State.CLOSED if wait is None or wait.number != tcb.number else wait.state

    def waiting(self) -> int:
        """How many rows wait: TIME_WAIT and FIN_WAIT_2."""
        return self.host.four.count + self.host.six.count

    def half_closed(self) -> int:
        """How many of these still wait for the peer's FIN. Looks at every row."""
        tables = (self.host.four, self.host.six)
        return sum(wait.state is State.FIN_WAIT_2 for rows in tables for wait in rows.waits())

    def connections(self, now: Nanos) -> ConnectionTable:
        """Every connection, wait and listener of this host. Needs NumPy."""
        listeners = [one for some in self.host.listeners.values() for one in some]
        return connection_table(list(self.host.sockets.values()), [self.host.four, self.host.six], listeners, now)
