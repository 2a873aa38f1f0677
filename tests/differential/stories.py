"""What takes time: who gives up when, what is sent again when, and what becomes of a connection that nobody holds.

Each story is told in a namespace with the sysctls it names. Pauses are as short as the kernel allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from lastack.wire.icmp import Problem
from lastack.wire.seq import MASK

from .peer import Peer
from .situations import SITUATIONS, WRITE
from .told import Settings, Story

SIZE: Final = 1388
"""What a segment carries to a peer that takes 1400 and has timestamps; without, it is a small one."""


# -- SO_LINGER


def linger_until_the_fin_is_acknowledged(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("linger", 2)
    peer.call("close")
    peer.host_nxt += 1
    yield 300
    peer.say(".", ack=peer.host_nxt)
    yield 100


def linger_until_the_time_is_over(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("linger", 1)
    peer.call("close")
    peer.host_nxt += 1
    yield 1200
    peer.say(".", ack=peer.host_nxt)
    yield 100
    peer.say("F.", ack=peer.host_nxt)
    yield 100


def linger_and_text_arrives(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("linger", 1)
    peer.call("close")
    yield 50
    peer.say("P.", octets=10)
    yield 50


def linger_and_crossing_fins(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("linger", 1)
    peer.call("close")
    peer.host_nxt += 1
    peer.say("F.")
    peer.nxt += 1
    yield 50
    peer.say(".", ack=peer.host_nxt)
    yield 50


def linger_with_unread_text(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED, unread"](peer)
    peer.call("linger", 1)
    peer.call("close")
    yield 50


def linger_in_last_ack(peer: Peer) -> Iterator[int]:
    SITUATIONS["CLOSE_WAIT"](peer)
    peer.call("linger", 1)
    peer.call("close")
    peer.host_nxt += 1
    yield 1100
    peer.say(".", ack=peer.host_nxt)
    yield 50


def linger_in_fin_wait_2(peer: Peer) -> Iterator[int]:
    SITUATIONS["FIN_WAIT_2"](peer)
    peer.call("linger", 1)
    peer.call("close")
    yield 50


# -- FIN_WAIT_2


def _linger2(seconds: int) -> Story:
    def happen(peer: Peer) -> Iterator[int]:
        SITUATIONS["ESTABLISHED"](peer)
        peer.call("tcp_linger2", seconds)
        peer.call("close")
        peer.host_nxt += 1
        peer.say(".", ack=peer.host_nxt)
        yield 1600
        peer.say("F.", ack=peer.host_nxt)
        yield 100

    return happen


def _linger2_held(seconds: int) -> Story:
    def happen(peer: Peer) -> Iterator[int]:
        SITUATIONS["FIN_WAIT_2"](peer)
        peer.call("tcp_linger2", seconds)
        yield 50
        peer.call("close")
        yield 1600
        peer.say("F.", ack=peer.host_nxt)
        yield 100

    return happen


def _orphan(flags: str, by: int, octets: int = 0) -> Story:
    """An orphan's FIN is acknowledged by a segment that also brings something else."""

    def happen(peer: Peer) -> Iterator[int]:
        SITUATIONS["FIN_WAIT_1, closed"](peer)
        peer.say(flags, peer.nxt + by, ack=peer.host_nxt, octets=octets)
        yield 1500
        peer.say("F.", ack=peer.host_nxt)
        yield 100

    return happen


# -- keepalive


def _keepalive(situation: str, answered: int = 0, **options: int) -> Story:
    settings = {"tcp_keepidle": 1, "tcp_keepintvl": 1, "tcp_keepcnt": 2, "so_keepalive": 1, **options}

    def happen(peer: Peer) -> Iterator[int]:
        SITUATIONS[situation](peer)
        for name, value in settings.items():
            peer.call(name, value)
        for _ in range(answered):
            yield 1200
            peer.say(".", ack=peer.host_nxt if situation != "ESTABLISHED, unanswered" else None)
        yield 3800
        peer.call("read")

    return happen


def keepalive_reset(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("tcp_keepidle", 1)
    peer.call("so_keepalive", 1)
    yield 1200
    peer.say("R", peer.nxt)
    peer.call("read")
    yield 50


def keepalive_off_again(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("tcp_keepidle", 1)
    peer.call("so_keepalive", 1)
    yield 500
    peer.call("so_keepalive", 0)
    yield 1000


def keepalive_text_meanwhile(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("tcp_keepidle", 1)
    peer.call("so_keepalive", 1)
    yield 700
    peer.say("P.", octets=10)
    peer.nxt += 10
    yield 700
    peer.call("write", 10)
    yield 100


# -- giving up


def _silence(situation: str, pause: int, *options: tuple[str, int], event: str = "", then: str = "write") -> Story:
    """The peer says nothing more."""

    def happen(peer: Peer) -> Iterator[int]:
        opening = situation.startswith(("SYN_", "LISTEN"))
        if opening:
            for name, value in options:
                peer.call(name, value)
        SITUATIONS[situation](peer)
        if not opening:
            for name, value in options:
                peer.call(name, value)
        if event == "write":
            peer.call("write", 10)
        elif event == "shut":
            peer.say(".", window=0)
            peer.call("write", 10)
        elif event:
            peer.call(event, WRITE)
        yield pause
        if situation != "SYN_RECEIVED":
            peer.call("read")
        if situation not in ("SYN_RECEIVED", "SYN_SENT"):
            peer.call(then, 10)

    return happen


def syn_received_asked_again(peer: Peer) -> Iterator[int]:
    SITUATIONS["SYN_RECEIVED"](peer)
    yield 600
    peer.say("S", 0)
    yield 1800


# -- ICMP


def _complaint(situation: str, problem: Problem, seq: int = 0, mtu: int = 0, pause: int = 300) -> Story:
    """`seq`: from what the host has sent last."""

    def happen(peer: Peer) -> Iterator[int]:
        SITUATIONS[situation](peer)
        if situation.startswith("ESTABLISHED"):
            peer.call("write", 10)
        yield 20
        base = peer.furthest - 1
        peer.complain(problem, base + seq, mtu)
        # What the handshake takes is measured, and counts threefold in the time-out.
        yield 40 if situation == "SYN_RECEIVED" else pause
        if situation == "SYN_RECEIVED":
            peer.say(".", 1, 1)
            peer.call("accept")
        peer.call("read")
        if situation != "SYN_SENT":
            peer.call("write", 10)
        yield 50

    return happen


def complaint_before_giving_up(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("write", 10)
    yield 20
    peer.complain(Problem.HOST_UNREACHABLE, peer.host_nxt)
    yield 4000
    peer.call("read")
    peer.call("read")


def complaint_reverts_the_backing_off(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("write", 10)
    yield 1000
    peer.complain(Problem.HOST_UNREACHABLE, peer.host_nxt)
    yield 1500


def complaint_about_an_orphan(peer: Peer) -> Iterator[int]:
    SITUATIONS["FIN_WAIT_1, closed"](peer)
    yield 300
    peer.complain(Problem.HOST_UNREACHABLE, peer.host_nxt - 1)
    yield 1500


def too_big(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("tcp_nodelay", 1)
    # One segment at a time: a kernel cuts an aggregate of several (TSO) elsewhere.
    for _ in range(3):
        peer.call("write", 1300)
    yield 20
    peer.complain(Problem.TOO_BIG, peer.host_nxt, 1000)
    yield 20
    peer.say(".", ack=peer.host_nxt + 3900)
    peer.call("write", 900)
    peer.call("write", 900)
    yield 20
    peer.complain(Problem.TOO_BIG, peer.host_nxt + 3900, 1400)
    yield 20
    peer.complain(Problem.TOO_BIG, peer.host_nxt + 3900, 100)
    yield 20


def too_big_for_what_is_not_out(peer: Peer) -> Iterator[int]:
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("write", 4000)
    yield 20
    peer.complain(Problem.TOO_BIG, peer.host_nxt + 100_000, 1000)
    yield 20


# -- many


def defer_accept(peer: Peer) -> Iterator[int]:
    SITUATIONS["SYN_RECEIVED"](peer)
    peer.say(".")
    peer.call("accept")
    yield 1300
    peer.call("accept")
    peer.say(".")
    peer.call("accept")
    yield 100


def defer_accept_text(peer: Peer) -> Iterator[int]:
    SITUATIONS["SYN_RECEIVED"](peer)
    peer.say(".")
    peer.call("accept")
    yield 200
    peer.say("P.", octets=10)
    peer.call("accept")
    yield 100


def _deferring(story: Story, seconds: int) -> Story:
    def happen(peer: Peer) -> Iterator[int]:
        peer.call("tcp_defer_accept", seconds)
        yield from story(peer)

    return happen


def _cookie(by: int = 0, octets: int = 0, fin: bool = False) -> Story:
    def happen(peer: Peer) -> Iterator[int]:
        SITUATIONS["SYN_RECEIVED"](peer)
        yield 1300
        peer.say("F." if fin else "P." if octets else ".", ack=1 + by, octets=octets)
        if fin:
            # Its ACK waits for a tick of the clock.
            yield 50
        peer.call("accept")
        peer.nxt += octets
        yield 50
        peer.call("read")
        peer.call("write", 1500)
        yield 50

    return happen


def cookie_asked_for_again(peer: Peer) -> Iterator[int]:
    SITUATIONS["SYN_RECEIVED"](peer)
    yield 100
    peer.say("S", 0)
    peer.say(".")
    peer.call("accept")
    yield 50


def _crowd(
    backlog: int,
    comers: int,
    *,
    complete: bool = True,
    text: bool = False,
    pause: int = 1300,
    accepts: int = 0,
) -> Story:
    """More come than there is room for."""

    def happen(peer: Peer) -> Iterator[int]:
        peer.call("listen", backlog)
        for number in range(comers):
            peer.turn_to(number)
            peer.say("S")
            peer.nxt = peer.una = peer.host_nxt = 1
            if complete:
                peer.say(".")
            if text:
                peer.say("P.", octets=10)
        if not complete:
            # Which of them the queue gives up is a matter of the order in which timers of one tick go off.
            peer.turn_to(comers)
            peer.alike = True
        yield pause
        for _ in range(accepts):
            peer.call("accept")
        if text:
            peer.say("P.", octets=10)
            peer.call("accept")
        yield 100

    return happen


def _time_wait(flags: str, by: int = 0) -> Story:
    def happen(peer: Peer) -> Iterator[int]:
        SITUATIONS["TIME_WAIT"](peer)
        yield 800
        peer.say(flags, peer.nxt + by)
        yield 100

    return happen


def _often(situation: str, flags: str, by: int = 0, octets: int = 0, age: int = 0) -> Story:
    """The same four times, and once more after a while."""

    def happen(peer: Peer) -> Iterator[int]:
        SITUATIONS[situation](peer)
        for _ in range(4):
            peer.say(flags, peer.nxt + by, octets=octets, age=age)
        yield 530
        peer.say(flags, peer.nxt + by, octets=octets, age=age)
        yield 10

    return happen


# -- loss, and what only looked like it


def full(peer: Peer, segments: int = 10) -> None:
    """So many full segments are out, one for one."""
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("tcp_nodelay", 1)
    for _ in range(segments):
        peer.call("write", SIZE)
    peer.watched = True


def acknowledge(peer: Peer, segments: int, *holes: tuple[int, int], echo: int = 0) -> None:
    """Acknowledge so many, and report ranges of segments; `echo`: how much older than the last stamp that is echoed."""
    base = peer.host_nxt

    def number(segment: int) -> int:
        return ((peer.iss or 0) + base + segment * SIZE) & MASK

    fields: dict[str, Any] = {}
    if holes and peer.modern:
        fields["sack"] = tuple((number(left), number(right)) for left, right in holes)
    if peer.modern:
        fields["ts_echo"] = (peer.heard_stamp - echo) & MASK
    peer.say(".", ack=base + segments * SIZE, **fields)


def _after_a_time_out(*acks: tuple[Any, ...], more: int = 0, echo: int = 0, segments: int = 10) -> Story:
    """All that is out seems lost; then ACKs come. `more`: so many segments are written before they do."""

    def happen(peer: Peer) -> Iterator[int]:
        full(peer, segments)
        yield 560
        for _ in range(more):
            peer.call("write", SIZE)
        yield 10
        for covered, *holes in acks:
            acknowledge(peer, covered, *holes, echo=echo)
            yield 15

    return happen


def _after_a_fast_retransmission(*acks: tuple[Any, ...], echo: int = 0, more: int = 0, pause: int = 15) -> Story:
    def happen(peer: Peer) -> Iterator[int]:
        full(peer)
        for _ in range(more):
            peer.call("write", SIZE)
        for end in (3, 4, 5, 6):
            acknowledge(peer, 0, (2, end))
            yield 3
        yield 10
        for covered, *holes in acks:
            acknowledge(peer, covered, *holes, echo=echo)
            yield pause

    return happen


def _tail_probe(*acks: tuple[Any, ...]) -> Story:
    """The last of three is asked about; then ACKs come, and three more are sent."""

    def happen(peer: Peer) -> Iterator[int]:
        full(peer, 3)
        yield 200
        for covered, *holes in acks:
            acknowledge(peer, covered, *holes)
            yield 5
        for _ in range(3):
            peer.call("write", SIZE)
        acknowledge(peer, 6)
        yield 20

    return happen


def _overtaken(*acks: tuple[Any, ...], apart: int = 2, then: int = 0, echo: int = 0) -> Story:
    """Ten are out, of which some overtake others; `then`: so many more are sent, of which a first one is overtaken."""

    def happen(peer: Peer) -> Iterator[int]:
        full(peer)
        for covered, *holes in acks:
            acknowledge(peer, covered, *holes, echo=echo)
            yield apart
        if then:
            for _ in range(then):
                peer.call("write", SIZE)
            yield 5
            for end in range(12, 10 + then + 1):
                acknowledge(peer, 10, (11, end))
                yield 3
            yield 100
            acknowledge(peer, 10 + then)
            yield 20

    return happen


def a_partial_acknowledgement(peer: Peer) -> Iterator[int]:
    """Three duplicates, and then more than the first is acknowledged, of what was sent before."""
    full(peer)
    for end in (5, 6, 7):
        acknowledge(peer, 0, (4, end))
        yield 3
    for covered in (3, 3, 3, 7, 10):
        acknowledge(peer, covered, *([(4, 7)] if covered == 3 else []))
        yield 15


def _small_again(*sizes: int, then: str = "") -> Story:
    """Small segments that are all lost."""

    def happen(peer: Peer) -> Iterator[int]:
        SITUATIONS["ESTABLISHED"](peer)
        peer.call("tcp_nodelay", 1)
        for size in sizes:
            peer.call("write", size)
        if then:
            peer.call(then, WRITE)
        yield 700
        peer.say(".", ack=peer.host_nxt + sizes[0])
        yield 300

    return happen


def black_hole(peer: Peer) -> Iterator[int]:
    """Large segments vanish."""
    SITUATIONS["ESTABLISHED"](peer)
    peer.call("tcp_nodelay", 1)
    peer.call("write", 1300)
    peer.call("write", 1300)
    yield 3500
    peer.say(".", ack=peer.host_nxt + 500)
    yield 500


ONLY_MODERN: Final = ("a recovery with more to send",)
"""Without SACK the kernel keeps new text back for a larger aggregate (tcp_tso_should_defer)."""

LATE_TIME_OUTS: Final[Settings] = {"tcp_rto_min_us": 500_000}
"""So that what becomes of a loss is seen before one."""

STORIES: Final[list[tuple[Settings, dict[str, Story]]]] = [
    (
        {},
        {
            "linger until the FIN is acknowledged": linger_until_the_fin_is_acknowledged,
            "linger until the time is over": linger_until_the_time_is_over,
            "linger, and text arrives": linger_and_text_arrives,
            "linger, and FINs cross": linger_and_crossing_fins,
            "linger with unread text": linger_with_unread_text,
            "linger in LAST_ACK": linger_in_last_ack,
            "linger in FIN_WAIT_2": linger_in_fin_wait_2,
            "TCP_LINGER2 1": _linger2(1),
            "TCP_LINGER2 below 0": _linger2(-1),
            "TCP_LINGER2 1, closed in FIN_WAIT_2": _linger2_held(1),
            "TCP_LINGER2 below 0, closed in FIN_WAIT_2": _linger2_held(-1),
            "an orphan's FIN is acknowledged": _orphan(".", 0),
            "an orphan's FIN is acknowledged with an old FIN": _orphan("F.", -1),
            "an orphan's FIN is acknowledged with an old FIN and text": _orphan("F.", -10, 10),
            "an orphan's FIN is acknowledged with old text": _orphan("P.", -10, 10),
            "an orphan's FIN is acknowledged with text": _orphan("P.", 0, 10),
            "an orphan's FIN is acknowledged with a FIN": _orphan("F.", 0),
            "an orphan's FIN is acknowledged with a FIN ahead": _orphan("F.", 10),
            "an orphan's FIN is acknowledged with a FIN and text": _orphan("F.", 0, 10),
            "keepalive unanswered": _keepalive("ESTABLISHED"),
            "keepalive answered": _keepalive("ESTABLISHED", 1),
            "keepalive in CLOSE_WAIT": _keepalive("CLOSE_WAIT"),
            "keepalive in FIN_WAIT_2": _keepalive("FIN_WAIT_2"),
            "keepalive in TIME_WAIT": _keepalive("TIME_WAIT, held"),
            "keepalive in LAST_ACK": _keepalive("LAST_ACK, held"),
            "keepalive with text out": _keepalive("ESTABLISHED, unanswered", tcp_keepcnt=1),
            "keepalive and a user time-out": _keepalive("ESTABLISHED", tcp_user_timeout=1500, tcp_keepcnt=9),
            "keepalive and a short user time-out": _keepalive("ESTABLISHED", tcp_user_timeout=500, tcp_keepcnt=9),
            "keepalive and a RST": keepalive_reset,
            "keepalive switched off": keepalive_off_again,
            "keepalive and text": keepalive_text_meanwhile,
            "user time-out with text out": _silence("ESTABLISHED", 2500, ("tcp_user_timeout", 1200), event="write"),
            "user time-out with a FIN out": _silence("ESTABLISHED", 2500, ("tcp_user_timeout", 1200), event="shutdown"),
            "user time-out of an orphan": _silence("ESTABLISHED", 2500, ("tcp_user_timeout", 1200), event="close"),
            "user time-out with a shut window": _silence("ESTABLISHED", 3500, ("tcp_user_timeout", 1200), event="shut"),
            "user time-out in SYN_SENT": _silence("SYN_SENT", 3500, ("tcp_user_timeout", 1500)),
            "user time-out in SYN_RECEIVED": _silence("SYN_RECEIVED", 3500, ("tcp_user_timeout", 1500)),
            "the SYN comes again": syn_received_asked_again,
            "defer accept": _deferring(defer_accept, 1),
            "defer accept for longer": _deferring(defer_accept, 3),
            "defer accept until text comes": _deferring(defer_accept_text, 3),
        },
    ),
    (
        {"tcp_fin_timeout": 61},
        {
            "an orphan with longer than a minute": _orphan(".", 0),
            "an orphan with longer than a minute and an old FIN": _orphan("F.", -1),
            "TCP_LINGER2 61": _linger2_held(61),
            "closed in FIN_WAIT_2 with longer than a minute": _linger2_held(0),
        },
    ),
    (
        {
            "tcp_orphan_retries": 2,
            "tcp_retries2": 3,
            "tcp_syn_retries": 1,
            "tcp_syn_linear_timeouts": 0,
            "tcp_synack_retries": 1,
        },
        {
            "an orphan in FIN_WAIT_1": _silence("FIN_WAIT_1, closed", 4000),
            "an orphan in CLOSING": _silence("CLOSING, closed", 4000),
            "an orphan in LAST_ACK": _silence("LAST_ACK", 4000),
            "an orphan with a shut window": _silence("ESTABLISHED", 4000, event="shut", then="close"),
            "text unacknowledged": _silence("ESTABLISHED", 4000, event="write"),
            "a FIN unacknowledged": _silence("ESTABLISHED", 4000, event="shutdown"),
            "a SYN unanswered": _silence("SYN_SENT", 3800),
            "a SYN unanswered, TCP_SYNCNT 2": _silence("SYN_SENT", 3800, ("tcp_syncnt", 2)),
            "a SYN,ACK unanswered": _silence("SYN_RECEIVED", 3800),
            "unreachable, then given up": complaint_before_giving_up,
            "unreachable orphan": complaint_about_an_orphan,
        },
    ),
    (
        {},
        {
            **{
                f"{problem.name} in {situation}": _complaint(situation, problem, seq)
                for situation, seq in (
                    ("SYN_SENT", 0),
                    ("SYN_RECEIVED", 0),
                    ("ESTABLISHED", 0),
                    ("LAST_ACK", 0),
                    ("FIN_WAIT_1", 0),
                )
                for problem in Problem
                if problem not in (Problem.TOO_BIG, Problem.OTHER)
            },
            **{
                f"HOST_UNREACHABLE of something else in {situation}": _complaint(
                    situation, Problem.HOST_UNREACHABLE, 1000
                )
                for situation in ("SYN_SENT", "SYN_RECEIVED", "ESTABLISHED")
            },
            "a complaint reverts the backing off": complaint_reverts_the_backing_off,
        },
    ),
    (
        LATE_TIME_OUTS,
        {
            "all was late": _after_a_time_out((1,), (2,), (3,), (10,), more=4),
            "all was late, and nothing new waits": _after_a_time_out((1,), (2,), (3,), (10,)),
            "all was late, by its stamps": _after_a_time_out((1,), (2,), (10,), more=4, echo=200),
            "all was late, and one ACK says so": _after_a_time_out((10,), more=4),
            "all was late, and one ACK says so by its stamp": _after_a_time_out((10,), more=4, echo=200),
            "the first was lost": _after_a_time_out((0, (1, 4)), (10,), more=2),
            "the first was lost, the last came": _after_a_time_out((1,), (1, (9, 10)), (10,), more=2),
            "all were lost": _after_a_time_out((1,), (1, (10, 11)), (1, (10, 12)), (2,), (4,), more=4),
            "all were lost, and sent again": _after_a_time_out((1,), (3,), (7,), (10,), (12,), more=4),
            "one was late": _after_a_time_out((1,), (2,), more=2, segments=1),
            "one was late, and had twice": _after_a_time_out((1,), (1, (0, 1)), segments=1),
            "two were late, and had twice": _after_a_time_out((1,), (2, (0, 1)), (2, (1, 2)), (4,), segments=2, more=2),
            "a hole was filled": _after_a_fast_retransmission((1, (2, 6)), (6,), (10,)),
            "a hole was filled by what was late": _after_a_fast_retransmission((6,), (10,), echo=400),
            "holes were filled by what was late": _after_a_fast_retransmission((1, (2, 6)), (6,), (10,), echo=400),
            "a hole was filled twice": _after_a_fast_retransmission((6,), (6, (0, 1)), (6, (1, 2)), (10,)),
            "a hole was filled twice, seen too late": _after_a_fast_retransmission((10,), (10, (0, 1)), (10, (1, 2))),
            "a partial acknowledgement": a_partial_acknowledgement,
            "a recovery with more to send": _after_a_fast_retransmission((1, (2, 7)), (7,), (11,), (13,), more=6),
            "a receiver goes back on its word": _after_a_fast_retransmission((2, (3, 6)), (10,), pause=60),
            "small segments lost": _small_again(10, 20, 30),
            "small segments and a FIN lost": _small_again(10, 20, then="close"),
            "a small and a FIN lost": _small_again(10, then="shutdown"),
            "a large and a small one lost": _small_again(1388, 10, then="shutdown"),
            "a small and a large one lost": _small_again(10, 1388, then="shutdown"),
            "one is overtaken by one": _overtaken((0, (1, 2)), (2,), (10,), then=5),
            "one is overtaken by two": _overtaken((0, (1, 2)), (0, (1, 3)), (3,), (10,), then=5),
            "one is overtaken by all": _overtaken((0, (1, 10)), (10,), then=6),
            "one is overtaken by six, one by one": _overtaken(*((0, (1, n)) for n in range(2, 8)), (7,), (10,), then=6),
            "two are overtaken, and one of them is sacked": _overtaken((0, (2, 4)), (0, (1, 4)), (4,), (10,), then=5),
            "the overtaken is sacked below others": _overtaken(
                (1,), (1, (8, 9)), (1, (3, 4), (8, 9)), (1, (2, 4), (8, 9)), (10,), then=6
            ),
            "what was late is had twice": _overtaken(
                (0, (1, 2)), (0, (1, 3)), (0, (1, 4)), (10,), (10, (0, 1)), then=6
            ),
            "reordering was seen, and then what was late is had twice": _overtaken(
                (0, (1, 2)), (2,), (2, (3, 4)), (2, (3, 5)), (2, (3, 6)), (10,), (10, (2, 3)), apart=8, then=6
            ),
            "holes are filled by what was late": _overtaken(
                (0, (1, 2)), (0, (1, 3)), (0, (1, 4)), (5,), (10,), echo=400, then=6
            ),
        },
    ),
    (
        {"tcp_early_retrans": 3, "tcp_rto_min_us": 500_000},
        {
            "a tail that was lost": _tail_probe((3,)),
            "a tail that was late": _tail_probe((3,), (3, (2, 3))),
            "a tail that was late, and a duplicate": _tail_probe((3,), (3,)),
            "more than the tail was lost": _tail_probe((1,), (1, (2, 3))),
        },
    ),
    ({"tcp_mtu_probing": 1}, {"a black hole": black_hole}),
    ({"tcp_mtu_probing": 1, "tcp_retries1": 1}, {"a black hole, found sooner": black_hole}),
    ({"ip_no_pmtu_disc": 0}, {"too big": too_big}),
    ({"tcp_retries2": 15}, {"too big, of what is not out": too_big_for_what_is_not_out}),
    (
        {"tcp_rfc1337": 1},
        {
            "RST in TIME_WAIT": _time_wait("R"),
            "RST ahead in TIME_WAIT": _time_wait("R", 1),
            "RST with ACK in TIME_WAIT": _time_wait("R."),
            "FIN in TIME_WAIT": _time_wait("F.", -1),
            "RST in FIN_WAIT_2": _linger2(30),
        },
    ),
    (
        {"tcp_abort_on_overflow": 1},
        {
            "a full accept queue, and RST": _crowd(1, 4),
            "a full accept queue, RST, and text": _crowd(1, 4, text=True),
        },
    ),
    (
        {"tcp_syncookies": 0},
        {
            "a full accept queue": _crowd(1, 4),
            "a full accept queue, and text": _crowd(1, 4, text=True, accepts=2),
            "a full SYN queue": _crowd(2, 5, complete=False, pause=100),
            "a crowded SYN queue": _crowd(6, 6, complete=False, pause=7400),
            "a SYN queue with room": _crowd(14, 4, complete=False, pause=7400),
        },
    ),
    (
        {"tcp_syncookies": 1},
        {
            "a full SYN queue, and cookies": _crowd(2, 5, complete=False, pause=100),
            "a full accept queue, with cookies": _crowd(1, 4),
        },
    ),
    (
        {"tcp_syncookies": 2},
        {
            "cookie": _cookie(),
            "cookie and text": _cookie(octets=10),
            "cookie and FIN": _cookie(fin=True),
            "cookie forged": _cookie(by=1000),
            "cookie asked for again": cookie_asked_for_again,
        },
    ),
    (
        {"tcp_invalid_ratelimit": 500},
        {
            "old text, often": _often("ESTABLISHED", "P.", -10, 10),
            "text of an old timestamp, often": _often("ESTABLISHED", "P.", 0, 10, age=1000),
            "keepalive probes, often": _often("ESTABLISHED", ".", -1),
            "ACKs ahead, often": _often("ESTABLISHED", ".", 5_000_000),
            "RST ahead, often": _often("ESTABLISHED", "R", 10),
            "SYN, often": _often("ESTABLISHED", "S"),
            "old FIN in TIME_WAIT, often": _often("TIME_WAIT", "F.", -1),
            "old ACK in TIME_WAIT, often": _often("TIME_WAIT", ".", -1),
            "old ACK in FIN_WAIT_2, often": _often("FIN_WAIT_2, closed", ".", -1),
            "old text in LAST_ACK, often": _often("LAST_ACK", "P.", -10, 10),
            "SYN in SYN_RECEIVED, often": _often("SYN_RECEIVED", "S", -1),
            "ACK ahead in SYN_RECEIVED, often": _often("SYN_RECEIVED", ".", 5_000_000),
            "text ahead in SYN_RECEIVED, often": _often("SYN_RECEIVED", "P.", 5_000_000, 10),
        },
    ),
]
"""By the sysctls they need."""
