"""What is said of one live socket's process: how the socket came to be, what is done about it, where the code is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from lastack.model.state import State
from lastack.model.time import MILLISECOND, spoken

from .escape import visible
from .view import Fact, counted

if TYPE_CHECKING:
    from lastack.model.host import Doing, Options, Stack, Wait
    from lastack.model.time import Nanos

Row = Mapping[str, str | int | bool | None]
Info = Mapping[str, int | float | bool | str | None]
Group = tuple[str, tuple[Fact, ...]]

_STACKS: Final = 4
"""So many stacks are shown, threads that are at the same place counted as one."""
_FRAMES: Final = 12


def process_groups(row: Row, info: Info, doing: Doing | None, now: Nanos) -> Iterator[Group]:
    """Groups of facts on the process of a socket, given its row (text made safe) and its tcp_info."""
    yield "Use", (*_opened(row, info, now), *_last_read(row, now), *(_use(doing.wait) if doing and doing.wait else ()))
    if doing is None:
        return
    if doing.options is not None and row.get("local_state") != State.LISTEN.name:
        yield "Options", tuple(_options(doing.options))
    if doing.runtime is not None:
        yield "Program", (Fact("runtime", doing.runtime.value),)
    alike: dict[tuple[str, ...], list[Stack]] = {}
    for stack in doing.stacks:
        alike.setdefault(tuple(map(str, stack.frames)), []).append(stack)
    blocked_by = doing.wait.blocked_by if doing.wait else None
    # The thread that waits for this very socket first, then those that are most.
    order = sorted(alike.values(), key=lambda same: (blocked_by not in [stack.tid for stack in same], -len(same)))
    for same in order[:_STACKS]:
        yield _title(same, blocked_by), _frames(same[0])
    if len(order) > _STACKS:
        yield "And", (Fact("at other places", counted(sum(map(len, order[_STACKS:])), "thread")),)


def _opened(row: Row, info: Info, now: Nanos) -> Iterator[Fact]:
    """By which call, and when: as a watch has seen it; else the kernel's clocks of data start with the connection."""
    if row.get("local_state") in (State.LISTEN.name, State.SYN_SENT.name, State.SYN_RECEIVED.name):
        return
    if row.get("opened_by") == "REMOTE":
        listener = row.get("listener")
        yield Fact("opened by", f"accept(){f' at {listener}' if listener else ''}")
    elif row.get("opened_by") == "LOCAL":
        yield Fact("opened by", "connect()")
    seen = row.get("first_ns")
    if isinstance(seen, int):
        yield Fact("opened", f"{spoken(max(now - seen, 0))} ago", "BPF, a running watch")
        return
    sent, received = (_ms(info, f"last_data_{way}") for way in ("sent", "recv"))
    if sent is None or received is None or "data_segs_in" not in info:
        return
    never = [ago for ago, segments in ((sent, "out"), (received, "in")) if not info.get(f"data_segs_{segments}")]
    ago = spoken(never[0] if never else max(sent, received))
    yield Fact("opened", f"{ago} ago{'' if never else ' at least'}", "tcp_info tcpi_last_data_*")


def _ms(info: Info, name: str) -> Nanos | None:
    value = info.get(name)
    return int(value) * MILLISECOND if isinstance(value, int) else None


def _last_read(row: Row, now: Nanos) -> Iterator[Fact]:
    """What the queue tells of reading: an unread end of file counts one octet."""
    unread, came = row.get("recv_q"), row.get("last_data_received_ns")
    if not isinstance(unread, int) or row.get("fd") is None or row.get("local_state") == State.LISTEN.name:
        return
    data = f"{spoken(max(now - came, 0))} ago" if isinstance(came, int) else None
    least, most = (spoken(age) if isinstance(age := row.get(n), int) else None for n in ("age_ns", "age_most_ns"))
    if row.get("local_state") == State.CLOSE_WAIT.name and unread <= 1:
        if unread:
            said = f"before the end of file came{f', so {least} ago or longer' if least else ''}"
        else:
            said = f"the end of file{f', within the last {most}' if most else ''}; no read can give more"
    elif unread:
        said = f"not to the end: {counted(unread, 'octet')} unread{f', the last data came {data}' if data else ''}"
    else:
        said = f"all that came, since the last data {data}" if data else "nothing has come to be read"
    yield Fact("last read", said, "sock_diag idiag_rqueue")


def _use(wait: Wait) -> Iterator[Fact]:
    polled = {True: "yes", False: "no set of its process has it", None: "could not be seen"}[wait.polled]
    yield Fact("watched by epoll", polled, "/proc/PID/fdinfo")
    if wait.blocked is None:
        blocked = "could not be seen"
    else:
        blocked = f"yes: thread {wait.blocked_by}, in {visible(wait.blocked)}" if wait.blocked else "none"
    yield Fact("a thread waits for it", blocked, "/proc/PID/task/TID/syscall")
    asleep = ", ".join(f"{count:,} in {visible(where)}" for where, count in wait.waiting)
    running = f"{wait.threads_running:,} running" if wait.threads_running else ""
    yield Fact("its threads", f"{wait.threads:,}: {', '.join(part for part in (running, asleep) if part)}".rstrip(": "))


def _options(options: Options) -> Iterator[Fact]:
    """Whether a peer that has gone without a word is ever noticed, and what close() will do."""
    idle, every = spoken(options.keepalive_idle_ns), spoken(options.keepalive_interval_ns)
    probes = counted(options.keepalive_probes, "probe")
    on = f"on: after {idle} without data a probe every {every}, given up after {probes}"
    off = "off: while nothing is sent, a peer that has gone without a word is never noticed"
    yield Fact("keepalive", on if options.keepalive else off, "SO_KEEPALIVE")
    if options.user_timeout_ns is not None:
        said = f"what is sent is given up after {spoken(options.user_timeout_ns)} without an ACK"
        yield Fact("user time-out", said, "TCP_USER_TIMEOUT")
    if options.linger_ns is not None:
        said = f"close() waits {spoken(options.linger_ns)} at most" if options.linger_ns else "close() sends a RST"
        yield Fact("linger", said, "SO_LINGER")


def _title(same: list[Stack], blocked_by: int | None) -> str:
    names = visible(same[0].thread) or str(same[0].tid)
    title = f"Stack of thread {names}" if len(same) == 1 else f"Stack of {len(same):,} threads, {names} one of them"
    return f"{title}, which waits for this socket" if blocked_by in [stack.tid for stack in same] else title


def _frames(stack: Stack) -> tuple[Fact, ...]:
    """The innermost calls, the innermost first."""
    return tuple(
        Fact(visible(frame.function), visible(f"{frame.file}:{frame.line}")) for frame in stack.frames[:_FRAMES]
    )
