"""Whether timestamps make TIME_WAIT superfluous."""

from __future__ import annotations

from typing import Final

from lastack.errors import CallError
from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed, finished, opened, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import MILLISECOND, SECOND
from lastack.wire.flags import RST
from lastack.wire.segment import Segment
from lastack.wire.seq import add

_ONE_PORT = {"ip_local_port_range": "40000 40000"}
_SIX_PORTS: Final[dict[str, int | str]] = {"ip_local_port_range": "40000 40005", "tcp_tw_reuse": 1}
_OLD = b"order 2;"
_WRAPPED: Final = -(1 << 31) - 1000
_LATE: Final = (
    ("an old segment", None, 0),
    ("an old segment with an equal timestamp", 0, 0),
    ("an old segment whose timestamp is 2^31 ms and a second older", _WRAPPED, 0),
    ("an old RST", None, RST),
)
"""(title, how much newer its timestamp is than the last one, None: as it was, flags instead of its own)."""


def run(lab: Lab) -> Outcome:
    """Without TIME_WAIT but with timestamps: late segments of every kind, and a last ACK that is lost."""
    found: dict[str, str] = {}
    for title, newer, flags in _LATE:
        with lab.scene(f"no TIME_WAIT, timestamps; {title}", client=_ONE_PORT, tcp_max_tw_buckets=0) as bench:
            found[title] = _late(bench, newer, flags)
    with lab.scene("no TIME_WAIT, timestamps; the last ACK is lost", tcp_max_tw_buckets=0) as bench:
        error = _last_ack_lost(bench)
    with lab.scene(
        "tcp_tw_reuse = 1: three old TIME_WAIT, three young ones", client=_SIX_PORTS, tcp_rfc1337=STEADY
    ) as bench:
        old, young, by_age = _which_are_taken(bench)
    harmed = [title for title, text in found.items() if text not in ("order 7;order 8;", "EADDRNOTAVAIL")]
    facts = (
        *(Fact(f"{title}: the new server reads", text) for title, text in found.items()),
        Fact("the last ACK is lost: the peer's error", error or "none"),
        Fact("TIME_WAIT older than a second that connect() takes, of 3", old),
        Fact("TIME_WAIT younger than a second that connect() takes, of 3", young),
        Fact("connect() takes them in the order of their age", by_age, near=None),
    )
    return Outcome(Verdict.FALSE if harmed or error else Verdict.HOLDS, facts)


def _late(bench: Bench, newer: int | None, flags: int) -> str:
    """What the server reads in a second connection between whose two orders something of the first one comes."""
    listener = bench.server.listen(80, so_reuseaddr=True)
    to = (bench.server.address, 80)
    here, there = opened(bench, listener, bench.client, to)
    for order in (b"order 1;", _OLD):
        here.send(order)
        bench.until(there.receive, 10 * SECOND)
    closed(bench, here, there)
    former = segments(bench, bench.client)
    try:
        here, there = opened(bench, listener, bench.client, to, tcp_queue_seq=former[0].seq)
    except CallError as error:
        return error.code or str(error)
    here.send(b"order 7;")
    text = bench.until(there.receive, 10 * SECOND)
    last = segments(bench, bench.client)[-1]
    late = next(segment for segment in former if segment.payload == _OLD).copy()
    if flags:
        late = Segment(late.src_port, late.dst_port, late.seq, 0, flags, 0)
    else:
        late.ack = last.ack
        if newer is not None:
            late.ts_value = add(last.ts_value or 0, newer)
    bench.inject(bench.sent_by(bench.client)[-1].with_segment(late), bench.client, "late: of the old connection")
    bench.wait(100 * MILLISECOND)
    here.attempt(lambda: here.send(b"order 8;"))
    bench.wait(400 * MILLISECOND)
    try:
        return (text + (there.receive() or b"")).decode()
    except CallError as error:
        return error.code or str(error)


def _last_ack_lost(bench: Bench) -> str | None:
    """The error of a peer whose FIN's ACK is lost."""
    here, there = bench.connection()
    here.shutdown()
    bench.until(lambda: there.receive() == b"", 10 * SECOND)
    there.shutdown()
    before = len(bench.sent_by(bench.client))
    bench.forth.fate.up = False
    bench.until(lambda: len(bench.sent_by(bench.client)) > before, 10 * SECOND)
    bench.forth.fate.up = True
    finished(bench, here)
    bench.ended(there, 10 * SECOND)
    return there.error


def _which_are_taken(bench: Bench) -> tuple[int, int, bool]:
    """How many of three TIME_WAIT older than a second connect() takes, how many of three younger, and whether by age."""
    listener = bench.server.listen(80)
    to = (bench.server.address, 80)
    pairs = [opened(bench, listener, bench.client, to) for _ in range(6)]
    for pair in pairs[:3]:
        closed(bench, *pair)
    bench.wait(1100 * MILLISECOND)
    for pair in pairs[3:]:
        closed(bench, *pair)
    taken: list[int] = []
    try:
        while len(taken) < len(pairs):
            taken.append(bench.client.connect(*to).four.local.port)
    except CallError:
        pass
    old = [here.four.local.port for here, _ in pairs[:3]]
    return len(set(old) & set(taken)), len(set(taken) - set(old)), taken == old


EXPERIMENT = Experiment(
    name="timestamps-replace-2msl",
    chapter="time-wait",
    claim=Words(
        "With timestamps the problem that 2 MSL solves no longer exists.",
        "启用时间戳之后，2MSL 要解决的问题就不存在了。",
    ),
    source=Words(
        "one article, which adds that connect() takes a random TIME_WAIT older than a second",
        "一篇文章，并说 connect() 会随机取一个超过 1 秒的 TIME_WAIT",
    ),
    lesson=Words(
        "Timestamps do the greater part: an old segment is refused (PAWS) even if its numbers fit. They do not repeat the "
        "last ACK: without TIME_WAIT a peer whose FIN was not acknowledged gets a RST and an error. They do not look at "
        "RSTs, cannot tell what was sent within the same millisecond, and turn over after 24.8 days. That is why Linux lets "
        "connect() take a port over only after a whole second, and never at once. It takes any TIME_WAIT that is old enough, "
        "in the order of its search for ports, not the oldest. Use tcp_tw_reuse = 1 with timestamps; never do without TIME_WAIT.",
        "时间戳解决了大部分问题：即使序列号吻合，旧报文段也会被拒绝（PAWS）。但它不会重发最后的 ACK：没有 TIME_WAIT 时，FIN 没得到确认的对端收到的是 RST 和一个错误；"
        "它也不检查 RST，分不清同一毫秒内发出的报文，而且 24.8 天回绕一次。所以 Linux 要求满一秒之后 connect() 才能接手端口；"
        "接手的是按端口查找顺序遇到的第一个满一秒的 TIME_WAIT，并不挑最老的。可以用 tcp_tw_reuse = 1 加时间戳，但不要完全去掉 TIME_WAIT。",
    ),
    run=run,
    expected=Verdict.FALSE,
    counter={"tcp_max_tw_buckets": 1000},
    flips_to=Verdict.HOLDS,
    picture=(4, 0),
    kernel_s=6.0,
)
