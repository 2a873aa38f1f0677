"""A stack whose peer is played by the test, segment by segment, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.model.state import State, lawful
from lastack.model.time import Nanos
from lastack.stack import Dice, Listener, Socket, Stack
from lastack.tcp import Observer, Settings, SocketOptions
from lastack.wire import Packet, Segment, address_bytes
from lastack.wire.flags import ACK, FIN, PSH, RST, SYN, URG
from lastack.wire.icmp import IcmpMessage, Problem, Quote
from lastack.wire.seq import MASK, distance

HERE, THERE = "10.0.0.1", "10.0.0.9"
PEER_ISS = 0xFFFF_FF00
"""Near the end, so that every test also sees the sequence numbers wrap."""
LETTERS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, ".": ACK, "U": URG}


class Seen(Observer):
    """Every change of state, each of them lawful."""

    def __init__(self) -> None:
        self.states: list[State] = []

    def moved(self, number: int, before: State, after: State, cause: str, now: Nanos) -> None:
        assert lawful(before, after)
        self.states.append(after)


class Talk:
    """A conversation. Numbers are relative: our SYN has 0, the peer's SYN has 0. Flags are letters: `S.` is SYN,ACK."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or plain()
        self.seen = Seen()
        self.stack = Stack([HERE, "127.0.0.1"], self.settings, Dice(7), self.seen)
        self.now: Nanos = 1_000_000_000
        self.iss = 0
        self.here_port = 80
        self.there_port = 4000
        self.out: list[Segment] = []
        self.times: list[Nanos] = []
        self.listener: Listener | None = None

    # -- what the peer does

    def say(self, flags: str, seq: int = 0, ack: int | None = None, data: bytes = b"", **fields: Any) -> None:
        bits = 0
        for letter in flags:
            bits |= LETTERS[letter]
        window = fields.pop("window", 65_535)
        number = 0 if ack is None else (self.iss + ack) & MASK
        segment = Segment(self.there_port, self.here_port, (PEER_ISS + seq) & MASK, number, bits, window, data)
        if "sack" in fields:
            blocks = fields.pop("sack")
            segment.sack = tuple(((self.iss + a) & MASK, (self.iss + b) & MASK) for a, b in blocks)
        for name, value in fields.items():
            setattr(segment, name, value)
        self.stack.on_packet(Packet(address_bytes(THERE), address_bytes(HERE), segment), self.now)
        self.flush()

    def icmp(self, problem: Problem, seq: int, mtu: int = 0) -> None:
        source, far = address_bytes(HERE), address_bytes(THERE)
        quote = Quote(source, far, self.here_port, self.there_port, (self.iss + seq) & MASK)
        message = IcmpMessage(problem, quote, mtu)
        self.stack.on_packet(Packet(address_bytes("10.0.0.254"), source, None, message), self.now)
        self.flush()

    # -- what we did

    def state(self, socket: Socket) -> State:
        return self.stack.state_of(socket)

    def flush(self) -> None:
        while (packet := self.stack.poll(self.now)) is not None:
            assert packet.segment is not None
            self.out.append(packet.segment)
            self.times.append(self.now)
        # The poll contract: None stays None.
        assert self.stack.poll(self.now) is None
        due = self.stack.next_timeout()
        assert due is None or due > self.now

    def wait(self, duration: Nanos) -> list[str]:
        """Let time pass; what was sent meanwhile."""
        end = self.now + duration
        self.stack.on_timeout(self.now)
        self.flush()
        while (due := self.stack.next_timeout()) is not None and due <= end:
            # The poll contract: nothing leaves between two timers.
            self.now = due - 1
            assert self.stack.poll(self.now) is None
            self.now = due
            self.stack.on_timeout(due)
            self.flush()
        self.now = end
        return self.told()

    def take(self) -> list[Segment]:
        """What was sent since the last time."""
        out = self.out[:]
        self.out.clear()
        self.times.clear()
        return out

    def told(self) -> list[str]:
        """The same, written `flags seq:ack:length`, relative."""
        return [self.spell(segment) for segment in self.take()]

    def spell(self, segment: Segment) -> str:
        letters = "".join(letter for letter, bit in LETTERS.items() if segment.flags & bit)
        seq = distance(self.iss, segment.seq)
        ack = distance(PEER_ISS, segment.ack) if segment.flags & ACK else "-"
        return f"{letters} {seq}:{ack}:{len(segment.payload)}"

    # -- opening

    def listen(self, backlog: int = 10, options: SocketOptions | None = None) -> None:
        self.listener = self.stack.listen(80, backlog, options)

    def accepted(self, options: SocketOptions | None = None, **syn: Any) -> Socket:
        """A connection that the peer has opened."""
        if self.listener is None:
            self.listen(options=options)
        self.say("S", 0, **{"mss": 1460, **syn})
        self.iss = self.take()[-1].seq
        stamps: dict[str, Any] = {"ts_value": 1001, "ts_echo": 0} if "ts_value" in syn else {}
        self.say(".", 1, 1, **stamps)
        assert self.listener is not None
        socket = self.stack.accept(self.listener)
        assert socket is not None
        self.take()
        return socket

    def connecting(self, options: SocketOptions | None = None) -> Socket:
        """A connection that we are opening: the SYN has left."""
        socket = self.stack.connect((THERE, 4000), self.now, options)
        self.here_port = socket.local_endpoint.port
        self.flush()
        self.iss = self.out[-1].seq
        return socket

    def connected(self, options: SocketOptions | None = None, **syn: Any) -> Socket:
        """A connection that we have opened."""
        socket = self.connecting(options)
        self.say("S.", 0, 1, **{"mss": 1460, **syn})
        self.take()
        return socket

    def waiting(self, **syn: Any) -> Socket:
        """A connection that the peer has opened and we have closed: it is in TIME_WAIT beside its listener."""
        socket = self.accepted(**syn)
        stamps: dict[str, Any] = {"ts_value": 1002, "ts_echo": 0} if "ts_value" in syn else {}
        self.do(socket.close)
        self.say(".", 1, 2, **stamps)
        self.say("F.", 1, 2, **stamps)
        self.take()
        assert self.stack.state_of(socket) is State.TIME_WAIT
        return socket

    # -- calls, followed by what they make us send

    def do(self, call: Callable[..., object], *arguments: object) -> list[str]:
        call(*arguments, self.now)
        self.flush()
        return self.told()

    def in_state(self, state: State) -> Socket:
        """A connection that was brought to a state, by a way that the RFC draws."""
        if state is State.SYN_SENT:
            socket = self.connecting()
            self.take()
            return socket
        if state is State.SYN_RECEIVED:
            self.listen()
            self.say("S", 0, mss=1460)
            self.iss = self.take()[-1].seq
            return next(iter(self.stack.host.sockets.values()))
        socket = self.connected()
        if state in (State.CLOSE_WAIT, State.LAST_ACK):
            self.say("F.", 1, 1)
            if state is State.LAST_ACK:
                self.do(socket.close)
        elif state in (State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.TIME_WAIT):
            self.do(lambda now: socket.shutdown("write", now))
            if state is State.CLOSING:
                self.say("F.", 1, 1)
            elif state in (State.FIN_WAIT_2, State.TIME_WAIT):
                self.say(".", 1, 2)
                if state is State.TIME_WAIT:
                    self.say("F.", 1, 2)
        self.take()
        assert self.stack.state_of(socket) is state
        return socket


def plain() -> Settings:
    """Linux's settings without options on the wire, so that a test shows only what it is about."""
    settings = Settings.linux()
    settings.tcp_timestamps = settings.tcp_sack = settings.tcp_window_scaling = 0
    settings.tcp_early_retrans = 0
    return settings


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.fixture
def make_talk() -> Callable[..., Talk]:
    def make(settings: Settings | None = None, **changes: object) -> Talk:
        settings = settings or plain()
        for name, value in changes.items():
            setattr(settings, name, value)
        return Talk(settings)

    return make
