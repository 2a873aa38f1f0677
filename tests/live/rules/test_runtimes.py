"""Leaks of real programs of several runtimes: each is recognised, advised in its own words, and its code pointed at."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import lastack
from lastack.archive.facts import read, written
from lastack.linux import namespaces
from lastack.live import stacks
from lastack.live.processes import owners
from lastack.live.runtimes import runtime
from lastack.live.second_look import Look
from lastack.live.snapshot import take
from lastack.live.transitions.tap import Tap
from lastack.model.host import Runtime
from lastack.model.state import State
from lastack.report.machine import write_socket
from lastack.report.socket_view import socket_page
from lastack.report.terminal import render, render_socket

from .situations import LOOPBACK, Stage, advice, evidence, until

pytestmark = pytest.mark.root

PORT = 18_080

PYTHON_NOT_CLOSED = """
import socket, sys, threading
kept = []
def answer_and_forget(connection):
    while connection.recv(100):
        pass
    kept.append(connection)
    threading.Event().wait()
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        threading.Thread(target=answer_and_forget, args=(listener.accept()[0],), daemon=True).start()
"""
PYTHON_ASYNCIO = """
import asyncio, sys
async def never_reads(reader, writer):
    writer.transport.pause_reading()
    await asyncio.sleep(1000)
async def main():
    server = await asyncio.start_server(never_reads, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""
NODE = """
require("net").createServer({allowHalfOpen: true}, s => s.resume()).listen(+process.argv[2], "127.0.0.1");
"""
JAVA = """
import java.net.*; import java.util.*;
public class Leak {
    public static void main(String[] a) throws Exception {
        List<Socket> kept = new ArrayList<>();
        try (ServerSocket s = new ServerSocket(Integer.parseInt(a[0]), 16, InetAddress.getByName("127.0.0.1"))) {
            while (true) { Socket c = s.accept(); c.getInputStream().readAllBytes(); kept.add(c); }
        }
    }
}
"""
NGINX = """
daemon off; master_process off; pid {home}/pid; error_log {home}/errors;
events {{ }}
http {{
    access_log off; client_body_temp_path {home}/a; proxy_temp_path {home}/b; fastcgi_temp_path {home}/c;
    uwsgi_temp_path {home}/d; scgi_temp_path {home}/e;
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{backend};
        proxy_ignore_client_abort on; }} }}
}}
"""


class Scene:
    """Programs that listen on PORT, and their visitors; all of it ends with the test."""

    def __init__(self, stage: Stage, kept: ExitStack) -> None:
        self._stage = stage
        self._kept = kept

    def start(self, *command: str) -> None:
        process = self._kept.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        self._kept.callback(process.kill)
        until(lambda: PORT in self._stage.rows(State.LISTEN).values("local_port"), f"{command[0]} to listen")

    def visit(self, count: int, words: bytes = b"") -> None:
        """So many connections that say these words and close their side."""
        for _ in range(count):
            visitor = self._kept.enter_context(socket.create_connection((LOOPBACK, PORT)))
            visitor.sendall(words)
            visitor.shutdown(socket.SHUT_WR)
        self._stage.await_state(State.CLOSE_WAIT, count)


@pytest.fixture
def scene(stage: Stage) -> Iterator[Scene]:
    with ExitStack() as kept:
        yield Scene(stage, kept)


@pytest.mark.rule("close-wait-not-closed")
@pytest.mark.tool("py-spy")
def test_a_leaking_thread_of_python_is_pointed_at(stage: Stage, scene: Scene, tmp_path: Path) -> None:
    script = tmp_path / "leaky_service.py"
    script.write_text(PYTHON_NOT_CLOSED)
    scene.start(sys.executable, "-I", "-S", str(script), str(PORT))
    scene.visit(3, b"hello")
    found = stage.until_told("close-wait-not-closed", 3)
    facts = evidence(found)
    assert facts["runtime"] == "Python"
    assert facts["descriptors"].count(",") == 2
    assert facts["its Python threads are at"].startswith("answer_and_forget (leaky_service.py:8) (3 threads)")
    assert found.advice[0].do.startswith("In Python: with, or contextlib.closing")


@pytest.mark.rule("close-wait-eof-unread")
def test_an_event_loop_without_read_interest_is_seen_not_to_watch(stage: Stage, scene: Scene) -> None:
    scene.start(sys.executable, "-I", "-S", "-c", PYTHON_ASYNCIO, str(PORT))
    scene.visit(2)
    found = stage.until_told("close-wait-eof-unread", 2)
    facts = evidence(found)
    assert facts["watched by an epoll set"] == "0 of 2 looked at"
    assert facts["read from"].startswith("0 of 2 within ")
    assert "epoll_wait (1)" in facts["its threads sleep in"]
    assert "py-spy dump" in advice(found)


@pytest.mark.rule("close-wait-not-closed")
@pytest.mark.tool("node")
def test_a_half_open_server_of_node_js(stage: Stage, scene: Scene, tmp_path: Path) -> None:
    script = tmp_path / "server.js"
    script.write_text(NODE)
    scene.start("node", str(script), str(PORT))
    scene.visit(2, b"hello")
    found = stage.until_told("close-wait-not-closed", 2)
    assert evidence(found)["runtime"] == "Node.js"
    assert "allowHalfOpen" in found.advice[0].do


@pytest.mark.rule("close-wait-not-closed")
@pytest.mark.tool("java", "javac")
def test_a_server_of_java_that_keeps_its_sockets(stage: Stage, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "Leak.java").write_text(JAVA)
    subprocess.run(["javac", "-d", str(tmp_path), str(tmp_path / "Leak.java")], check=True, timeout=60)
    scene.start("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", str(tmp_path), "Leak", str(PORT))
    scene.visit(2, b"hello")
    found = stage.until_told("close-wait-not-closed", 2)
    assert evidence(found)["runtime"] == "Java"
    assert "try-with-resources" in found.advice[0].do
    # The first line of the summary names what runs: a class of a machine.
    assert "java Leak" in found.summary


@pytest.mark.rule("close-wait-eof-unread")
@pytest.mark.tool("nginx")
def test_an_nginx_that_waits_for_its_backend(stage: Stage, scene: Scene, tmp_path: Path) -> None:
    with ExitStack() as kept, socket.create_server((LOOPBACK, 0)) as backend:
        config = tmp_path / "nginx.conf"
        config.write_text(NGINX.format(home=tmp_path, port=PORT, backend=backend.getsockname()[1]))
        scene.start("nginx", "-c", str(config), "-p", str(tmp_path), "-e", str(tmp_path / "errors"))
        visitor = kept.enter_context(socket.create_connection((LOOPBACK, PORT)))
        visitor.sendall(b"GET / HTTP/1.0\r\n\r\n")
        kept.enter_context(backend.accept()[0])  # so the request has been read, and the end of file has not
        visitor.shutdown(socket.SHUT_WR)
        found = stage.until_told("close-wait-eof-unread", 1)
        assert evidence(found)["runtime"] == "nginx"
        assert "proxy_ignore_client_abort" in found.advice[0].do


def test_a_clients_pool_is_advised_as_a_pool(stage: Stage) -> None:
    with socket.create_server((LOOPBACK, 5432)) as database:
        client = stage.process("visitor")
        client.do("connect", LOOPBACK, 5432, 3)
        with ExitStack() as kept:
            for _ in range(3):
                kept.enter_context(database.accept()[0]).shutdown(socket.SHUT_WR)
            found = stage.until_told("close-wait-eof-unread", 3)
    assert "pool_pre_ping" in found.advice[0].do
    assert evidence(found)["looks like a pool of"] == "connections to PostgreSQL (port 5432)"


@pytest.mark.tool("docker")
def test_a_program_of_go_is_known_by_its_file(stage: Stage, tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, PORT)) as listener:
        environment = {**os.environ, "DOCKER_HOST": f"tcp://{LOOPBACK}:{PORT}", "HOME": str(tmp_path)}
        command = ["docker", "events"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as client:
            try:
                with listener.accept()[0]:
                    who = owners(None).processes[client.pid]
                    assert runtime(who) is Runtime.GO
            finally:
                client.kill()


# -- one socket, shown


@pytest.mark.parametrize("code", ["s.settimeout(1000); s.recv(1)", "import select; select.select([s], [], [])"])
def test_a_thread_that_waits_in_poll_or_select_is_found(stage: Stage, code: str) -> None:
    program = f"import socket, sys\ns = socket.create_connection(('127.0.0.1', {PORT}))\n{code}"
    with socket.create_server((LOOPBACK, PORT)) as listener:
        client = subprocess.Popen([sys.executable, "-I", "-S", "-c", program])
        with client:
            try:
                with listener.accept()[0] as accepted:
                    where = f"sport = :{accepted.getpeername()[1]}"
                    (cookie,) = lastack.connections(where=where).values("cookie").tolist()

                    def call() -> str | None:
                        found = lastack.socket(cookie)
                        assert found is not None and found.doing is not None and found.doing.wait is not None
                        assert found.doing.wait.blocked_by in (None, client.pid)
                        return found.doing.wait.blocked

                    until(lambda: call() in ("poll", "ppoll", "select", "pselect6"), "the thread to wait")
            finally:
                client.kill()


@pytest.mark.tool("py-spy")
def test_the_stack_of_the_thread_that_waits_for_the_socket_is_shown_first(stage: Stage, scene: Scene) -> None:
    code = """
import socket, sys, threading
def waits_for_its_peer(connection):
    connection.recv(1)
def does_nothing():
    threading.Event().wait()
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    connection, _ = listener.accept()
    for _ in range(3):
        threading.Thread(target=does_nothing, daemon=True).start()
    threading.Thread(target=waits_for_its_peer, args=(connection,), daemon=True).start()
    threading.Event().wait()
"""
    scene.start(sys.executable, "-I", "-S", "-c", code, str(PORT))
    with socket.create_connection((LOOPBACK, PORT)):
        (cookie,) = lastack.connections(where=f"sport = :{PORT} state established").values("cookie").tolist()

        def told() -> tuple[str, ...]:
            found = lastack.socket(cookie)
            assert found is not None
            page = socket_page(found.connection, None, found.taken_ns, found.doing)
            return tuple(title for title, _ in page.groups if title.startswith("Stack"))

        until(lambda: len(told()) == 3 and told()[0].endswith("which waits for this socket"), "all threads to be there")
        assert "waits_for_its_peer" in told()[0]
        assert told()[1].startswith("Stack of 3 threads, ")


@pytest.mark.tool("py-spy")
def test_a_hostile_name_of_a_file_is_harmless_where_the_code_is_named(
    stage: Stage, scene: Scene, tmp_path: Path
) -> None:
    script = tmp_path / "\x1b[31mred\u202e.py"
    script.write_text(PYTHON_NOT_CLOSED)
    scene.start(sys.executable, "-I", "-S", str(script), str(PORT))
    scene.visit(1, b"hello")
    found = stage.until_told("close-wait-not-closed", 1)
    assert "red" in str(evidence(found)["its Python threads are at"])
    shown = io.StringIO()
    render(stage.report, shown, verbose=True)
    (cookie,) = found.connections.values("cookie").tolist()
    one = lastack.socket(cookie)
    assert one is not None
    render_socket(one.connection, None, shown, now=one.taken_ns, doing=one.doing)
    write_socket(one.connection, None, shown, one.doing)
    assert "answer_and_forget" in shown.getvalue()
    assert "\x1b" not in shown.getvalue() and "\u202e" not in shown.getvalue()


def test_a_look_that_comes_again_and_again_asks_for_no_stacks(stage: Stage) -> None:
    server, client, _ = stage.connected(1)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 1)
    (seen,) = take([namespaces.own()], Look(0, 0, stacks=False))
    assert seen.facts.runtimes[server.pid] is Runtime.PYTHON
    assert seen.facts.stacks == {}
    assert read(written(seen.facts)) == seen.facts  # and it can be recorded


@pytest.mark.tool("py-spy")
def test_a_process_that_has_ended_has_no_stacks() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert stacks.python_stacks(process.pid, patience_s=5) == ()


@pytest.mark.rule("close-wait-eof-unread")
def test_a_watch_tells_exactly_when_a_connection_was_opened(stage: Stage) -> None:
    with Tap(frozenset({namespaces.own().inode})):
        server, client, _ = stage.connected(1)
        client.do("send", 1)
        server.do("read_some", 1)
        server.do("send", 1)  # data went both ways: the kernel's clocks tell no more when it was opened
        client.do("shut")
        found = stage.until_told("close-wait-eof-unread", 1)
        assert evidence(found)["opened"].endswith(" ago")
        (cookie,) = found.connections.values("cookie").tolist()
        one = lastack.socket(cookie)
        assert one is not None
        groups = dict(socket_page(one.connection, None, one.taken_ns, one.doing).groups)
        use = {fact.label: fact for fact in groups["Use"]}
        assert use["opened by"].value.startswith("accept() at ")
        assert use["opened"].source == "BPF, a running watch"


def test_without_py_spy_nothing_is_said_of_stacks(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_tool", lambda: None)
    server, client, _ = stage.connected(1)
    client.do("shut")
    facts = evidence(stage.until_told("close-wait-eof-unread", 1))
    assert facts["runtime"] == "Python"
    assert "its Python threads are at" not in facts
    assert str(server.pid) not in facts


@pytest.mark.parametrize("tool", ["/bin/false", "/bin/true", "/bin/cat", "/nonexistent", "hangs"])
def test_a_py_spy_that_does_not_work_harms_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: str
) -> None:
    if tool == "hangs":
        script = tmp_path / "py-spy"
        script.write_text("#!/bin/sh\nexec sleep 60\n")
        script.chmod(0o755)
        tool = str(script)
    monkeypatch.setattr(stacks, "_tool", lambda: tool)
    server = stage.process("some")
    server.do("call_myself", "some")
    assert stacks.python_stacks(server.pid, patience_s=0.2) == ()
