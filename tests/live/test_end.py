"""`lastack end`: what it chooses, shows, asks and does; what it refuses; and what changed while it asked."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lastack.ending import end
from lastack.errors import CallError, FilterError
from lastack.linux import namespaces
from lastack.linux.namespaces import Namespace
from lastack.live.terminal import session
from lastack.live.transitions.tap import Tap
from lastack.model.address import Endpoint, FourTuple
from lastack.model.ending import Ending, Endings, Left, Means, Outcome
from lastack.model.state import State
from lastack.report.ending import ending_document, said
from lastack.report.schema import ending_schema

from .rules.situations import LOOPBACK, Puppet, Stage

pytestmark = pytest.mark.root

EVIL = "\x1b[31mred\x07\u202e"


@pytest.fixture
def stage(private_network: Namespace) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, private=True)


def lastack(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    given = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL, **options}
    return subprocess.run([sys.executable, "-m", "lastack", *arguments], check=False, **given)


AS_NOBODY = """
import contextlib, io, os, sys
from lastack.cli.main import main
wanted, nowhere = sys.argv, io.StringIO()
for form in ("table", "json"):
    for means in ("--netns=own", "--reset"):
        sys.argv = ["lastack", "end", "-f", "sport = :1 dport = :1", "--yes", "--format", form, means]
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(nowhere):
            main()  # loads all that it needs: nobody may not be able to read this Python's files
import lastack.live.act
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.argv = wanted
main()
"""


def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`lastack` as user nobody."""
    command = [sys.executable, "-c", AS_NOBODY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def leak(stage: Stage, count: int, name: str = "leaky") -> tuple[Puppet, Puppet]:
    """A server of that name that leaks so many CLOSE_WAIT, and its client in FIN_WAIT_2."""
    server, client = stage.process(name), stage.process("visitor")
    client.connect(server.listen(), count)
    server.do("accept", count)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, count)
    return server, client


def outcomes(endings: Endings) -> list[Outcome]:
    assert endings.done is not None
    return [ending.outcome for ending in endings.done]


def cookies(stage: Stage, state: State) -> list[int]:
    found: list[int] = stage.rows(state).values("cookie").tolist()
    return found


# -- what is chosen


def test_without_a_word_on_which_nothing_is_ended(stage: Stage) -> None:
    leak(stage, 1)
    with pytest.raises(CallError, match="say which"):
        end()
    answer = lastack("end", "--yes", "--reset")
    assert answer.returncode == 2
    assert "say which to end" in answer.stderr
    assert stage.count(State.CLOSE_WAIT) == 1


@pytest.mark.parametrize("option", ["--process", "--unit", "--container", "--filter"])
def test_an_empty_name_never_means_everybody(stage: Stage, option: str) -> None:
    leak(stage, 1)
    named = ("--process", "leaky") if option == "--filter" else ("--filter", "state close-wait")
    answer = lastack("end", *named, option, "", "--yes")
    assert answer.returncode == 2
    assert "it is empty" in answer.stderr
    assert stage.count(State.CLOSE_WAIT) == 1


def test_a_process_alone_means_what_hangs_and_not_what_works(stage: Stage) -> None:
    server, client = leak(stage, 2)
    client.connect(Endpoint(LOOPBACK, server.ports[0]))
    server.do("accept", 1)
    assert outcomes(end(where="process leaky")) == [Outcome.ENDED] * 2
    assert [stage.count(state) for state in (State.ESTABLISHED, State.LISTEN)] == [2, 1]


def test_what_works_is_ended_where_its_state_is_named(stage: Stage) -> None:
    stage.connected(2)
    assert outcomes(end(where="process visitor state established", means=Means.RST)) == [Outcome.ENDED] * 2
    assert stage.count(State.ESTABLISHED) == 0


def test_filters_owners_and_ages_choose_as_elsewhere(stage: Stage) -> None:
    leak(stage, 1, "one")
    other, client, _ = stage.connected(1)
    client.do("shut")
    other.do("call_myself", "other")
    stage.await_state(State.CLOSE_WAIT, 2)
    stage.let_age(State.CLOSE_WAIT)
    for where in ("process one age > 1h", "process nobody", "state close-wait dport = :1", "unit nowhere.service"):
        assert end(where=where).plan == ()
    assert outcomes(end(where="process one age > 1ms")) == [Outcome.ENDED]
    left = cookies(stage, State.CLOSE_WAIT)
    assert end(where="process other").connections.values("cookie").tolist() == left
    with pytest.raises(FilterError):
        end(where="state close-wiat")


def test_ids_name_connections_of_any_state(stage: Stage) -> None:
    stage.connected(2)
    one = cookies(stage, State.ESTABLISHED)[0]
    assert outcomes(end(one, means=Means.RST)) == [Outcome.ENDED]
    row = next(stage.rows(State.ESTABLISHED).rows())
    local, remote = (Endpoint(str(row[f"{side}_addr"]), int(str(row[f"{side}_port"]))) for side in ("local", "remote"))
    ends = FourTuple(local, remote)
    assert outcomes(end(ends, means=Means.RST)) == [Outcome.ENDED]
    assert stage.count(State.ESTABLISHED) == 0


def test_an_id_that_is_nobodys_stops_all(stage: Stage) -> None:
    leak(stage, 1)
    (cookie,) = cookies(stage, State.CLOSE_WAIT)
    with pytest.raises(CallError, match="no socket is called 1;"):
        end(cookie, 1)
    assert stage.count(State.CLOSE_WAIT) == 1


def test_an_id_and_a_filter_must_both_hold(stage: Stage) -> None:
    leak(stage, 1)
    (cookie,) = cookies(stage, State.CLOSE_WAIT)
    assert end(cookie, where="state established").plan == ()
    assert stage.count(State.CLOSE_WAIT) == 1


# -- what is left alone


@pytest.mark.parametrize("means", Means)
def test_a_listening_socket_is_refused_unless_it_is_named(stage: Stage, means: Means) -> None:
    stage.process("server").listen()
    endings = end(where="state listening", means=means)
    assert endings.plan == (Left.LISTENING,)
    assert endings.done == (Ending(Outcome.LEFT, State.LISTEN, Left.LISTENING),)
    assert stage.count(State.LISTEN) == 1
    (cookie,) = cookies(stage, State.LISTEN)
    assert outcomes(end(cookie, means=means)) == [Outcome.ENDED]
    assert stage.count(State.LISTEN) == 0


def test_what_a_fin_cannot_help_says_why(stage: Stage) -> None:
    server, client = leak(stage, 1)
    dozy = stage.process("dozy")
    client.connect(dozy.listen())
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 2)
    closed = stage.process("closed")
    closed.connect(Endpoint(LOOPBACK, server.ports[0]))
    server.do("accept", 1)
    closed.do("close")
    stage.await_state(State.CLOSE_WAIT, 3)
    server.do("close")
    stage.await_state(State.TIME_WAIT, 2)
    endings = end(where="state connected", agreed=lambda _: False)
    told = {(str(endings.connections.value("local_state", row)), left) for row, left in enumerate(endings.plan)}
    assert told == {
        ("TIME_WAIT", Left.OVER),
        ("FIN_WAIT_2", Left.PEER_OPEN),
        ("CLOSE_WAIT", Left.NO_DESCRIPTOR),  # in the accept queue of dozy
    }
    assert outcomes(end(where="state close-wait", means=Means.RST)) == [Outcome.ENDED]
    assert stage.count(State.CLOSE_WAIT) == 0


def end_from_within(shell: Puppet, *arguments: str) -> dict[str, Any]:
    """What `lastack end`, run by a process, says of what it did."""
    status, out, errors = shell.do(
        "run", sys.executable, "-m", "lastack", "end", "--yes", "--format", "json", *arguments
    )
    assert status in (0, 1), errors
    said: dict[str, Any] = json.loads(out)
    return said


def test_the_connection_of_ones_own_session_is_refused_unless_it_is_named(stage: Stage) -> None:
    shell, visitor, _ = stage.connected(2)
    said = end_from_within(shell, "--process", "leaky", "-f", "state established", "--reset")
    assert [entry["left"] for entry in said["connections"]] == ["terminal"] * 2
    assert stage.count(State.ESTABLISHED) == 4
    # Nor are the other ends of them, which are on this host too.
    others = end_from_within(shell, "-f", "process visitor state established", "--reset")
    assert [entry["left"] for entry in others["connections"]] == ["terminal"] * 2
    one = said["connections"][0]["connection"]
    named = end_from_within(shell, str(one["cookie"]), "--reset")
    assert [entry["outcome"] for entry in named["connections"]] == ["ended"]
    assert stage.count(State.ESTABLISHED) == 2
    assert visitor.do("descriptor") >= 0


def test_a_process_may_have_its_own_leak_ended(stage: Stage) -> None:
    server, _ = leak(stage, 3)
    said = end_from_within(server, "--process", "leaky")
    assert said["counts"] == {"ended": 3}


def test_the_connection_that_sshd_wrote_into_the_environment_is_refused(stage: Stage) -> None:
    stage.connected(1)
    row = next(row for row in stage.rows(State.ESTABLISHED).rows() if row["local_port"] == 8_080)
    words = f"{row['remote_addr']} {row['remote_port']} {row['local_addr']} {row['local_port']}"
    environment = {**os.environ, "SSH_CONNECTION": words}
    answer = lastack("end", "-f", "state established sport = :8080", "--reset", "--yes", env=environment)
    assert answer.returncode == 1
    assert "keeps up the terminal" in " ".join(answer.stdout.split())
    assert stage.count(State.ESTABLISHED) == 2
    nonsense = {**os.environ, "SSH_CONNECTION": "who knows what 7"}
    assert lastack("end", "-f", "sport = :8080 state established", "-y", "--reset", env=nonsense).returncode == 0


def test_who_looks_at_a_terminal_multiplexer_keeps_up_the_session_too(stage: Stage) -> None:
    server, client, stranger = (stage.process(name) for name in ("tmux: server", "tmux: client", "nvim"))
    for each in (server, client, stranger):
        each.do("call_myself", each.name)  # that they are called so by now
    shell = server.do("fork")
    found = session(shell).pids
    assert {shell, server.pid, client.pid} <= found
    assert stranger.pid not in found
    assert client.pid not in session(stranger.do("fork")).pids


# -- between the question and the answer


def test_nothing_is_done_without_consent(stage: Stage) -> None:
    leak(stage, 2)
    told: list[Endings] = []

    def refuse(endings: Endings) -> bool:
        told.append(endings)
        return False

    endings = end(where="process leaky", agreed=refuse)
    assert told == [endings]
    assert (endings.plan, endings.done) == ((None, None), None)
    assert stage.count(State.CLOSE_WAIT) == 2


def test_what_changed_while_it_asked_is_left_alone(stage: Stage) -> None:
    server, client = leak(stage, 3)

    def meanwhile(_: Endings) -> bool:
        server.do("close", 1)
        return True

    endings = end(where="process leaky", agreed=meanwhile)
    assert sorted(outcomes(endings), key=str) == [Outcome.ENDED, Outcome.ENDED, Outcome.VANISHED]
    assert client.do("try_to", "recv") == "0"


def test_what_is_no_longer_as_it_was_asked_for_is_left_alone(stage: Stage) -> None:
    server, _ = leak(stage, 1)

    def meanwhile(_: Endings) -> bool:
        assert server.do("try_to", "recv") == "0"  # the end of file is read: it may be about to close
        return True

    endings = end(where="state close-wait recv-q = 1", agreed=meanwhile)
    assert endings.done == (Ending(Outcome.CHANGED, State.CLOSE_WAIT),)
    assert stage.count(State.CLOSE_WAIT) == 1


def test_new_connections_of_the_same_process_are_not_chosen_by_the_answer(stage: Stage) -> None:
    server, client = leak(stage, 1)

    def meanwhile(_: Endings) -> bool:
        client.connect(Endpoint(LOOPBACK, server.ports[0]))
        server.do("accept", 1)
        client.do("shut", 1)
        stage.await_state(State.CLOSE_WAIT, 2)
        return True

    assert outcomes(end(where="process leaky", agreed=meanwhile)) == [Outcome.ENDED]
    assert stage.count(State.CLOSE_WAIT) == 1


def test_who_closed_a_time_wait_is_not_told_to_see_its_end(stage: Stage) -> None:
    with Tap(frozenset({namespaces.own().inode})):
        server, client = leak(stage, 1)
        client.do("close")
        server.do("close")
        stage.await_state(State.TIME_WAIT, 1)
        where = f"state time-wait process {client.name}"
        assert end(where=where).plan == (Left.OVER,)
        endings = end(where=where, means=Means.RST)
        assert outcomes(endings) == [Outcome.ENDED]
        assert said(endings)[0].owner == "nobody: no process has it"


# -- the command


def test_without_a_terminal_it_neither_asks_nor_acts(stage: Stage) -> None:
    leak(stage, 1)
    answer = lastack("end", "--process", "leaky")
    assert answer.returncode == 2
    assert "no terminal to ask at" in answer.stderr
    assert stage.count(State.CLOSE_WAIT) == 1


def test_a_dry_run_shows_everything_and_does_nothing(stage: Stage) -> None:
    server, _ = leak(stage, 15)
    answer = lastack("end", "--process", "leaky", "--dry-run")
    said = " ".join(answer.stdout.split())
    assert answer.returncode == 0
    assert "15 connections would be sent a FIN" in said
    assert "writes fail with EPIPE" in said
    assert "EMFILE" in said
    assert "RST" in said
    assert answer.stdout.count(f"leaky/{server.pid}") == 10
    assert "and 5 more" in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert stage.count(State.CLOSE_WAIT) == 15


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 2), ("\n", 2), ("\x03", 2)])
def test_it_shows_and_asks_and_does_as_it_is_told(stage: Stage, answer: str, left: int) -> None:
    leak(stage, 2)
    status, screen = at_a_terminal(answer, "end", "--process", "leaky")
    said = " ".join(screen.split())
    assert "2 connections would be sent a FIN" in said
    assert "[y/N]" in said
    assert ("2 connections ended: FIN sent and acknowledged" in said) is (left == 0)
    assert status == (0 if left == 0 else -signal.SIGINT if answer == "\x03" else 1)
    assert stage.count(State.CLOSE_WAIT) == left


def at_a_terminal(answer: str, *arguments: str) -> tuple[int, str]:
    """The status, and what was shown, of a command at a terminal of its own where somebody types an answer."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-m", "lastack", *arguments])
    shown, deadline = b"", time.monotonic() + 40
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 2)[0]:
                try:
                    shown += os.read(terminal, 65_536)
                except OSError:  # EIO: everybody has left
                    break
                if not shown.rstrip().endswith(b"[y/N]:"):
                    continue
            # A Ctrl-C that comes before readline waits is heard with the next key only: then it is typed again.
            os.write(terminal, answer.encode())
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_the_answer_for_programs_is_as_its_schema_says(stage: Stage) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    leak(stage, 2)
    plan = json.loads(lastack("end", "-f", "state connected", "--dry-run", "--format", "json").stdout)
    answer = lastack("end", "-f", "state connected", "--yes", "--format", "json")
    assert answer.returncode == 1  # the other ends are left alone
    done = json.loads(answer.stdout)
    for document in (plan, done, ending_document(end(where="state last-ack"))):
        jsonschema.validate(document, ending_schema())
    assert (plan["done"], done["done"]) == (False, True)
    assert done["counts"] == {"ended": 2, "left": 2}
    for entry in done["connections"]:
        ended = entry["connection"]["local_state"] == "CLOSE_WAIT"
        assert (entry["outcome"], entry["left"]) == (("ended", None) if ended else ("left", "peer-open"))
        assert (entry["owner_sees"] is not None) is ended


def test_every_network_is_reached_at_once(stage: Stage) -> None:
    name = f"leak {os.getpid()}"  # of all networks of this machine, nobody else's may be meant
    leak(stage, 2, name)
    with namespaces.entered(namespaces.choose(str(os.getppid()))[0]):
        here = lastack("end", "--process", name, "--yes")
        assert "nothing to end" in here.stdout
        answer = lastack("end", "--process", name, "--all-netns", "--yes", "--format", "json")
    assert json.loads(answer.stdout)["counts"] == {"ended": 2}
    assert stage.count(State.CLOSE_WAIT) == 0


def test_sockets_of_another_network_are_ended_at_once_too(stage: Stage) -> None:
    server, _ = leak(stage, 2)
    with namespaces.entered(namespaces.choose(str(os.getppid()))[0]):
        answer = lastack("end", "--netns", str(server.pid), "-f", "state close-wait", "--reset", "--yes")
    assert answer.returncode == 0, answer
    assert stage.count(State.CLOSE_WAIT) == 0


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_name_never_reaches_the_reader_as_commands_to_a_terminal(stage: Stage, form: str) -> None:
    leak(stage, 1, EVIL)
    for option in ("--dry-run", "--yes"):
        answer = lastack("end", "-f", "state close-wait", option, "--format", form)
        assert answer.returncode == 0
        assert "red" in answer.stdout
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", answer.stdout)


def test_what_could_not_be_seen_is_told(stage: Stage) -> None:
    leak(stage, 2)
    answer = as_nobody("end", "-f", "state close-wait", "--yes")
    said = " ".join(answer.stdout.split())
    assert answer.returncode == 1
    assert "2 connections left alone: no descriptor of it can be seen" in said
    assert "Not seen: whose" in said
    nothing = as_nobody("end", "--process", "leaky", "--yes", "--format", "json")
    assert nothing.returncode == 0
    assert json.loads(nothing.stdout)["connections"] == []
    assert "run as root" in json.loads(nothing.stdout)["unseen"][0]
    forbidden = as_nobody("end", "-f", "state close-wait", "--yes", "--reset")
    assert forbidden.returncode == 1
    assert "run as root (CAP_NET_ADMIN)" in " ".join(forbidden.stdout.split())
    assert stage.count(State.CLOSE_WAIT) == 2


def test_where_the_answer_cannot_be_written_nothing_is_done(stage: Stage) -> None:
    leak(stage, 1)
    answer = lastack("end", "--process", "leaky", "--yes", "-o", "/nonexistent/x")
    assert answer.returncode == 2
    assert "cannot write /nonexistent/x" in answer.stderr
    assert stage.count(State.CLOSE_WAIT) == 1


def test_nothing_chosen_is_no_failure(stage: Stage) -> None:
    answer = lastack("end", "-f", "state close-wait", "--yes")
    assert (answer.returncode, answer.stdout) == (0, "No connection is chosen: nothing to end.\n")
