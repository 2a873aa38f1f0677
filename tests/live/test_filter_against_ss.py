"""The filter language against ss itself: on the same real sockets both must choose the same ones."""

from __future__ import annotations

import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from lastack.live import sockdiag
from lastack.model import SECOND, State
from lastack.model.filters import parse

if TYPE_CHECKING:
    from lastack.linux.namespaces import Namespace

pytestmark = [pytest.mark.root, pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss of iproute2")]

EXPRESSIONS = """
state established
state listening
state time-wait
state close-wait
state fin-wait-2
state syn-sent
state syn-recv
state close-wait state fin-wait-2
state all
state connected
state synchronized
state bucket
state big
exclude listening
exclude established exclude listening
state connected exclude time-wait
exclude listening state listening
state established sport = :8001
state established sport = :8001 or sport = :8004
state listening src 127.0.0.0/8
src 127.0.0.1
src = 127.0.0.1
src 127.0.0.2
src 127.0.0.0/8
src 127/8
src 127.0.0.1/31
src 127.0.0.1/30:8001
src 0.0.0.0
src 0/0
src 127.0.0.1:8001
src *:8001
src :8001
src :*
src *
src [::1]
src [::1]:8003
src [::]
src [::/127]
src [fe80::/10]
sport = :8001
sport == :8001
sport eq :8001
sport :8001
sport 8001
sport = 8001
sport != :8001
sport ne :8001
sport neq 8001
sport < :8003
sport lt :8003
sport <= :8003
sport le :8003
sport leq :8003
sport > :8003
sport gt :8003
sport >= :8003
sport ge :8003
sport geq :8003
sport = :http
sport = :*
not sport = :8001
! sport = :8001
! ( sport = :8001 or sport = :8003 )
not sport = :8001 sport = :8003
sport = :8001 or sport = :8003
sport = :8001 | sport = :8003
sport = :8001 || sport = :8003
sport = :8001 and src 127.0.0.1
sport = :8001 & src 127.0.0.1
sport = :8001 && src 127.0.0.1
sport = :8001 src 127.0.0.1
sport = :8001 and src 127.0.0.1 or sport = :8003
( sport = :8001 or sport = :8003 ) src 127.0.0.0/8
( ( sport = :8001 ) )
exclude listening dst 127.0.0.1
exclude listening dst 127.0.0.1:8001
exclude listening dst [::1]
exclude listening dport = :8001
exclude listening dport != :8001
exclude listening dport >= :8002 dport <= :8003
exclude listening not ( dst 127.0.0.1:8001 or dst [::1]:8003 )
state close-wait sport = :8001 or dport = :8001
autobound
state established autobound dst 127.0.0.1
""".strip().splitlines()


@pytest.fixture
def sockets(private_network: Namespace) -> Iterator[None]:
    """One or more sockets in every state that holds still by itself, of both families and between them."""
    del private_network
    with ExitStack() as kept:

        def listening(family: int, address: str, port: int, backlog: int = 16, defer: bool = False) -> socket.socket:
            found = kept.enter_context(socket.socket(family))
            if defer:
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
            found.bind((address, port))
            found.listen(backlog)
            return found

        def connected(listener: socket.socket, address: str) -> tuple[socket.socket, socket.socket]:
            client = kept.enter_context(socket.create_connection((address, listener.getsockname()[1])))
            return client, kept.enter_context(listener.accept()[0])

        web = listening(socket.AF_INET, "127.0.0.1", 8001)
        listening(socket.AF_INET, "127.0.0.2", 8001)
        full = listening(socket.AF_INET, "0.0.0.0", 8002, backlog=0)
        six = listening(socket.AF_INET6, "::1", 8003)
        dual = listening(socket.AF_INET6, "::", 8004)
        slow = listening(socket.AF_INET, "127.0.0.1", 8005, defer=True)
        for listener, address in ((web, "127.0.0.1"), (six, "::1"), (dual, "127.0.0.1"), (dual, "::1")):
            connected(listener, address)
            connected(listener, address)[0].shutdown(socket.SHUT_WR)  # FIN_WAIT_2, and CLOSE_WAIT at the other end
            ending, other = connected(listener, address)
            ending.close()
            other.close()  # TIME_WAIT
        for listener in (full, full, slow):  # one fills the accept queue, the next stays in SYN_SENT; one in SYN_RECV
            waiting = kept.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", listener.getsockname()[1]))
        expected = {State.LISTEN: 6, State.SYN_SENT: 1, State.SYN_RECEIVED: 1, State.TIME_WAIT: 4, State.CLOSE_WAIT: 4}
        deadline = time.monotonic() + 5
        while any(sockdiag.read(0).in_state(state).sum() != count for state, count in expected.items()):
            assert time.monotonic() < deadline, sockdiag.read(0).groups("local_state")
        yield


def chosen_by_ss(expression: str) -> set[int]:
    """The cookies of what `ss -tanH` shows for the expression."""
    answer = subprocess.run(
        ["ss", "-tanHe", *expression.split()], capture_output=True, text=True, timeout=10, check=False
    )
    assert answer.returncode == 0, (expression, answer.stderr)
    return {int(cookie, 16) for cookie in re.findall(r"\bsk:([0-9a-f]+)", answer.stdout)}


def chosen_here(expression: str) -> set[int]:
    """The cookies of the rows that the filter wants, read with its mask of states as a command would."""
    wanted = parse(expression)
    table = sockdiag.read(time.time_ns(), wanted.states & sockdiag.ALL)
    return {int(cookie) for cookie in table.values("cookie")[wanted.matches(table, 1700 * SECOND)]}


@pytest.mark.usefixtures("sockets")
def test_ss_chooses_the_same_sockets() -> None:
    everything = chosen_by_ss("state all")
    assert len(everything) > 30
    results = {expression: (chosen_here(expression), chosen_by_ss(expression)) for expression in EXPRESSIONS}
    assert {expression for expression, (here, there) in results.items() if here != there} == set()
    choices = {frozenset(there) for _, there in results.values()}
    assert len(choices) > len(EXPRESSIONS) // 3  # they do tell sockets apart


@pytest.mark.usefixtures("sockets")
def test_ss_reads_what_a_filter_writes_out_and_chooses_the_same() -> None:
    dice = random.Random(9293)
    leaves = [line for line in EXPRESSIONS if not re.match(r"state|exclude|.*\b(or|and|not)\b|.*[&|!]", line)]
    # ss filters twice, in the kernel and then itself, where it takes the zeros of one family for those of the other:
    # `not src 0.0.0.0` leaves ::1 out. No address that begins with so few bits, therefore; and no autobound, of which
    # the kernel and ss have two notions.
    leaves = [
        line for line in leaves if line not in ("src 0/0", "src 0.0.0.0", "src [::]", "src [::/127]", "autobound")
    ]
    leaves += ["dst 127.0.0.1", "dst [::1]", "dport = :8001", "dport > :8002"]

    def grown(depth: int) -> str:
        if depth == 0 or dice.random() < 0.2:
            return dice.choice(leaves)
        one, other = grown(depth - 1), grown(depth - 1)
        return dice.choice([f"( {one} ) or ( {other} )", f"( {one} ) and ( {other} )", f"not ( {one} )"])

    for _ in range(60):
        text = f"exclude listening ( {grown(3)} )"
        # In a filter's own text the state words are joined with `and`, where ss takes them only before the expression.
        written = str(parse(text)).replace("exclude listening and", "exclude listening", 1)
        assert chosen_here(text) == chosen_by_ss(text) == chosen_by_ss(written), (text, written)
