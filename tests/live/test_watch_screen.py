"""The full-screen view on a terminal, a process of its own: what comes up, what keys and signals do, what is left."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from lastack.linux.namespaces import Namespace
from lastack.live.transitions.life import UNKNOWN
from lastack.model.filters import parse
from lastack.model.state import State
from lastack.model.time import SECOND
from lastack.watch.looker import Asked, Looker, Seen
from lastack.watch.stop import Stop

from .rules.situations import SOON, Stage
from .test_check_end_to_end import EVIL, lastack, leak

pytestmark = pytest.mark.root

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture
def stage(private_network: Namespace) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, private=True)


class Terminal:
    """A terminal of 80 by 24 cells with `lastack watch` on it."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.here, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(there)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lastack", "watch", "--every", "200ms", "--min-age", "0s", *arguments],
            stdin=there,
            stdout=there,
            stderr=there,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **environment},
            start_new_session=True,
        )
        self.there = there
        self.out = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.here)
        os.close(self.there)

    def read(self, seconds: float = 0.1) -> None:
        while select.select([self.here], [], [], seconds)[0]:
            self.out += os.read(self.here, 1 << 16)

    def until(self, text: bytes) -> None:
        deadline = time.monotonic() + SOON
        while text not in self.out:
            assert time.monotonic() < deadline, f"{text!r} never came: {self.out[-2000:]!r}"
            self.read()

    def end(self) -> int:
        """The status that it ends with; what it writes until then is read."""
        deadline = time.monotonic() + SOON
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self.read()
        self.read()
        return self.process.returncode


def test_it_comes_up_over_a_plain_terminal_and_leaves_it_as_it_was(stage: Stage) -> None:
    leak(stage, 20)
    with Terminal() as terminal:
        terminal.until(b"CLOSE_WAIT, eof unread: 20 of leaky")
        assert ENTER in terminal.out
        os.write(terminal.here, b"q")
        assert terminal.end() == 0
        assert terminal.out.rindex(LEAVE) > terminal.out.rindex(ENTER)
        assert termios.tcgetattr(terminal.there)[:4] == terminal.before[:4]
        assert b"Traceback" not in terminal.out


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, b"\x03"])
def test_it_ends_in_order_however_it_is_ended(stage: Stage, end: signal.Signals | bytes) -> None:
    with Terminal() as terminal:
        terminal.until(b"Nothing wrong")
        if isinstance(end, bytes):
            os.write(terminal.here, end)
        else:
            terminal.process.send_signal(end)
        assert terminal.end() == 0
        assert LEAVE in terminal.out


@pytest.mark.parametrize("without", [("--no-color",), ()])
def test_without_colour_no_colour_is_sent(stage: Stage, without: tuple[str, ...]) -> None:
    leak(stage, 20)
    with Terminal(*without, **({} if without else {"NO_COLOR": "1"})) as terminal:
        terminal.until(b"CLOSE_WAIT, eof unread")
        os.write(terminal.here, b"q")
        assert terminal.end() == 0
    codes = {code for group in re.findall(rb"\x1b\[([\d;]*)m", terminal.out) for code in group.split(b";") if code}
    assert codes <= {b"0", b"1", b"2", b"4", b"7", b"39", b"49"}


def test_a_hostile_name_stays_text(stage: Stage) -> None:
    leak(stage, 20, name=EVIL)
    with Terminal() as terminal:
        terminal.until(rb"\x1b[31mred\x07\u20")
        assert EVIL.encode() not in terminal.out
        assert b"\x07" not in re.sub(rb"\x1b\][^\x07]*\x07", b"", terminal.out)  # what begins as a title ends so


def test_it_ends_when_its_terminal_goes_without_a_word(stage: Stage) -> None:
    with Terminal("--every", "20ms") as terminal, Path(os.devnull).open() as nothing:
        terminal.until(b"Nothing wrong")
        os.dup2(nothing.fileno(), terminal.here)  # which hangs up
        assert terminal.process.wait(SOON) == 0


def test_it_ends_after_the_time_that_was_asked_for(stage: Stage) -> None:
    with Terminal("--for", "1s") as terminal:
        assert terminal.end() == 0


def test_without_a_terminal_it_says_what_else_there_is() -> None:
    answer = lastack("watch", stdin=subprocess.DEVNULL)
    assert answer.returncode == 2
    assert "--jsonl, --prometheus or --record" in answer.stderr


def looks(looker: Looker, stop: Stop) -> Iterator[Seen]:
    """The looks, for as long as a situation may take to come about."""
    yield from looker.looks(stop, time.monotonic_ns() + SOON * SECOND)


@pytest.mark.parametrize("source", ["bpf", "sock_diag"])
def test_births_and_the_life_of_one_connection_are_told(stage: Stage, source: str) -> None:
    server, client = stage.process("server"), stage.process("client")
    at = server.listen()
    with Stop() as stop, Looker(Asked(every=SECOND // 5, source=source)) as looker:
        seen: list[Seen] = []
        for one in looks(looker, stop):
            seen.append(one)
            there = one.look[0][0]
            if len(seen) == 1:
                client.connect(at, 3)
                server.do("accept", 3)
            elif not looker.following and there.in_state(State.ESTABLISHED).any():
                rows = there.select(there.in_state(State.ESTABLISHED) & (there.values("local_port") == at.port))
                looker.follow(int(rows.values("cookie")[0]))
                client.do("shut")
            elif one.followed is not None and one.followed.life is not None:
                if one.followed.life["state"] == State.CLOSE_WAIT:
                    break
                client.do("shut")
        stop.set()
        assert one.followed is not None and one.followed.life is not None and one.followed.row is not None
        assert one.followed.row.value("local_state", 0) == "CLOSE_WAIT"
        assert one.followed.life["spent"][State.ESTABLISHED] != 0
        assert one.followed.life["state"] != UNKNOWN
        assert (State.ESTABLISHED, State.CLOSE_WAIT) in [
            (change["before"], change["after"]) for change in one.followed.changes
        ]
        births = sum((each.flow.births["process"] for each in seen), start=seen[0].flow.births["process"].copy())
        assert births["server"] >= 3
        assert sum(each.flow.born for each in seen) >= 6
        assert one.exact == (source == "bpf")


def test_what_happens_before_the_first_look_has_a_process_and_a_listener(stage: Stage) -> None:
    server, client = stage.process("server"), stage.process("client")
    at = server.listen()
    with Stop() as stop, Looker(Asked(every=SECOND // 5)) as looker:
        client.connect(at, 3)
        one = next(iter(looks(looker, stop)))
        stop.set()
        assert one.flow.births["process"] == {"server": 3, "client": 3}
        assert one.flow.births["listener"] == {str(at): 3}


def test_a_filter_may_change_while_it_is_watched(stage: Stage) -> None:
    server, client = stage.process("server"), stage.process("client")
    at = server.listen()
    with Stop() as stop, Looker(Asked(every=SECOND // 5)) as looker:
        told: dict[bool, set[str]] = {False: set(), True: set()}
        for one in looks(looker, stop):
            filtered = looker.asked.where is not None
            told[filtered] |= set(one.flow.births["process"])
            if filtered and told[True] and len(one.look[0][0]):
                break
            if told[False] >= {"server", "client"} and not filtered:
                looker.asked = replace(looker.asked, where=parse(f"sport = :{at.port}"))
                told[True].clear()
            client.connect(at, 1)
            server.do("accept", 1)
        stop.set()
        assert told[False] >= {"server", "client"}
        assert set(one.look[0][0].values("local_port").tolist()) == {at.port}
        assert one.flow.births["process"].keys() <= {"server"}
