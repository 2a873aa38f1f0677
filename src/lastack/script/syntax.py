"""What a script says, as values: options, and events that each have a time and an action. No meaning yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from lastack.model.time import Nanos

# -- expressions: the arguments and results of system calls


class Word(NamedTuple):
    """A name: SOCK_STREAM, or one that the script defined."""

    name: str


class Anything(NamedTuple):
    """`...`: not looked at, or filled in by whoever runs the script."""


class Either(NamedTuple):
    """`a | b`: the bits of both."""

    parts: tuple[Expression, ...]


class Sequence(NamedTuple):
    """`[a, b]`, or `{a, b}` without names."""

    items: tuple[Expression, ...]


class Structure(NamedTuple):
    """`{name = a, other = b}`; `msg_iov(1) = [...]` is a field as well, its count left out."""

    fields: tuple[tuple[str, Expression], ...]

    def get(self, name: str) -> Expression | None:
        """A field, or None."""
        return dict(self.fields).get(name)


class Function(NamedTuple):
    """`htons(8080)`, `inet_addr("192.0.2.1")`."""

    name: str
    arguments: tuple[Expression, ...]


Expression: TypeAlias = int | bytes | Word | Anything | Either | Sequence | Structure | Function

# -- packets


class Option(NamedTuple):
    """One TCP option: `kind` as it is spelled (mss, TS, sack, ...) and its numbers or octets."""

    kind: str
    numbers: tuple[int, ...] = ()
    octets: bytes = b""


@dataclass(frozen=True)
class IpInfo:
    """What is said of the IP header. None: nothing.

    `ecn` is noecn, ect0, ect1, ce, or ect01 (either); `tos` the whole octet; `ttl` the hop limit too.
    """

    ecn: str | None = None
    tos: int | None = None
    ttl: int | None = None
    flow_label: int | None = None


@dataclass(frozen=True)
class SegmentLine:
    """`< S 0:0(0) win 1000 <mss 1460>` (inbound: the script sends it) or `> ...` (outbound: it is to come).

    Sequence numbers count from the script's own initial ones. `ack` None: no ACK number is written. `options` None:
    `<...>`, not looked at. `ports` (source, destination) where they are written.
    """

    outbound: bool
    flags: int
    seq: int
    length: int
    ack: int | None = None
    window: int | None = None
    urgent: int = 0
    options: tuple[Option, ...] | None = ()
    ip: IpInfo = field(default_factory=IpInfo)
    ports: tuple[int, int] | None = None


@dataclass(frozen=True)
class IcmpLine:
    """`< icmp unreachable frag_needed mtu 1200 [1:1001(1000)]`: an error that quotes a segment of the other side."""

    outbound: bool
    kind: str
    code: str | None = None
    mtu: int | None = None
    quoted: tuple[int, int] | None = None
    """(sequence number, octets) of the segment that is quoted."""
    ip: IpInfo = field(default_factory=IpInfo)


# -- the other actions


@dataclass(frozen=True)
class CallLine:
    """`read(4, ..., 1000) = 1000`. `until`: a blocking call, which returns that much later. `error` an errno's name."""

    name: str
    arguments: tuple[Expression, ...]
    result: Expression
    error: str | None = None
    until: Nanos | None = None


@dataclass(frozen=True)
class CommandLine:
    """A command line in backquotes."""

    text: str


@dataclass(frozen=True)
class CodeLine:
    """Python between %{ and }%."""

    text: str


Action: TypeAlias = SegmentLine | IcmpLine | CallLine | CommandLine | CodeLine


class When(NamedTuple):
    """When an event is: `start` ns after the script's begin, or after the event before it (`relative`).

    `end` makes it a range, of the same kind. `anytime` is `*`.
    """

    start: Nanos = 0
    end: Nanos | None = None
    relative: bool = False
    anytime: bool = False


class Event(NamedTuple):
    """One line of a script: where it stands, when, what."""

    line: int
    when: When
    action: Action


@dataclass(frozen=True)
class Script:
    """A whole script. `options` are its `--name=value` lines in order; `source` its lines, for messages.

    `first` and `last` are the commands before and after the events, which have no time of their own.
    """

    path: str
    source: tuple[str, ...]
    options: tuple[tuple[str, str | None, int], ...] = ()
    events: tuple[Event, ...] = ()
    first: CommandLine | None = None
    last: CommandLine | None = None
