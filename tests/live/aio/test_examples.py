"""The examples, each run by one command, and reached from within its namespace by peers on the kernel's TCP."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import aiohttp
import httpx
import pytest

from lastack.linux import namespaces

pytestmark = pytest.mark.root
EXAMPLES = Path(__file__).parents[3] / "examples"
T = TypeVar("T")


@contextmanager
def running(name: str) -> Iterator[subprocess.Popen[str]]:
    """An example while it runs, and the calling thread in its namespace. Ctrl-C ends it, without a word."""
    command = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.match(r"nsenter --net=/proc/(\d+)/ns/net ", process.stdout.readline())
        assert found is not None, process.communicate()[1]
        assert int(found[1]) == process.pid
        with namespaces.entered(namespaces.choose(found[1])[0]):
            yield process
        process.send_signal(signal.SIGINT)
        assert clean(last_words(process))
    finally:
        process.kill()
        process.communicate()


def last_words(process: subprocess.Popen[str]) -> str:
    """What a program that ends by itself still says to its standard error; of one that does not, where it is stuck."""
    try:
        return process.communicate(timeout=20)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        pytest.fail(f"it does not end:\n{process.communicate()[1]}")


def clean(errors: str) -> bool:
    """Whether nothing went wrong. (Servers log, and in its development mode asyncio tells of slow callbacks.)"""
    return not re.search("Traceback|Error|Warning|Exception", errors)


def patiently(call: Callable[[], T]) -> T:
    """The result of a call that may come before the server is up."""
    end = time.monotonic() + 20
    while True:
        try:
            return call()
        except (OSError, httpx.ConnectError, aiohttp.ClientConnectionError):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_the_echo_server() -> None:
    data = bytes(range(256)) * 8192

    def send(client: socket.socket) -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    with running("echo_server.py"):
        client = patiently(lambda: socket.create_connection(("10.9.0.2", 7), timeout=10))
        sending = threading.Thread(target=send, args=(client,))
        sending.start()
        assert b"".join(iter(lambda: client.recv(1 << 16), b"")) == data
        sending.join()
        client.close()


def test_the_aiohttp_server() -> None:
    async def visit() -> None:
        async with aiohttp.ClientSession("http://10.9.0.2:8080") as session:
            for _ in range(2):
                async with session.get("/") as answer:
                    assert re.fullmatch(r"hello 10\.9\.0\.1, your round trip is \d+ us\n", await answer.text())
            async with session.get("/source", headers={"Range": "bytes=10-99"}) as answer:
                assert answer.status == 206
                assert await answer.read() == (EXAMPLES / "aiohttp_server.py").read_bytes()[10:100]
            async with session.ws_connect("/shout") as talk:
                await talk.send_str("hello")
                assert await talk.receive_str() == "HELLO"

    with running("aiohttp_server.py"):
        patiently(lambda: asyncio.run(visit()))


def test_the_uvicorn_application() -> None:
    with running("uvicorn_app.py"), httpx.Client(base_url="http://10.9.0.2:8000") as client:
        assert patiently(lambda: client.get("/")).text == "hello 10.9.0.1\n"
        body = bytes(range(256)) * 4096
        assert client.post("/", content=body).content == body
        assert client.post("/", content=iter([body[:1000], body[1000:]])).content == body


def test_the_http_clients() -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / "http_clients.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert clean(done.stderr), done.stderr
    sizes = {path.name: path.stat().st_size for path in EXAMPLES.glob("*.py")}
    for name, size in sizes.items():
        line = f"200 /{name} {size} octets\n"
        assert done.stdout.count(f"httpx {line}") == 2
        assert done.stdout.count(f"aiohttp {line}") == 1
    # All at once with httpx, which then keeps them; one after the other, over one, with aiohttp.
    assert done.stdout.endswith(f"our TCP opened {len(sizes) + 1} connections\n")
