"""System calls of a script: from their arguments to a call on sockets, and from its result to what the script expects.

Descriptors in a script are the script's own: `socket(...) = 3` calls whatever came 3.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from lastack.errors import ScriptError
from lastack.model.time import MILLISECOND

from .made import Descriptors, Made, Result, said, shown, unlike
from .symbols import SYMBOLS, errno_name, errno_number, number
from .syntax import Anything, CallLine, Expression, Function, Sequence, Structure
from .target import Sockets

_EVENTS: Final = {value: name for name, value in SYMBOLS.items() if name.startswith("POLL") and "NORM" not in name}
_GIVES_DESCRIPTORS: Final = frozenset({"socket", "accept", "accept4", "epoll_create", "epoll_create1", "pipe"})
_LARGEST: Final = 64 << 20
"""Octets that one call sends."""


class Ends(NamedTuple):
    """Where bind() and connect() lead when the script leaves that open: (address, port) each; and socket()'s family."""

    local: tuple[str, int]
    remote: tuple[str, int]
    family: int


class Calls:
    """Translates the calls of one script."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self.descriptors = Descriptors()

    def make(self, line: CallLine) -> Made:
        """The call of a line. Raises ScriptError, without a place, for what is not understood."""
        maker = CALLS.get(line.name)
        if maker is None:
            raise ScriptError(f"{line.name}() is not understood: there are {', '.join(sorted(CALLS))}")
        try:
            return maker(self, line)
        except IndexError:
            raise ScriptError(f"{line.name}() needs more arguments than {len(line.arguments)}") from None

    def passed_over(self, line: CallLine) -> None:
        """Nobody makes this call: it is as if it had gone as the line says."""
        given = line.arguments[0] if line.name == "pipe" and line.arguments else line.result
        if line.name in _GIVES_DESCRIPTORS and line.error is None and not isinstance(given, Anything):
            for mine in given.items if isinstance(given, Sequence) else (given,):
                self.descriptors.adopt(number(mine))

    def outcome(self, line: CallLine, made: Made, result: Result | None, error: OSError | None) -> str | None:
        """What is not as the line says of a call that has ended, or None."""
        if line.error is not None:
            if error is None:
                return f"{line.name}() = -1 {line.error} expected, {shown(result)} came"
            came = errno_name(error.errno or 0)
            same = came == line.error or error.errno == errno_number(line.error)
            return None if same else f"{line.name}() = -1 {line.error} expected, -1 {came} came"
        if error is not None:
            came = errno_name(error.errno or 0)
            if not isinstance(line.result, Anything) and number(line.result) == -1:
                return None
            return f"{line.name}() = {said(line.result)} expected, -1 {came} ({error.strerror}) came"
        assert result is not None
        return made.check(result)

    # -- the calls

    def _fd(self, line: CallLine) -> int:
        return self.descriptors.real(line.arguments[0])

    def _on(self, line: CallLine, call: Callable[[Sockets, int], Result]) -> Made:
        """A call on the descriptor in the first argument, whose result is a number."""
        fd = self._fd(line)
        return Made(lambda sockets: call(sockets, fd), lambda result: unlike(line, result), fd)

    def _socket(self, line: CallLine) -> Made:
        family, kind, protocol = (line.arguments[i] for i in range(3))
        wanted = self._ends.family if isinstance(family, Anything) else number(family)
        flags, proto = number(kind), number(protocol)
        return Made(lambda sockets: sockets.socket(wanted, flags, proto), lambda fd: self._named(line, fd), None)

    def _named(self, line: CallLine, result: Result) -> str | None:
        """A new descriptor: the script's number stands for it from now on."""
        assert isinstance(result, int)
        mine = result if isinstance(line.result, Anything) else number(line.result)
        if mine < 0:
            return f"{line.name}() = {mine} expected, a descriptor came"
        self.descriptors.name(mine, result)
        return None

    def _bind(self, line: CallLine) -> Made:
        address = self._address(line.arguments[1], self._ends.local)
        return self._on(line, lambda sockets, fd: sockets.bind(fd, address))

    def _listen(self, line: CallLine) -> Made:
        backlog = number(line.arguments[1])
        return self._on(line, lambda sockets, fd: sockets.listen(fd, backlog))

    def _connect(self, line: CallLine) -> Made:
        address = self._address(line.arguments[1], self._ends.remote)
        return self._on(line, lambda sockets, fd: sockets.connect(fd, address))

    def _accept(self, line: CallLine) -> Made:
        flags = number(line.arguments[3]) if line.name == "accept4" else 0
        made = self._on(line, lambda sockets, fd: sockets.accept(fd, flags))
        return made._replace(check=lambda result: self._named(line, result))

    def _address(self, given: Expression, usual: tuple[str, int]) -> tuple[str, int]:
        """An address and a port from a sockaddr, or what the script's options say."""
        if not isinstance(given, Structure):
            return usual
        port, addr = given.get("sin_port") or given.get("sin6_port"), given.get("sin_addr") or given.get("sin6_addr")
        where = usual[0]
        if isinstance(addr, Function) and addr.arguments and isinstance(addr.arguments[0], bytes):
            where = addr.arguments[0].decode("latin-1")
        at = usual[1] if port is None else number(port)
        try:
            ipaddress.ip_address(where)
        except ValueError as error:
            raise ScriptError(str(error)) from None
        if not 0 <= at <= 0xFFFF:
            raise ScriptError(f"a port is 0 to 65,535, not {at:,}")
        return where, at

    def _receive(self, line: CallLine) -> Made:
        limit, flags = _sizes(line)
        made = self._on(line, lambda sockets, fd: sockets.receive(fd, limit, flags))
        return made._replace(check=lambda result: _received(line, result))

    def _send(self, line: CallLine) -> Made:
        size, flags = _sizes(line)
        if not 0 <= size <= _LARGEST:
            raise ScriptError(f"{line.name}() of {size:,} octets: {_LARGEST:,} at most are made")
        given = line.arguments[1]
        data = given[:size].ljust(size, b"\0") if isinstance(given, bytes) else bytes(size)
        return self._on(line, lambda sockets, fd: sockets.send(fd, data, flags))

    def _shutdown(self, line: CallLine) -> Made:
        how = number(line.arguments[1])
        return self._on(line, lambda sockets, fd: sockets.shutdown(fd, how))

    def _close(self, line: CallLine) -> Made:
        mine = number(line.arguments[0])
        made = self._on(line, lambda sockets, fd: sockets.close(fd))

        def closed(result: Result) -> str | None:
            self.descriptors.forget(mine)
            return unlike(line, result)

        return made._replace(check=closed)

    def _setsockopt(self, line: CallLine) -> Made:
        level, name, value = number(line.arguments[1]), number(line.arguments[2]), _option_value(line.arguments[3])
        return self._on(line, lambda sockets, fd: sockets.set_option(fd, level, name, value))

    def _getsockopt(self, line: CallLine) -> Made:
        level, name, expected = number(line.arguments[1]), number(line.arguments[2]), line.arguments[3]
        made = self._on(line, lambda sockets, fd: sockets.get_option(fd, level, name))
        return made._replace(check=lambda result: _option_unlike(line, expected, result))

    def _fcntl(self, line: CallLine) -> Made:
        command = number(line.arguments[1])
        argument = number(line.arguments[2]) if len(line.arguments) > 2 else 0
        return self._on(line, lambda sockets, fd: sockets.fcntl(fd, command, argument))

    def _ioctl(self, line: CallLine) -> Made:
        request, expected = number(line.arguments[1]), line.arguments[2]
        if request == SYMBOLS["FIONBIO"]:
            flags = SYMBOLS["O_NONBLOCK"] if _option_value(expected) else 0
            return self._on(line, lambda sockets, fd: sockets.fcntl(fd, SYMBOLS["F_SETFL"], flags))
        made = self._on(line, lambda sockets, fd: sockets.ioctl(fd, request))
        return made._replace(check=lambda result: _option_unlike(line, expected, result))

    def _poll(self, line: CallLine) -> Made:
        entries = line.arguments[0].items if isinstance(line.arguments[0], Sequence) else ()
        wanted: list[tuple[int, int]] = []
        expected: list[int] = []
        for entry in entries:
            fd, events = (entry.get("fd"), entry.get("events")) if isinstance(entry, Structure) else (None, None)
            if fd is None or events is None or not isinstance(entry, Structure):
                raise ScriptError("poll() needs {fd=..., events=..., revents=...} for every descriptor")
            wanted.append((self.descriptors.real(fd), number(events)))
            expected.append(number(entry.get("revents") or 0))
        milliseconds = number(line.arguments[2])
        timeout = None if milliseconds < 0 else milliseconds * MILLISECOND
        return Made(
            lambda sockets: sockets.poll(wanted, timeout),
            lambda result: _poll_unlike(line, expected, result),
            wanted[0][0] if wanted else None,
        )

    # -- epoll, pipes

    def _epoll_create(self, line: CallLine) -> Made:
        given = number(line.arguments[0])
        # What epoll_create() is given has been without a meaning for long.
        flags = given if line.name == "epoll_create1" else 0
        return Made(lambda sockets: sockets.epoll_create(flags), lambda fd: self._named(line, fd), None)

    def _epoll_ctl(self, line: CallLine) -> Made:
        operation, fd = number(line.arguments[1]), self.descriptors.real(line.arguments[2])
        given = line.arguments[3]
        events, data = _epoll_event(given) if isinstance(given, Structure) else (0, 0)
        made = self._on(line, lambda sockets, epoll: sockets.epoll_ctl(epoll, operation, fd, events, data))
        return made._replace(fd=fd)

    def _epoll_wait(self, line: CallLine) -> Made:
        given, limit, milliseconds = line.arguments[1], number(line.arguments[2]), number(line.arguments[3])
        timeout = None if milliseconds < 0 else milliseconds * MILLISECOND
        entries = given.items if isinstance(given, Sequence) else () if isinstance(given, Anything) else (given,)
        expected = None if isinstance(given, Anything) else [_epoll_event(entry) for entry in entries]
        made = self._on(line, lambda sockets, epoll: sockets.epoll_wait(epoll, limit, timeout))
        return made._replace(check=lambda result: _epoll_unlike(line, expected, result), fd=None)

    def _pipe(self, line: CallLine) -> Made:
        given = line.arguments[0]
        if not isinstance(given, Sequence) or len(given.items) != 2:
            raise ScriptError("pipe() needs [the end to read from, the end to write to]")
        mine = [number(item) for item in given.items]

        def named(result: Result) -> str | None:
            assert isinstance(result, tuple)
            for name, real in zip(mine, result, strict=True):
                self.descriptors.name(name, real)
            return unlike(line, 0)

        return Made(lambda sockets: sockets.pipe(), named, None)

    def _splice(self, line: CallLine) -> Made:
        fd, out, limit = self._fd(line), self.descriptors.real(line.arguments[2]), number(line.arguments[4])
        flags = number(line.arguments[5])
        return Made(lambda sockets: sockets.splice(fd, out, limit, flags), lambda result: unlike(line, result), None)


CALLS: Final[Mapping[str, Callable[[Calls, CallLine], Made]]] = {
    "socket": Calls._socket,
    "bind": Calls._bind,
    "listen": Calls._listen,
    "connect": Calls._connect,
    "accept": Calls._accept,
    "accept4": Calls._accept,
    "read": Calls._receive,
    "recv": Calls._receive,
    "recvfrom": Calls._receive,
    "readv": Calls._receive,
    "recvmsg": Calls._receive,
    "write": Calls._send,
    "send": Calls._send,
    "sendto": Calls._send,
    "writev": Calls._send,
    "sendmsg": Calls._send,
    "shutdown": Calls._shutdown,
    "close": Calls._close,
    "setsockopt": Calls._setsockopt,
    "getsockopt": Calls._getsockopt,
    "fcntl": Calls._fcntl,
    "ioctl": Calls._ioctl,
    "poll": Calls._poll,
    "epoll_create": Calls._epoll_create,
    "epoll_create1": Calls._epoll_create,
    "epoll_ctl": Calls._epoll_ctl,
    "epoll_wait": Calls._epoll_wait,
    "pipe": Calls._pipe,
    "splice": Calls._splice,
}
"""What makes each call of a script."""


# -- arguments


def _epoll_event(given: Expression) -> tuple[int, int]:
    """The (events, data) of {events=EPOLLIN, fd=4}; ptr, u32 and u64 are other names of the data."""
    events = given.get("events") if isinstance(given, Structure) else None
    if events is None or not isinstance(given, Structure):
        raise ScriptError("an event of epoll is {events=..., fd=...}")
    data = next((value for name in ("fd", "ptr", "u32", "u64") if (value := given.get(name)) is not None), 0)
    return number(events), number(data)


def _sizes(line: CallLine) -> tuple[int, int]:
    """How many octets a call is about, and its flags: of read(), recv(), readv(), recvmsg() and their counterparts."""
    arguments = line.arguments
    if line.name in ("readv", "writev"):
        return _vector(arguments[1]), 0
    if line.name in ("recvmsg", "sendmsg"):
        vector = arguments[1].get("msg_iov") if isinstance(arguments[1], Structure) else None
        if vector is None:
            raise ScriptError(f"{line.name}() needs {{msg_name(...)=..., msg_iov(1)=[...], msg_flags=0}}")
        return _vector(vector), number(arguments[2])
    return number(arguments[2]), number(arguments[3]) if len(arguments) > 3 else 0


def _vector(value: Expression) -> int:
    """The octets of `[{..., 100}, {..., 200}]`."""
    if not isinstance(value, Sequence):
        raise ScriptError("a list of {..., length} is needed here")
    total = 0
    for item in value.items:
        if not isinstance(item, Sequence) or len(item.items) != 2:
            raise ScriptError("a list of {..., length} is needed here")
        total += number(item.items[1])
    return total


def _option_value(given: Expression) -> int | bytes | tuple[int, ...]:
    """What setsockopt() is given: `[1]`, `"cubic"`, `{onoff=1, linger=0}`."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, Structure):
        return tuple(number(value) for _, value in given.fields)
    if isinstance(given, Sequence):
        values = tuple(number(item) for item in given.items)
        return values[0] if len(values) == 1 else values
    return number(given)


# -- results


def _received(line: CallLine, result: Result) -> str | None:
    """As many octets as expected, and those that are expected where the script names them."""
    assert isinstance(result, bytes)
    wrong = unlike(line, len(result))
    given = line.arguments[1]
    if wrong is None and isinstance(given, bytes) and not result.startswith(given[: len(result)]):
        return f"{line.name}() is expected to read {given!r}, {result[: len(given)]!r} came"
    return wrong


def _option_unlike(line: CallLine, expected: Expression, result: Result) -> str | None:
    """The value that getsockopt() or ioctl() writes; the call itself gives 0."""
    wrong = unlike(line, 0)
    if wrong is not None or isinstance(expected, Anything):
        return wrong
    wanted = _option_value(expected)
    if wanted == result or (isinstance(result, bytes) and isinstance(wanted, bytes) and result.rstrip(b"\0") == wanted):
        return None
    return f"{line.name}() is expected to write {shown(wanted)}, {shown(result)} came"


def _poll_unlike(line: CallLine, expected: list[int], result: Result) -> str | None:
    assert isinstance(result, list)
    wrong = unlike(line, sum(bool(events) for events in result))
    for place, (wanted, came) in enumerate(zip(expected, result, strict=True)):
        assert isinstance(came, int)
        if wanted != came:
            return f"poll(): revents {_events(wanted)} expected of entry {place}, {_events(came)} came"
    return wrong


def _epoll_unlike(line: CallLine, expected: list[tuple[int, int]] | None, result: Result) -> str | None:
    """As many events as expected, and those, in whatever order."""
    assert isinstance(result, list)
    came = [entry for entry in result if isinstance(entry, tuple)]
    wrong = unlike(line, len(came))
    if wrong is not None or expected is None or (not came and number(line.result) == 0):
        return wrong
    if sorted(expected) == sorted(came):
        return None
    said_, shown_ = (", ".join(f"{_events(bits)} of {data}" for bits, data in entries) for entries in (expected, came))
    return f"epoll_wait(): {said_} expected, {shown_} came"


def _events(bits: int) -> str:
    return "|".join(name for value, name in _EVENTS.items() if bits & value) or "0"
