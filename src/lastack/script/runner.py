"""Running a script: event after event, each at its time, on whatever target; the first that differs ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lastack.errors import ScriptError
from lastack.model.time import SECOND, Nanos
from lastack.wire.flags import ACK, FIN, PSH, RST, SYN
from lastack.wire.icmp import Quote
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment

from . import asserts, commands, icmp, match
from .calls import Calls
from .config import Config
from .flow import Flow
from .made import Made
from .syntax import Action, CallLine, CodeLine, CommandLine, Event, IcmpLine, Script, SegmentLine, When
from .target import Arrival, Pending, Target

_PATIENCE: Final[Nanos] = SECOND
"""How much longer than the tolerance a packet is waited for, to say when it came."""
_FOREVER: Final[Nanos] = 3600 * SECOND
_AROUND: Final = 6
"""Packets that are shown with a failure."""

Hook = Callable[[str], None]
"""What is done with a command line, or with code, that is not understood here."""


class Passing(NamedTuple):
    """A packet on the wire: when, which way, and as the script would write it."""

    at: Nanos
    outbound: bool
    packet: Packet
    text: str

    def __str__(self) -> str:
        return f"{self.at / SECOND:11.6f} {'>' if self.outbound else '<'} {self.text}"


class Failure(NamedTuple):
    """Where and why a script did not go as it says. `around` are the last packets before it."""

    path: str
    line: int
    source: str
    message: str
    at: Nanos
    around: tuple[Passing, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.path}:{self.line}: {self.message}", f"  {self.line:>5} | {self.source.strip()}"]
        if self.around:
            lines.append(f"  the packets before, and it is {self.at / SECOND:.6f} s now:")
            lines.extend(f"    {passing}" for passing in self.around)
        return "\n".join(lines)


@dataclass
class Run:
    """What came of a script: it passed where `failure` is None. `length` is the script's own time."""

    path: str
    failure: Failure | None = None
    length: Nanos = 0
    packets: list[Passing] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether all went as the script says."""
        return self.failure is None


class Mismatch(ScriptError):
    """Something did not go as an event says; `line` where that is not the event that is being done."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def run(
    script: Script,
    target: Target,
    config: Config,
    shell: Hook | None = None,
    python: Hook | None = None,
    *,
    exact: bool = False,
) -> Run:
    """Run a script. `shell` and `python` are given what is not understood here; None: that is an error.

    `exact`: a packet that no line expects is a failure also after the last line.
    """
    runner = _Runner(script, target, config, shell, python, exact)
    try:
        return runner.run()
    finally:
        target.close()


class _Waiting(NamedTuple):
    """A blocking call: the event, the call, and when it is to end."""

    event: Event
    line: CallLine
    made: Made
    pending: Pending
    until: Nanos


class _Runner:
    def __init__(
        self, script: Script, target: Target, config: Config, shell: Hook | None, python: Hook | None, exact: bool
    ) -> None:
        self._script = script
        self._target = target
        self._config = config
        self._shell = shell
        self._python = python
        self._exact = exact
        self._calls = Calls(config.ends)
        self._flows: dict[tuple[int, int], Flow] = {}
        self._current: Flow | None = None
        self._socket: int | None = None
        self._waiting: _Waiting | None = None
        self._local, self._remote = address_bytes(config.local_ip), address_bytes(config.remote_ip)
        self._base: Nanos = 0
        """What relative times count from."""
        self._result = Run(script.path)

    def run(self) -> Run:
        """All events, until one fails."""
        place = Event(1, When(), self._script.first or CommandLine(""))
        try:
            if self._script.first is not None:
                self._command(self._script.first)
            for place in self._script.events:
                self._event(place)
            if self._waiting is not None:
                place = self._waiting.event
                self._finish(self._waiting)
            if self._exact:
                self._nothing_more()
        except ScriptError as error:
            line = getattr(error, "line", 0) or place.line
            source = self._script.source[line - 1] if line <= len(self._script.source) else ""
            around = tuple(self._result.packets[-_AROUND:])
            now = self._target.now()
            self._result.failure = Failure(self._script.path, line, source, str(error), now, around)
        self._result.length = self._target.now()
        return self._result

    def _nothing_more(self) -> None:
        """Nothing may be left that no line has expected."""
        arrival = self._target.receive(self._target.now() + self._config.tolerance)
        if arrival is not None:
            self._noted(arrival)
            raise Mismatch("a packet came that no line expects, as the last one below")

    def _event(self, event: Event) -> None:
        when, action = event.when, event.action
        start = when.start + (self._base if when.relative else 0)
        if isinstance(action, (SegmentLine, IcmpLine)) and action.outbound:
            came = self._expect(action, when, start)
            self._base = came if when.anytime or when.end is not None else start
            return
        self._target.run_until(start)
        self._base, before = start, self._base
        self._do(event, action, before if when.relative else 0)

    def _do(self, event: Event, action: Action, base: Nanos) -> None:
        if isinstance(action, SegmentLine):
            self._send(action)
        elif isinstance(action, IcmpLine):
            self._send_error(action)
        elif isinstance(action, CallLine):
            self._call(event, action, base)
        elif isinstance(action, CommandLine):
            self._command(action)
        else:
            self._code(action)

    # -- packets to the side under test

    def _send(self, line: SegmentLine) -> None:
        if line.ports is not None:
            flow = self._flow(line.ports[1], line.ports[0])
        else:
            flow = self._current or self._flow(self._config.bind_port, self._config.remote_port)
        self._current = flow
        segment = flow.outgoing(line)
        packet = Packet(self._remote, self._local, segment, None, line.ip.ttl or 255)
        packet.traffic_class = line.ip.tos or {"ect1": 1, "ect0": 2, "ce": 3}.get(line.ip.ecn or "", 0)
        # Noted as the script writes it: what was sent is on the wire in other numbers.
        self._note(False, packet, _inbound(line))
        self._target.send(packet)

    def _send_error(self, line: IcmpLine) -> None:
        flow = self._current
        if flow is None:
            raise ScriptError("an ICMP error needs a connection to speak of: no packet went before")
        seq, length = line.quoted or (0, 0)
        at = (seq + (flow.local_offset or 0)) & 0xFFFF_FFFF
        quote = Quote(self._local, self._remote, flow.local_port, flow.remote_port, at)
        packet = icmp.message(line, quote, self._remote, length)
        self._note(False, packet, f"icmp {line.kind} {line.code or ''}".strip())
        self._target.send(packet)

    def _flow(self, local_port: int, remote_port: int) -> Flow:
        return self._flows.setdefault((local_port, remote_port), Flow(local_port, remote_port))

    # -- packets from it

    def _expect(self, line: SegmentLine | IcmpLine, when: When, start: Nanos) -> Nanos:
        """The next packet, which has to be this one; when it came."""
        end = start if when.end is None else when.end + start - when.start
        tolerance = self._config.tolerance
        deadline = _FOREVER + self._target.now() if when.anytime else end + tolerance
        arrival = self._target.receive(deadline) or self._target.receive(deadline + _PATIENCE)
        if arrival is None:
            raise Mismatch(f"no packet came{'' if when.anytime else f' by {deadline / SECOND:.6f} s'}")
        if isinstance(line, SegmentLine) and arrival.packet.segment is not None:
            self._learn(line, arrival.packet.segment)
        flow = self._noted(arrival)
        if isinstance(line, IcmpLine):
            self._compare_error(line, arrival)
        else:
            self._compare(line, arrival, flow)
        if not when.anytime and not start - tolerance <= arrival.at <= end + tolerance:
            expected = f"{start / SECOND:.6f}" + (f" to {end / SECOND:.6f}" if end != start else "")
            raise Mismatch(
                f"the packet is right, its time is not: {expected} s expected, {arrival.at / SECOND:.6f} came"
            )
        return arrival.at

    def _learn(self, line: SegmentLine, segment: Segment) -> None:
        """Take over the numbers that a connection begins with. A RST begins none."""
        if segment.flags & RST:
            return
        flow = self._flow(segment.src_port, segment.dst_port)
        if segment.flags & SYN and line.flags & SYN:
            # A new incarnation may begin, with other numbers.
            flow.local_offset = None
        flow.learn(line, segment)

    def _noted(self, arrival: Arrival) -> Flow | None:
        segment = arrival.packet.segment
        if segment is None:
            self._note(True, arrival.packet, str(arrival.packet.icmp), arrival.at)
            return None
        flow = self._flow(segment.src_port, segment.dst_port)
        self._note(True, arrival.packet, flow.spoken(segment), arrival.at)
        return flow

    def _compare(self, line: SegmentLine, arrival: Arrival, flow: Flow | None) -> None:
        segment = arrival.packet.segment
        if segment is None or flow is None:
            raise Mismatch(f"a segment is expected, {arrival.packet.icmp} came")
        if line.ports is not None and line.ports != (segment.src_port, segment.dst_port):
            ports = f"{segment.src_port} > {segment.dst_port}"
            raise Mismatch(f"ports: {line.ports[0]} > {line.ports[1]} expected, {ports} came")
        self._current = flow
        if len(segment.payload) < line.length and not self._config.strict_segments:
            segment = self._joined(line, segment, arrival.at)
        tolerance, tick = self._config.tolerance, self._config.tick
        differences = list(match.segment_differences(line, arrival.packet, segment, flow, tolerance, tick))
        if differences:
            raise Mismatch("another packet came than expected\n" + "\n".join(f"    {text}" for text in differences))

    def _joined(self, line: SegmentLine, first: Segment, at: Nanos) -> Segment:
        """One segment of the script may be several on the wire: as much of it as comes at the same time."""
        whole = first.copy()
        while len(whole.payload) < line.length:
            arrival = self._target.receive(at + self._config.tolerance)
            if arrival is None:
                break
            self._noted(arrival)
            segment = arrival.packet.segment
            if segment is None or segment.seq != (whole.seq + len(whole.payload)) & 0xFFFF_FFFF:
                break
            whole.payload += segment.payload
            whole.flags |= segment.flags & (PSH | FIN | ACK)
        return whole

    def _compare_error(self, line: IcmpLine, arrival: Arrival) -> None:
        message = arrival.packet.icmp
        if message is None:
            raise Mismatch("an ICMP error is expected, a segment came")
        differences = list(match.icmp_differences(line, message, arrival.packet))
        if differences:
            raise Mismatch("another packet came than expected\n" + "\n".join(f"    {text}" for text in differences))

    # -- calls, commands, code

    def _call(self, event: Event, line: CallLine, base: Nanos) -> None:
        if self._waiting is not None:
            self._finish(self._waiting)
        made = self._calls.make(line)
        self._socket = made.fd if made.fd is not None else self._socket
        pending = self._target.call(made.call)
        until = self._target.now() if line.until is None else line.until + base
        self._waiting = _Waiting(event, line, made, pending, until)
        early = pending.at is not None and pending.at < until - self._config.tolerance
        if line.until is None or early:
            self._finish(self._waiting)

    def _finish(self, waiting: _Waiting) -> None:
        """A call has to have ended, in its time, with what the script expects."""
        self._waiting = None
        pending, tolerance = waiting.pending, self._config.tolerance
        if pending.at is None:
            self._target.wait(pending, waiting.until + tolerance)
        name, line = waiting.line.name, waiting.event.line
        if pending.passed_over:
            self._calls.passed_over(waiting.line)
            return
        if pending.at is None:
            raise Mismatch(f"{name}() has not returned by {waiting.until / SECOND:.6f} s", line)
        if abs(pending.at - waiting.until) > tolerance:
            expected, came = waiting.until / SECOND, pending.at / SECOND
            raise Mismatch(f"{name}() returned at {came:.6f} s, {expected:.6f} expected", line)
        wrong = self._calls.outcome(waiting.line, waiting.made, pending.result, pending.error)
        if wrong is not None:
            raise Mismatch(wrong, line)
        if waiting.line.name in ("accept", "accept4") and isinstance(pending.result, int):
            self._socket = pending.result

    def _command(self, line: CommandLine) -> None:
        try:
            pairs = list(commands.settings(line.text))
        except ScriptError:
            if self._shell is None:
                raise
            self._shell(line.text)
            return
        for name, value in pairs:
            self._target.set_sysctl(name, value)

    def _code(self, line: CodeLine) -> None:
        if self._waiting is not None and self._waiting.pending.at is not None:
            self._finish(self._waiting)
        names = self._info()
        if names is None:
            return
        try:
            wrong = asserts.check(line.text, names)
        except asserts.Refused:
            if self._python is None:
                raise
            self._python("\n".join([*(f"{name} = {value}" for name, value in names.items()), line.text]))
            return
        if wrong is not None:
            raise Mismatch(wrong)

    def _info(self) -> dict[str, int] | None:
        """tcp_info of the socket that the script used last, or None: nobody is there to tell."""
        if self._socket is None:
            raise ScriptError("there is no socket yet to ask for tcp_info")
        fd = self._socket
        pending = self._target.call(lambda sockets: sockets.info(fd))
        self._target.wait(pending, self._target.now() + _PATIENCE)
        if pending.passed_over:
            return None
        if pending.error is not None:
            raise ScriptError(f"tcp_info cannot be had: {pending.error.strerror}")
        found: dict[str, int] = pending.result
        return found

    def _note(self, outbound: bool, packet: Packet, text: str, at: Nanos | None = None) -> None:
        self._result.packets.append(Passing(self._target.now() if at is None else at, outbound, packet, text))


def _inbound(line: SegmentLine) -> str:
    flow = Flow(0, 0)
    flow.local_offset = flow.stamp_offset = 0
    return flow.spoken(flow.outgoing(line))
