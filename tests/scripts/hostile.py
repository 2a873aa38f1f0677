"""Scripts that nobody means: those of the suite, with words, lines and characters put wrong in every way.

`try_script` holds the parser and the runner to what they promise of any text at all: it ends soon, nothing raises but
LastackError, and whatever is wrong is said with its line.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final

from lastack.errors import ScriptError
from lastack.script.calls import CALLS
from lastack.script.config import configured
from lastack.script.engine import EngineTarget
from lastack.script.parser import parse
from lastack.script.runner import run
from lastack.script.symbols import SYMBOLS

NAME: Final = "damaged.pkt"
PATIENCE_S: Final = 20.0
"""Seconds of CPU: no script of a few dozen lines takes a tenth of a second."""
CALLING: Final = (
    "+0 epoll_create(1) = 5",
    "+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLET, fd=4}) = 0",
    "+0...0.2 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 200) = 0",
    "+0 pipe([6, 7]) = 0",
    "+0 write(7, ..., 9) = 9",
    "+0 splice(6, NULL, 4, NULL, 1000, 0) = 9",
    "+0 splice(4, NULL, 7, NULL, 1000, SPLICE_F_NONBLOCK) = 5",
    "+0 recv(4, ..., 9, MSG_PEEK|MSG_DONTWAIT) = 5",
    "+0 recv(4, ..., 1, MSG_OOB) = 1",
    "+0 ioctl(4, FIONBIO, [1]) = 0",
    "+0 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=0, tv_usec=200000}, 16) = 0",
    "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1",
    "+0 < PU. 1:6(5) ack 1 win 257 urg 3",
    "+0 readv(4, [{..., 10}, {..., 20}], 2) = 30",
    "+0 < icmp unreachable frag_needed mtu 1200 [1:1(0)]",
    "+0 sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 9}], msg_flags=0}, 0) = 9",
    "+0 < 41000 > 8080 [ect0] (ttl 3) SEW 0:0(0) win 1 <mss 9,FO 0011,md5 00>",
    "+0 `sysctl -w net.ipv4.ip_local_port_range='1024 2048' net.ipv4.ip_local_reserved_ports=8080-8090,9000`",
    "+0 `sysctl -w net.ipv4.tcp_congestion_control=reno net.ipv4.tcp_base_mss=512 net.ipv4.tcp_mtu_probing=1`",
    "#ifdef A",
    "#endif",
)
"""Lines of kinds that the suite has few of."""
HOSTILE: Final = (
    "<", ">", "{", "}", "[", "]", "(", ")", ",", "...", "..", ".", "~", "*", "+", "-", "=", "|", ":", ";", "'", "\"",
    "`", "//", "/*", "*/", "%{", "}%", "#", "#ifdef", "#else", "#endif", "\n", "\0", "\ufeff", "é", "0x",
    "0xffffffffff", "-1", "99999999999999999999", "1e9", "2147483648", "4294967296", "65536", "-9223372036854775808",
    "icmp", "unreachable", "mtu", "ack", "win", "urg", "sack", "1:2", "wscale", "TS", "val", "ecr", "ect01", "tos",
    "ttl", "flowlabel", "udp", "gre", "<...>", "%{assert(1<<99999)}%", "%{assert\"a\"*9**9}%",
    "%{assert(tcpi_state==1)}%", "`sysctl -w net.ipv4.tcp_rmem=0`",
    "`sysctl -w net.ipv4.tcp_retries2=-1`", "`reboot`", "--ip_version=ipv6",
)  # fmt: skip
HEADS: Final = (
    "--mtu=1280",
    "--ip_version=ipv6",
    "--tcp_ts_tick_usecs=1000",
    "--tolerance_usecs=4000",
    "--bind_port=80",
)
NUMBERS: Final = ("0", "1", "-1", "7", "255", "65535", "65536", "2147483647", "2147483648", "4294967295", "1000000")


class Hangs(Exception):
    """A script takes much longer than any has a right to."""


def corpus() -> list[list[str]]:
    """The suite's scripts as lines, some with lines of every other kind after them."""
    scripts = [path.read_text().split("\n") for path in sorted(Path(__file__).parent.rglob("*.pkt"))]
    heads = [list(HEADS[n % len(HEADS) :]) for n in range(len(scripts))]
    return scripts + [[*head, *lines[:12], *CALLING] for head, lines in zip(heads[::4], scripts[::4], strict=True)]


def damage(seed: int) -> Iterator[tuple[int, str]]:
    """Damaged scripts without end: (the seed that makes it, its text)."""
    scripts = corpus()
    vocabulary = sorted({word for lines in scripts for line in lines for word in line.split()})
    words = [*vocabulary, *HOSTILE, *HOSTILE, *CALLS, *SYMBOLS]
    while True:
        random = Random(seed)
        lines = list(random.choice(scripts))
        for _ in range(random.choice((1, 1, 2, 3, 6))):
            _once(lines, scripts, words, random)
        yield seed, "\n".join(lines)
        seed += 1


def _once(lines: list[str], scripts: list[list[str]], words: list[str], random: Random) -> None:
    """Put one thing wrong."""
    at = random.randrange(len(lines))
    line = lines[at]
    place = random.randrange(len(line) + 1)
    match random.randrange(8):
        case 0:
            parts = line.split(" ")
            parts[random.randrange(len(parts))] = random.choice(words)
            lines[at] = " ".join(parts)
        case 1:
            lines.insert(at, random.choice(lines))
        case 2:
            lines.insert(at, random.choice(random.choice(scripts)))
        case 3 if len(lines) > 1:
            del lines[at]
        case 4:
            lines[at] = (
                line[:place] + chr(random.choice((random.randrange(128), random.randrange(0xD000)))) + line[place:]
            )
        case 5:
            lines[at] = line[:place] + line[place + 1 :]
        case 6:
            numbers = list(re.finditer(r"\d+", line))
            if numbers:
                start, end = random.choice(numbers).span()
                lines[at] = line[:start] + random.choice(NUMBERS) + line[end:]
        case _:
            lines[at], lines[random.randrange(len(lines))] = lines[random.randrange(len(lines))], line


def try_script(text: str) -> bool:
    """Whether the text could be run at all. Raises whatever breaks a promise: AssertionError, Hangs, anything."""
    with _patience():
        try:
            script = parse(text, NAME)
            config = configured(script)
        except ScriptError as error:
            assert re.match(rf"{NAME}:\d+:", str(error)), f"no line: {error}"
            return False
        result = run(script, EngineTarget([config.local_ip]), config)
        assert result.failure is None or 1 <= result.failure.line <= len(script.source), result.failure
        return True


@contextmanager
def _patience() -> Iterator[None]:
    """No more CPU time than that. Where there is no such alarm, whoever waits notices."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def over(number: int, frame: FrameType | None) -> None:
        raise Hangs(f"not done after {PATIENCE_S:.0f} s of CPU time")

    former = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)
