"""The event loop that knows two TCPs: which of them is whose, and what libraries do to loops and sockets."""

from __future__ import annotations

import asyncio
import gc
import select
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lastack.drive.aio import EventLoop, Server, Transport
from lastack.drive.blocking import real_stack

from .cable import cable
from .stage import Side

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="our TCP's descriptors are Linux's")
OURS, THEIRS = "10.9.0.2", "127.0.0.1"


def run(scene: Callable[[EventLoop], Awaitable[None]]) -> None:
    """Run it on a loop whose network is 10.9.0.2 alone, within ten seconds."""

    async def whole() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        tasks = asyncio.all_tasks()
        async with asyncio.timeout(10):
            await scene(loop)
            # The kernel's transports, above all, must not be left to the garbage collector.
            while others := asyncio.all_tasks() - tasks:
                await asyncio.wait(others)
            await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=lambda: EventLoop(real_stack([OURS, "fd09::2"]), linger=0.5)) as runner:
        runner.run(whole())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()
    await writer.wait_closed()


async def answer(writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> bytes:
    writer.write(b"hello")
    writer.write_eof()
    said = await reader.read()
    writer.close()
    await writer.wait_closed()
    return said


@pytest.mark.parametrize("host", (OURS, "fd09::2"))
def test_an_address_of_ours_is_served_and_reached_by_our_tcp(host: str) -> None:
    async def scene(loop: EventLoop) -> None:
        server = await asyncio.start_server(echo, host, 0)
        assert isinstance(server, Server)
        reader, writer = await asyncio.open_connection(host, server.sockets[0].getsockname()[1])
        assert isinstance(writer.transport, Transport)
        assert writer.get_extra_info("peername")[:2] == (host, server.sockets[0].getsockname()[1])
        assert await answer(writer, reader) == b"hello"
        assert loop.network.stack.counters.TcpPassiveOpens == 1

    run(scene)


@pytest.mark.parametrize("host", (THEIRS, "localhost"))
def test_every_other_address_is_the_kernels(host: str) -> None:
    async def scene(loop: EventLoop) -> None:
        server = await asyncio.start_server(echo, host, 0, family=socket.AF_INET)
        assert not isinstance(server, Server)
        reader, writer = await asyncio.open_connection(host, server.sockets[0].getsockname()[1])
        assert not isinstance(writer.transport, Transport)
        assert await answer(writer, reader) == b"hello"
        assert loop.network.stack.counters.as_dict() == {}
        server.close()

    run(scene)


@pytest.mark.parametrize(
    ("host", "where"),
    (
        (None, {OURS, "fd09::2"}),
        ("", {OURS, "fd09::2"}),
        ("0.0.0.0", {OURS}),
        ("::", {"fd09::2"}),
        ([OURS, "fd09::2"], {OURS, "fd09::2"}),
    ),
)
def test_who_serves_everybody_serves_every_address_of_ours_and_none_of_the_kernels(host: Any, where: set[str]) -> None:
    async def scene(loop: EventLoop) -> None:
        server = await loop.create_server(Side, host, 0)
        places = [one.getsockname() for one in server.sockets]
        assert {place[0] for place in places} == where
        assert len({place[1] for place in places}) == 1
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Side, THEIRS, places[0][1])
        for address in where:
            await loop.create_connection(Side, address, places[0][1])

    run(scene)


def test_a_server_is_either_ours_or_the_kernels() -> None:
    async def scene(loop: EventLoop) -> None:
        with pytest.raises(ValueError, match="make two servers"):
            await loop.create_server(Side, [OURS, THEIRS], 0)

    run(scene)


def test_a_name_is_looked_up_by_the_system_and_reached_by_whom_its_address_belongs_to() -> None:
    async def scene(loop: EventLoop) -> None:
        async def found(host: Any, *_: Any, **__: Any) -> list[Any]:
            address = {"ours.test": OURS, "theirs.test": THEIRS}[host]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        loop.getaddrinfo = found  # type: ignore[method-assign]
        for name, address in (("ours.test", OURS), ("theirs.test", THEIRS)):
            server = await asyncio.start_server(echo, address, 0)
            port = server.sockets[0].getsockname()[1]
            _, writer = await asyncio.open_connection(name, port)
            assert writer.get_extra_info("peername") == (address, port)
            assert isinstance(writer.transport, Transport) == (address == OURS)
            writer.close()
            server.close()

    run(scene)


@pytest.mark.parametrize(("host", "port"), ((OURS, "80"), ("10.9.0.2", b"80"), (b"10.9.0.2", 80), (OURS, "http")))
def test_hosts_and_ports_may_be_written_as_asyncio_takes_them(host: Any, port: Any) -> None:
    async def scene(loop: EventLoop) -> None:
        await loop.create_server(Side, OURS, 80)
        transport, _ = await loop.create_connection(Side, host, port)
        assert transport.get_extra_info("peername") == (OURS, 80)

    run(scene)


def test_processes_datagrams_and_unix_sockets_are_the_kernels() -> None:
    async def scene(loop: EventLoop) -> None:
        process = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
        assert (await process.communicate())[0] == b"hello\n"
        one, other = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=one)
        other.sendall(b"through a pair")
        other.close()
        assert await reader.read() == b"through a pair"
        writer.close()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, (THEIRS, 0))
        transport.close()

    run(scene)


def test_a_socket_that_is_connected_to_us_is_a_token_for_a_transport() -> None:
    """So aiohttp connects: it makes a socket, has the loop connect it, and has it made a transport."""

    async def scene(loop: EventLoop) -> None:
        server = await asyncio.start_server(echo, OURS, 0)
        with socket.socket() as token:
            token.setblocking(False)
            await loop.sock_connect(token, server.sockets[0].getsockname())
            reader, writer = await asyncio.open_connection(sock=token)
            assert isinstance(writer.transport, Transport)
            assert token.fileno() == -1
            assert await answer(writer, reader) == b"hello"
        with socket.socket() as token:
            token.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(token, (OURS, 1))

    run(scene)


def test_a_token_that_is_dropped_closes_its_connection() -> None:
    async def scene(loop: EventLoop) -> None:
        side = Side()
        server = await loop.create_server(lambda: side, OURS, 0)
        token = socket.socket()
        token.setblocking(False)
        await loop.sock_connect(token, server.sockets[0].getsockname())
        await side.saw("made")
        token.close()
        del token
        gc.collect()
        await side.saw("lost None")

    run(scene)


def test_the_kernel_connects_its_own_sockets_as_ever() -> None:
    async def scene(loop: EventLoop) -> None:
        server = await asyncio.start_server(echo, THEIRS, 0)
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, server.sockets[0].getsockname())
            await loop.sock_sendall(sock, b"hello")
            assert await loop.sock_recv(sock, 100) == b"hello"
        server.close()

    run(scene)


def test_a_connections_descriptor_is_readable_when_the_connection_is() -> None:
    """So httpx finds out whether the peer has closed a connection that it has kept."""

    def readable(side: Side) -> bool:
        poll = select.poll()
        poll.register(side.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    async def scene(loop: EventLoop) -> None:
        side, client = Side(keep_open=True), Side(keep_open=True)
        server = await loop.create_server(lambda: side, OURS, 0)
        await loop.create_connection(lambda: client, *server.sockets[0].getsockname())
        await side.saw("made")
        assert not readable(client)
        client.transport.pause_reading()
        side.transport.write(b"data")
        await asyncio.sleep(0.01)
        assert readable(client)
        client.transport.resume_reading()
        await client.has(4)
        assert not readable(client)
        client.transport.pause_reading()
        side.transport.write_eof()
        await asyncio.sleep(0.01)
        assert readable(client)
        client.transport.resume_reading()
        await client.saw("eof")
        assert readable(client)
        client.transport.close()
        await client.saw("lost")
        assert client.transport.get_extra_info("socket").fileno() == -1

    run(scene)


def test_a_loop_that_is_closed_has_closed_its_device_and_its_connections() -> None:
    one, other = cable()
    loop = EventLoop(real_stack([OURS]), one, ["10.9.0.0/24"])
    there = EventLoop(real_stack(["10.9.0.1"]), other, ["10.9.0.0/24"])

    async def close_while_running() -> None:
        with pytest.raises(RuntimeError, match="running"):
            loop.close()

    loop.run_until_complete(close_while_running())
    loop.close()
    loop.close()
    assert loop.is_closed()
    assert one.fileno() == -1
    there.close()
