"""What the experiments about keepalive share: its three settings as knobs, and an idle connection."""

from __future__ import annotations

from typing import Final

from lastack.model.time import SECOND, Nanos

from .bench import Bench, Sock
from .experiment import Knob
from .lab import Lab

KNOBS: Final = (
    Knob("idle", 7200, "tcp_keepalive_time: seconds of silence before the first probe", kernel=2),
    Knob("interval", 75, "tcp_keepalive_intvl: seconds between probes that nobody answers", kernel=1),
    Knob("probes", 9, "tcp_keepalive_probes: as many unanswered probes end the connection", kernel=3),
)
"""Linux's defaults in virtual time, short ones in real time."""


def settings(lab: Lab) -> dict[str, int]:
    """The knobs as sysctls of the host that watches."""
    return {
        "tcp_keepalive_time": lab.number("idle"),
        "tcp_keepalive_intvl": lab.number("interval"),
        "tcp_keepalive_probes": lab.number("probes"),
    }


def patience(lab: Lab) -> Nanos:
    """When keepalive gives a silent peer up: the idle time, and an interval for every probe."""
    return lab.seconds("idle") + lab.number("probes") * lab.seconds("interval")


def watched(bench: Bench, *keepalive: bool) -> list[tuple[Sock, Sock]]:
    """Connections that were used and are idle now: the client's end, and the server's, which watches or does not."""
    pairs = bench.connections(len(keepalive))
    for pair in pairs:
        bench.exchange(*pair)
    for (_, there), watches in zip(pairs, keepalive, strict=True):
        there.set(so_keepalive=watches)
    return pairs


def noticed(bench: Bench, sock: Sock, since: Nanos, at_most: Nanos) -> tuple[float, str]:
    """How many seconds after an instant a socket has an error pending, and which; `none` where it has not in time."""
    bench.within(since + at_most - bench.now, lambda: sock.error is not None)
    return (bench.now - since) / SECOND, sock.error or "none"
