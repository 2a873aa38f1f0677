"""Short connections, opened and closed again: where TIME_WAIT comes from."""

from __future__ import annotations

from typing import Final

from lastack.errors import CallError
from lastack.model.state import State
from lastack.model.time import SECOND
from lastack.wire.flags import RST
from lastack.wire.segment import Segment

from .bench import Bench, Host, Listening, Option, Sock

STEADY: Final = 1
"""tcp_rfc1337 of scenes that count TIME_WAIT: on a busy machine a FIN is sent twice now and then, and the RST that
answers the answer would end one."""
_SOON: Final = 10 * SECOND


def opened(
    bench: Bench,
    listener: Listening,
    by: Host,
    to: tuple[str, int],
    local: tuple[str, int] | None = None,
    **options: Option,
) -> tuple[Sock, Sock]:
    """A connection to a listener: the end of who opened it, and the other. Raises CallError where there is no port."""
    here = by.connect(to[0], to[1], local, **options)
    there = bench.until(listener.accept, _SOON)
    bench.until(lambda: here.state is State.ESTABLISHED, _SOON)
    return here, there


def finished(bench: Bench, sock: Sock) -> None:
    """Let an end read to the end of file, or until a RST ends it, and close."""

    def over() -> bool:
        try:
            return sock.receive() == b""
        except CallError:
            return True

    bench.until(over, _SOON)
    sock.close()


def closed(bench: Bench, first: Sock, second: Sock) -> None:
    """Close an end, and the other when it has read the end of file, until only the first one's wait can be left."""
    first.close()
    finished(bench, second)
    bench.until(lambda: second.state is State.CLOSED and first.state in (State.TIME_WAIT, State.CLOSED), _SOON)


def used_up(
    bench: Bench,
    listener: Listening,
    by: Host,
    to: tuple[str, int],
    most: int,
    local: tuple[str, int] | None = None,
    **options: Option,
) -> tuple[int, str]:
    """Open and close connections, `most` at most, until there is no port: how many there were, and the error's name."""
    for count in range(most):
        try:
            here, there = opened(bench, listener, by, to, local, **options)
        except CallError as error:
            return count, error.code or str(error)
        closed(bench, here, there)
    return most, ""


def port_range(host: Host) -> int:
    """How many ports a host's connect() chooses from."""
    low, high = map(int, (host.setting("ip_local_port_range") or "0 -1").split())
    return high - low + 1


def segments(bench: Bench, host: Host) -> list[Segment]:
    """The segments that a host has sent so far."""
    return [packet.segment for packet in bench.sent_by(host) if packet.segment is not None]


def resets(bench: Bench, host: Host) -> int:
    """How many RSTs a host has sent."""
    return sum(segment.flags & RST != 0 for segment in segments(bench, host))
