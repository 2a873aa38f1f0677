"""What is said of one live socket: what its state waits for, its times, queues and owner, its tcp_info in groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from lastack.model.close import Closer
from lastack.model.state import State
from lastack.model.time import MICROSECOND, MILLISECOND, Nanos, spoken

from .columns import listed
from .escape import visible
from .process_view import process_groups
from .view import NAMED, Fact, counted, quantity

if TYPE_CHECKING:
    from lastack.model.host import Doing
    from lastack.model.record import ConnectionTable

Info = Mapping[str, int | float | bool | str | None]

WAITS_FOR: Final[Mapping[str, str]] = {
    State.ESTABLISHED.name: "data, or either side's close",
    State.SYN_SENT.name: "the peer's SYN-ACK; the SYN is sent again tcp_syn_retries times",
    State.SYN_RECEIVED.name: "the peer's ACK of the SYN-ACK, sent again tcp_synack_retries times",
    State.FIN_WAIT_1.name: "the ACK of our FIN; sent again tcp_orphan_retries times once nobody owns the socket",
    State.FIN_WAIT_2.name: "the peer's FIN: its application has not closed; tcp_fin_timeout ends it only if orphaned",
    State.TIME_WAIT.name: "its 60 s to pass, so that old segments die; no setting changes them",
    State.CLOSED.name: "nothing",
    State.CLOSE_WAIT.name: "this host's application to call close(); the peer has closed; no timer ends it",
    State.LAST_ACK.name: "the ACK of our FIN, the last segment of the connection",
    State.LISTEN.name: "connections",
    State.CLOSING.name: "the ACK of our FIN; both sides closed at once",
}
"""What ends each state (RFC 9293 3.3.2; Linux's timers from tcp(7) and tcp_minisocks.c)."""

_US, _MS, _OCTETS, _SEGMENTS, _RATE = "us", "ms", "octets", "segments", "octets a second"


class Field(NamedTuple):
    """One field of tcp_info by its kernel name without `tcpi_`, what it means, and its unit."""

    name: str
    meaning: str
    unit: str = ""


TCP_INFO: Final[tuple[tuple[str, tuple[Field, ...]], ...]] = (
    ("Round trip", (
        Field("rtt", "smoothed", _US), Field("rttvar", "variation", _US), Field("min_rtt", "smallest", _US),
        Field("rcv_rtt", "as receiver", _US), Field("rto", "retransmission time-out", _US),
        Field("ato", "delayed ACK", _US),
    )),
    ("Quiet since", (
        Field("last_data_sent", "data sent", _MS), Field("last_data_recv", "data received", _MS),
        Field("last_ack_recv", "ACK received", _MS),
    )),
    ("In flight", (
        Field("unacked", "not acknowledged", _SEGMENTS), Field("sacked", "SACKed", _SEGMENTS),
        Field("lost", "held lost", _SEGMENTS), Field("retrans", "sent again, outstanding", _SEGMENTS),
        Field("notsent_bytes", "not yet sent", _OCTETS),
    )),
    ("Sent again", (
        Field("total_retrans", "retransmissions", _SEGMENTS), Field("bytes_retrans", "of data", _OCTETS),
        Field("retransmits", "unanswered in a row"), Field("backoff", "doublings of the time-out"),
        Field("probes", "unanswered probes"), Field("dsack_dups", "sent twice for nothing", _SEGMENTS),
        Field("reordering", "reordering seen", _SEGMENTS), Field("total_rto", "time-outs"),
        Field("ca_state", "congestion state"),
    )),
    ("Windows", (
        Field("snd_cwnd", "congestion window", _SEGMENTS), Field("snd_ssthresh", "slow-start threshold", _SEGMENTS),
        Field("snd_wnd", "offered by the peer", _OCTETS), Field("rcv_wnd", "offered to the peer", _OCTETS),
        Field("rcv_space", "receive buffer goal", _OCTETS), Field("rcv_ssthresh", "receive window's limit", _OCTETS),
    )),
    ("Carried", (
        Field("bytes_sent", "sent", _OCTETS), Field("bytes_acked", "acknowledged by the peer", _OCTETS),
        Field("bytes_received", "received", _OCTETS), Field("segs_out", "sent", _SEGMENTS),
        Field("segs_in", "received", _SEGMENTS), Field("data_segs_out", "with data sent", _SEGMENTS),
        Field("data_segs_in", "with data received", _SEGMENTS),
    )),
    ("Rate", (
        Field("delivery_rate", "delivered", _RATE), Field("pacing_rate", "paced at", _RATE),
        Field("max_pacing_rate", "paced at most", _RATE), Field("busy_time", "busy sending", _US),
        Field("rwnd_limited", "held by the peer's window", _US), Field("sndbuf_limited", "held by our buffer", _US),
    )),
    ("Sizes", (
        Field("snd_mss", "segment sent", _OCTETS), Field("rcv_mss", "segment received", _OCTETS),
        Field("advmss", "advertised", _OCTETS), Field("pmtu", "path MTU", _OCTETS),
    )),
)  # fmt: skip
"""tcp_info's fields (include/uapi/linux/tcp.h) by what they are about; the rest comes after them."""

_SCALE: Final = {_US: MICROSECOND, _MS: MILLISECOND}
_UNLIMITED: Final = frozenset({("snd_ssthresh", 0x7FFF_FFFF), ("max_pacing_rate", (1 << 64) - 1)})
_OWNER: Final = (
    ("fd", "descriptor"), ("holders", "processes holding it"), ("uid", "user id"), ("unit", "unit"),
    ("container", "container"), ("listener", "listener"), ("netns", "network namespace"), ("inode", "inode"),
    ("cookie", "cookie"),
)  # fmt: skip


class SocketPage(NamedTuple):
    """What is shown of one socket: its title, its state in words, and groups of facts."""

    title: str
    state: str
    waits_for: str
    groups: tuple[tuple[str, tuple[Fact, ...]], ...]


def socket_page(table: ConnectionTable, info: Info | None, now: Nanos, doing: Doing | None = None) -> SocketPage:
    """What is said of the only row of `table`, with its tcp_info by the kernel's names (`tcpi_` or not), if any.

    `now` is when it was taken, Unix ns; `doing` what its process does. tcp_info's times are in the kernel's units: us,
    and ms for `last_*`.
    """
    row = {name: visible(value) if isinstance(value, str) else value for name, value in table.row(0).items()}
    state = str(row.get("local_state") or "unknown")
    local, remote = (listed(table, side, now)[1][0] for side in ("local", "remote"))
    groups = [
        ("Time", _times(row, now)),
        ("Queues", _queues(row)),
        ("Owner", _owner(row, doing)),
        *process_groups(row, {name.removeprefix("tcpi_"): value for name, value in (info or {}).items()}, doing, now),
        *_tcp_info(info or {}),
    ]
    return SocketPage(
        f"{local} -> {remote}", state, WAITS_FOR.get(state, "not known"), tuple((n, f) for n, f in groups if f)
    )


Row = Mapping[str, str | int | bool | None]


def _number(row: Row, name: str) -> int | None:
    value = row.get(name)
    return value if isinstance(value, int) else None


def _times(row: Row, now: Nanos) -> tuple[Fact, ...]:
    facts = []
    least, most = _number(row, "age_ns"), _number(row, "age_most_ns")
    if least is not None:
        longest = "" if most is None or spoken(most) == spoken(least) else f", {spoken(most)} at most"
        facts.append(Fact("in this state", f"{spoken(least)}{'' if most == least else ' at least'}{longest}"))
    if (opened := _number(row, "first_ns")) is not None:
        by = "connect()" if row.get("opened_by") == Closer.LOCAL.name else "the peer"
        facts.append(Fact("opened", f"{spoken(max(now - opened, 0))} ago, by {by}"))
    timer, expires = row.get("timer"), _number(row, "timer_expires_ns")
    if timer is not None:
        when = f", expires in {spoken(max(expires - now, 0))}" if expires is not None and timer != "OFF" else ""
        facts.append(Fact("timer", "none armed" if timer == "OFF" else f"{str(timer).lower().replace('_', ' ')}{when}"))
    if retransmits := _number(row, "retransmits"):
        facts.append(Fact("unanswered in a row", f"{retransmits:,}"))
    for name, label in (
        ("last_ack_received_ns", "last ACK received"),
        ("last_data_received_ns", "last data received"),
        ("last_data_sent_ns", "last data sent"),
    ):
        if (instant := _number(row, name)) is not None:
            facts.append(Fact(label, f"{spoken(max(now - instant, 0))} ago"))
    return tuple(facts)


def _queues(row: Row) -> tuple[Fact, ...]:
    facts = []
    received, sent = _number(row, "recv_q"), _number(row, "send_q")
    if row.get("local_state") == State.LISTEN.name:
        return () if received is None else (Fact("accept queue", f"{received:,} of {sent or 0:,}"),)
    if received is not None:
        facts.append(Fact("received, unread", f"{counted(received, 'octet')}{_fin_note(row, received)}"))
    if sent is not None:
        facts.append(Fact("sent, unacknowledged", counted(sent, "octet")))
    return tuple(facts)


def _fin_note(row: Row, received: int) -> str:
    if row.get("local_state") != State.CLOSE_WAIT.name:
        return ""
    if received == 0:
        return ": the application has read the end of file"
    if received == 1:
        return ": only the peer's FIN, which counts 1: nobody has read the end of file"
    return f": {received - 1:,} of data and the peer's FIN"


def _owner(row: Row, doing: Doing | None) -> tuple[Fact, ...]:
    process = []
    if row.get("pid") is not None:
        name = "process" if row.get("inode") else "closed by"
        process.append(Fact(name, f"{row.get('command') or '?'}, pid {row['pid']}"))
    elif row.get("inode") == 0:
        process.append(Fact("process", "none: never accepted, or closed by its process already"))
    others = [f"{visible(each.command)}, pid {each.pid}" for each in (doing.also if doing else ())]
    if others:
        more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        process.append(Fact("held too by", "; ".join(others[:NAMED]) + more))
    told = ((label, name, row.get(name)) for name, label in _OWNER)
    untold = {("inode", 0), ("netns", "own")}
    return (*process, *(Fact(label, str(v)) for label, name, v in told if v is not None and (name, v) not in untold))


def _tcp_info(info: Info) -> list[tuple[str, tuple[Fact, ...]]]:
    """The fields in their groups; those that are zero are only named, in a group of their own."""
    left = {name.removeprefix("tcpi_"): value for name, value in info.items() if value is not None}
    left.pop("state", None)
    zero = ", ".join(visible(name) for name, value in left.items() if value in (0, ""))
    groups = []
    for title, fields in TCP_INFO:
        known = ((field, left.pop(field.name, None)) for field in fields)
        groups.append((title, tuple(Fact(f.meaning, _amount(f, value), f.name) for f, value in known if value)))
    other = tuple(Fact(visible(name), _plain(value)) for name, value in left.items() if value)
    return [*groups, ("Other", other), ("Zero", (Fact("tcp_info", zero),) if zero else ())]


def _amount(field: Field, value: int | float | bool | str) -> str:
    if (field.name, value) in _UNLIMITED:
        return "no limit"
    if isinstance(value, str) or field.unit not in _SCALE:
        return quantity(value, field.unit)
    duration = round(value * _SCALE[field.unit])
    if duration < MILLISECOND:
        return f"{duration // MICROSECOND} us"
    return f"{duration / MILLISECOND:.1f} ms" if duration < 10 * MILLISECOND else spoken(duration)


def _plain(value: int | float | bool | str) -> str:
    return "yes" if value is True else quantity(value, "")
