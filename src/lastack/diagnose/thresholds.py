"""Every number that a rule compares with, in one table; the documentation is generated from it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, NamedTuple, get_type_hints

from lastack.model.time import MINUTE, SECOND, Nanos, spoken


class Limit(NamedTuple):
    """The unit of a threshold and what it is for."""

    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as much, as old, as full. `--min-age` sets the first."""

    min_age_ns: Annotated[Nanos, Limit("ns", "a closing state younger than this is lawful and not spoken of")] = (
        60 * SECOND
    )
    close_wait_error: Annotated[
        int, Limit("connections", "CLOSE_WAIT of one owner and cause from which it is an error")
    ] = 20
    close_wait_share: Annotated[float, Limit("share", "of the owner's descriptor limit, from which it is an error")] = (
        0.10
    )
    busy_patience: Annotated[
        float,
        Limit("times the oldest age", "CLOSE_WAIT that would all end by themselves within this are a busy server's"),
    ] = 3.0
    ports_warning: Annotated[
        float, Limit("share", "of the port range towards one destination: connect() slows down")
    ] = 0.50
    ports_error: Annotated[float, Limit("share", "of the port range that cannot be taken again at once")] = 0.90
    exhaustion_soon_ns: Annotated[Nanos, Limit("ns", "until no port is left, from which it is an error")] = 60 * SECOND
    births_window_ns: Annotated[Nanos, Limit("ns", "the last part of TIME_WAIT's 60 s that births are counted in")] = (
        10 * SECOND
    )
    time_wait_notable: Annotated[
        int, Limit("connections", "TIME_WAIT of a listener, or against a setting, worth a word")
    ] = 1_000
    time_wait_full: Annotated[float, Limit("share", "of tcp_max_tw_buckets")] = 0.80
    fin_wait_2_notable: Annotated[
        int, Limit("connections", "FIN_WAIT_2 that nobody owns, from which they are told")
    ] = 50
    fin_wait_2_warning: Annotated[
        int, Limit("connections", "FIN_WAIT_2 of one owner, silent, from which it is a warning")
    ] = 20
    pile: Annotated[int, Limit("connections", "FIN_WAIT_1, LAST_ACK or CLOSING that are a pile")] = 20
    syn_queue_warning: Annotated[float, Limit("share", "of the SYN queue's limit")] = 0.50
    accept_queue_warning: Annotated[float, Limit("share", "of the accept queue's limit")] = 0.50
    accept_queue_few: Annotated[int, Limit("connections", "waiting for accept(): fewer do not fill a queue")] = 3
    most: Annotated[float, Limit("share", "of a group, from which something is said of all of it")] = 0.50
    dominant: Annotated[float, Limit("times the others", "by which one kind of TIME_WAIT outnumbers them")] = 10.0
    idle_ns: Annotated[Nanos, Limit("ns", "without data either way: idle")] = 15 * MINUTE
    forgotten_ns: Annotated[Nanos, Limit("ns", "silence after which common load balancers and NATs forget")] = (
        350 * SECOND
    )
    descriptors_warning: Annotated[float, Limit("share", "of RLIMIT_NOFILE in use")] = 0.80
    descriptors_error: Annotated[float, Limit("share", "of RLIMIT_NOFILE in use")] = 0.95
    orphans_warning: Annotated[float, Limit("share", "of tcp_max_orphans")] = 0.50
    memory_warning: Annotated[float, Limit("share", "of tcp_mem's third number")] = 0.80
    conntrack_warning: Annotated[float, Limit("share", "of nf_conntrack_max")] = 0.80
    limit_error: Annotated[float, Limit("share", "of tcp_mem, conntrack or orphans, from which it is an error")] = 0.95
    slow_close_ns: Annotated[Nanos, Limit("ns", "in CLOSE_WAIT, in a capture, from which a close is late")] = SECOND
    silence_ns: Annotated[Nanos, Limit("ns", "of silence before a RST, in a capture: the path has forgotten")] = (
        30 * SECOND
    )
    repeated_answers: Annotated[
        int, Limit("connections", "of a server with repeated SYN or SYN,ACK, in a capture, worth a word")
    ] = 3
    resets: Annotated[int, Limit("connections", "of a server ended by RST, in a capture, worth a word")] = 10
    reuses: Annotated[int, Limit("connections", "of a server whose four-tuple is used again within 60 s")] = 3
    closed_windows: Annotated[int, Limit("times", "that a window is shut in one connection, worth a word")] = 3


def threshold_rows() -> list[tuple[str, str, str]]:
    """(name, value with its unit, meaning) of every threshold, for the documentation."""
    limits = get_type_hints(Thresholds, include_extras=True)
    rows = []
    for entry in fields(Thresholds):
        limit: Limit = limits[entry.name].__metadata__[0]
        rows.append(
            (entry.name.removesuffix("_ns"), _said(getattr(Thresholds(), entry.name), limit.unit), limit.meaning)
        )
    return rows


def _said(value: float, unit: str) -> str:
    if unit == "ns":
        return spoken(int(value))
    return f"{value:.0%}" if unit == "share" else f"{value:,} {unit}"
