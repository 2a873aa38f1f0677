"""Reports as a busy host would give them: what the tests of the views draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastack.model import (
    SECOND,
    Advice,
    Closer,
    ConnectionTable,
    Evidence,
    Finding,
    Gauge,
    Histogram,
    Report,
    Severity,
    Source,
    State,
    Timer,
    Values,
    Viewpoint,
)
from lastack.model.address import address_halves
from lastack.model.record import address_values, text_values

NOW = 1_750_000_000 * SECOND
LEAKED, TIME_WAIT, SERVED, OPEN = 1_204, 1_000, 500, 296
ROWS = LEAKED + TIME_WAIT + SERVED + OPEN

HOSTILE = "<script>alert(1)</script>"
ESCAPES = "\x1b[31mred\x1b[0m [bold]x[/bold]"


def table(seed: int = 1) -> ConnectionTable:
    """3,000 connections: 1,204 leaked CLOSE_WAIT of a java, 1,000 TIME_WAIT to a database, 500 served, 296 open."""
    dice = np.random.default_rng(seed)
    kind = np.repeat(np.arange(4), (LEAKED, TIME_WAIT, SERVED, OPEN))
    states = np.array([State.CLOSE_WAIT, State.TIME_WAIT, State.TIME_WAIT, State.ESTABLISHED], np.uint8)[kind]
    waiting = states == State.TIME_WAIT
    age = np.where(waiting, dice.integers(0, 60 * SECOND, ROWS), dice.integers(70 * SECOND, 9 * 3600 * SECOND, ROWS))
    live = ~waiting
    outgoing = kind == 1
    peers = [f"10.0.{3 + k % 3}.{k % 200 + 1}" for k in range(ROWS)]
    commands = ["java" if k == 0 else HOSTILE if n % 3 else ESCAPES for n, k in enumerate(kind.tolist())]
    owners: list[str | None] = [name if alive else None for name, alive in zip(commands, live, strict=True)]
    filled: dict[str, Any] = {
        "id": np.arange(1, ROWS + 1, dtype=np.uint32),
        "viewpoint": np.full(ROWS, Viewpoint.HOST, np.uint8),
        "netns": text_values(["own"] * ROWS),
        "family": np.full(ROWS, 4, np.uint8),
        "local_addr": address_values([address_halves("10.0.0.1")] * ROWS),
        "local_port": np.where(outgoing, 32_768 + np.arange(ROWS), 8080).astype(np.uint16),
        "remote_addr": address_values(
            [address_halves("10.0.0.5" if out else peer) for out, peer in zip(outgoing, peers, strict=True)]
        ),
        "remote_port": np.where(outgoing, 5432, dice.integers(32_768, 60_999, ROWS)).astype(np.uint16),
        "opened_by": np.where(outgoing, Closer.LOCAL, Closer.REMOTE).astype(np.uint8),
        "local_state": states,
        "pid": Values(np.where(kind == 0, 4242, 977).astype(np.int32), live),
        "command": text_values(owners),
        "fd": Values(np.arange(ROWS, dtype=np.int32) + 7, live),
        "uid": Values(np.full(ROWS, 1000, np.uint32), live),
        "inode": np.where(live, np.arange(ROWS) + 812_345, 0).astype(np.uint64),
        "cookie": np.arange(ROWS, dtype=np.uint64) + 4096,
        "recv_q": Values(np.where(kind == 0, 1, 0).astype(np.uint32), live),
        "send_q": Values(np.zeros(ROWS, np.uint32), live),
        "timer": np.where(waiting, Timer.TIME_WAIT, Timer.OFF).astype(np.uint8),
        "timer_expires_ns": Values(NOW + 60 * SECOND - age, waiting),
        "age_ns": age.astype(np.int64),
        "age_most_ns": Values((age + np.where(waiting, 0, 30 * SECOND)).astype(np.int64)),
        "unit": text_values(["orders.service" if k == 0 else None for k in kind.tolist()]),
        "listener": text_values([None if k == 1 else "0.0.0.0:8080" for k in kind.tolist()]),
    }
    return ConnectionTable(ROWS, filled)


def leak(rows: ConnectionTable) -> Finding:
    """An error: a process that never reads the end of file."""
    return Finding(
        rule="close-wait-eof-unread",
        severity=Severity.ERROR,
        summary="1,204 connections are in CLOSE_WAIT because java (pid 4242, orders.service) never read the end of "
        "file",
        evidence=(
            Evidence("receive queue", "1 octet each: only the FIN, unread", "", "sock_diag"),
            Evidence("descriptors", "3,911 of 4,096 (95%)", "", "/proc/4242/limits"),
            Evidence("new ones", 2.2, "a minute", "their ages"),
            Evidence("until it can accept no more", 4_980 * SECOND, "ns", "descriptors, rate"),
            Evidence("watched by an epoll set", "0 of the 64 looked at", "", "/proc/4242/fdinfo"),
            Evidence("listener", "0.0.0.0:8080 (1,204)", "", "sock_diag"),
            Evidence("clients", "10.0.3.1 (7), 10.0.4.2 (7), 10.0.5.3 (7) and 197 more", "", "sock_diag"),
        ),
        advice=(
            Advice(
                "Read from every connection until read() returns 0, also while it is idle in a pool, then close it; "
                "in an event loop keep read interest (EPOLLIN, EPOLLRDHUP) registered",
                "each ends within one round trip of its close()",
                "none",
            ),
            Advice(
                "Until it is mended: restart the process, before its descriptors run out",
                "all of them end at once; the leak starts anew",
                "its other connections are cut",
            ),
        ),
        useless=(
            "any sysctl: Linux has no timer for CLOSE_WAIT; it waits for the application's close() for ever",
            "tcp_keepalive_time: the peer's machine answers the probes while it runs, so the connection stays",
            "tcp_fin_timeout, tcp_tw_reuse: they are about FIN_WAIT_2 and TIME_WAIT, on the other side",
        ),
        connections=rows,
        histogram=Histogram(
            "in this state for at least",
            ("under 10 s", "10 s to 1 min", "1 to 10 min", "10 min to 1 h", "1 h to 1 d", "over 1 d"),
            (0, 0, 20, 112, 1_072, 0),
        ),
        netns="own",
    )


def ports(rows: ConnectionTable) -> Finding:
    """A warning: the ports towards one destination run out."""
    return Finding(
        rule="time-wait-ports-filling",
        severity=Severity.WARNING,
        summary="61% of the ports from 10.0.0.1 to 10.0.0.5:5432 are taken, 1,000 by TIME_WAIT: connect() is "
        "getting slow and fails in 41 s at this rate",
        evidence=(
            Evidence("likely made by", "orders-worker (pid 977)", "", "live siblings"),
            Evidence("ports taken", "1,011 of 1,640", "", "sock_diag, ip_local_port_range"),
            Evidence("made", 32.4, "a second", "their remaining timers"),
            Evidence("this range allows", 27, "a second", "ports / 60 s"),
            Evidence("until none is left", 41 * SECOND, "ns", "rate and remaining timers"),
        ),
        advice=(
            Advice(
                "Keep connections to 10.0.0.5:5432 open and use them again (a pool, HTTP keep-alive)",
                "32 TIME_WAIT a second fewer: the pile is gone 60 s later",
                "none",
            ),
            Advice(
                "sysctl -w net.ipv4.tcp_tw_reuse=1",
                "connect() takes over a TIME_WAIT that is 1 s old: at most about 43 ports are blocked",
                "needs TCP timestamps on both sides",
            ),
        ),
        useless=(
            "tcp_fin_timeout: it is the time of FIN_WAIT_2; TIME_WAIT is 60 s whatever it says",
            "tcp_tw_recycle: gone since Linux 4.12, and it cut off clients behind one NAT",
            "SO_REUSEADDR: it lets a server bind its port again; connect() does not look at it",
        ),
        connections=rows,
        netns="own",
    )


def harmless(rows: ConnectionTable) -> Finding:
    """A note: TIME_WAIT on the server's side."""
    return Finding(
        rule="time-wait-server-side",
        severity=Severity.INFO,
        summary="500 TIME_WAIT at 0.0.0.0:8080: this server closes first. Harmless: they take about 125 KiB and no "
        "port, since all of them share the listening one",
        evidence=(
            Evidence("TIME_WAIT", 500, "connections", "sock_diag"),
            Evidence("memory", 500 * 256, "octets", "256 octets each"),
        ),
        advice=(Advice("Nothing", "each ends 60 s after its close"),),
        useless=(
            "tcp_tw_reuse: it acts on connect() only",
            "ip_local_port_range: an accepted connection takes no port of it",
        ),
        connections=rows,
    )


HEADROOM = (
    Gauge("ports", 1_011, 1_640, "ports", "10.0.0.1 to 10.0.0.5:5432", "sock_diag, ip_local_port_range"),
    Gauge("TIME_WAIT", 1_500, 131_072, "sockets", "", "/proc/net/sockstat, tcp_max_tw_buckets"),
    Gauge("accept queue", 3, 128, "connections", "0.0.0.0:8080", "sock_diag"),
    Gauge("descriptors", 3_911, 4_096, "descriptors", "java (pid 4242)", "/proc/4242/limits"),
    Gauge("orphans", 0, 65_536, "sockets", "", "/proc/net/sockstat"),
)


def busy() -> Report:
    """A host in trouble: an error, a warning, a note."""
    rows = table()
    kind = np.repeat(np.arange(4), (LEAKED, TIME_WAIT, SERVED, OPEN))
    return Report(
        source=Source("host", "web-3", NOW, "6.18.2", ("own",), "0.1.0"),
        findings=(
            leak(rows.select(kind == 0)),
            ports(rows.select(kind == 1)),
            harmless(rows.select(kind == 2)),
        ),
        connections=rows,
        states={"TIME_WAIT": 1_500, "CLOSE_WAIT": 1_204, "ESTABLISHED": 296},
        headroom=HEADROOM,
        unseen=("214 sockets belong to other users, so their processes are not named: run it as root to see them",),
    )


def healthy() -> Report:
    """A host with nothing to tell but its headroom."""
    rows = table()
    rows = rows.select(rows.in_state(State.ESTABLISHED))
    return Report(
        source=Source("host", "web-3", NOW, "6.18.2", ("own",), "0.1.0"),
        connections=rows,
        states={"ESTABLISHED": len(rows)},
        headroom=HEADROOM[1:3],
    )


def quiet() -> Report:
    """A host without a single connection."""
    return Report(source=Source("host", "idle", NOW, "6.18.2", ("own",), "0.1.0"))
