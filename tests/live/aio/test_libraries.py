"""aiohttp, httpx, anyio and uvicorn as they are, on a loop of ours: both ends are our TCP, in one process."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import httpx
import pytest
import uvicorn
from aiohttp import web

from lastack.drive.aio import EventLoop
from lastack.drive.blocking import real_stack

HOST, NOBODY = "10.9.0.2", "10.9.0.77"
CERTIFICATE = Path(__file__).parents[2] / "unit" / "drive" / "aio" / "server.pem"


def run(scene: Callable[[EventLoop], Awaitable[None]]) -> None:
    """Run it on a loop of ours, within twenty seconds. Packets to all but ourselves are lost."""

    async def whole() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        await asyncio.wait_for(scene(loop), 20)

    stack = real_stack([HOST])
    with asyncio.Runner(loop_factory=lambda: EventLoop(stack, networks=["10.9.0.0/24"], linger=0.5)) as runner:
        runner.run(whole())


async def serve(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any
) -> web.ServerRunner:
    """An aiohttp server on port 80."""
    runner = web.ServerRunner(web.Server(handler, **options.pop("server", {})), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 80, **options).start()
    return runner


async def hello(request: web.BaseRequest) -> web.Response:
    return web.Response(text=f"hello {request.remote}")


def test_httpx_keeps_a_connection_and_notices_that_it_is_gone() -> None:
    async def scene(loop: EventLoop) -> None:
        runner = await serve(hello, server={"keepalive_timeout": 0.1})
        async with httpx.AsyncClient() as client:
            for _ in range(5):
                assert (await client.get(f"http://{HOST}/")).text == f"hello {HOST}"
            assert loop.network.stack.counters.TcpActiveOpens == 1
            while not loop.network.stack.waiting():
                await asyncio.sleep(0.02)
            assert (await client.get(f"http://{HOST}/")).text == f"hello {HOST}"
            assert loop.network.stack.counters.TcpActiveOpens == 2
        await runner.cleanup()

    run(scene)


def test_aiohttp_opens_as_many_connections_as_it_is_allowed() -> None:
    async def scene(loop: EventLoop) -> None:
        runner = await serve(hello)
        connector = aiohttp.TCPConnector(limit=20)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def get() -> str:
                async with session.get(f"http://{HOST}/") as response:
                    return await response.text()

            assert set(await asyncio.gather(*(get() for _ in range(200)))) == {f"hello {HOST}"}
        assert loop.network.stack.counters.TcpActiveOpens == 20
        await runner.cleanup()

    run(scene)


def test_both_speak_tls() -> None:
    async def scene(loop: EventLoop) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)
        trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
        trusting.check_hostname = False
        runner = await serve(hello, ssl_context=context)
        async with httpx.AsyncClient(verify=trusting) as client:
            assert (await client.get(f"https://{HOST}:80/")).text == f"hello {HOST}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"https://{HOST}:80/", ssl=trusting) as response:
                assert await response.text() == f"hello {HOST}"
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"https://{HOST}:80/")
        await runner.cleanup()

    run(scene)


def test_a_slow_reader_holds_the_writer_up() -> None:
    written = 0

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))
            written += 1 << 16

    async def scene(loop: EventLoop) -> None:
        nonlocal written
        runner = await serve(endless)
        async with aiohttp.ClientSession(read_bufsize=1 << 16) as session:
            response = await session.get(f"http://{HOST}/")
            before = -1
            while before != written:
                before = written
                await asyncio.sleep(0.2)
            assert 0 < written < 16 << 20
            await response.content.readexactly(16 << 20)
            assert written >= 16 << 20
            response.close()
        await runner.cleanup()

    run(scene)


def test_errors_are_those_that_the_libraries_know() -> None:
    async def reset(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        request.transport.abort()
        return web.Response()

    async def silence(_: web.BaseRequest) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async def scene(loop: EventLoop) -> None:
        runner = await serve(reset)
        async with httpx.AsyncClient(timeout=0.2) as client, aiohttp.ClientSession() as session:
            with pytest.raises(httpx.ReadError):
                await client.get(f"http://{HOST}/")
            with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
                await session.get(f"http://{HOST}/")
            await runner.cleanup()
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://{HOST}/")
            with pytest.raises(aiohttp.ClientConnectorError, match="Connect call failed"):
                await session.get(f"http://{HOST}/")
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(f"http://{NOBODY}/")
            with pytest.raises(aiohttp.ConnectionTimeoutError):
                await session.get(f"http://{NOBODY}/", timeout=aiohttp.ClientTimeout(sock_connect=0.1))
            runner = await serve(silence)
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"http://{HOST}/")
            with pytest.raises(TimeoutError):
                await session.get(f"http://{HOST}/", timeout=aiohttp.ClientTimeout(total=0.1))
            await runner.cleanup()

    run(scene)


def test_anyio_as_a_client() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    async def scene(loop: EventLoop) -> None:
        await asyncio.start_server(shout, HOST, 7)
        async with await anyio.connect_tcp(HOST, 7) as stream:
            assert stream.extra(anyio.abc.SocketAttribute.remote_port) == 7
            assert stream.extra(anyio.abc.SocketAttribute.remote_address) == (HOST, 7)
            await stream.send(b"hello")
            await stream.send_eof()
            assert await stream.receive() == b"HELLO"
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        with pytest.raises(OSError, match="All connection attempts failed"):
            await anyio.connect_tcp(HOST, 8)
        with anyio.move_on_after(0.05) as scope:
            await anyio.connect_tcp(NOBODY, 7)
        assert scope.cancelled_caught

    run(scene)


def test_uvicorn_starts_serves_and_shuts_down() -> None:
    events: list[str] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        events.append(scope["type"])
        if scope["type"] == "lifespan":
            for _ in range(2):
                message = await receive()
                events.append(message["type"])
                await send({"type": message["type"] + ".complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        await send({"type": "http.response.body", "body": repr(scope["client"][0]).encode()})

    async def scene(loop: EventLoop) -> None:
        config = uvicorn.Config(application, HOST, 0, log_level="error")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient() as client:
            body = (await client.get(f"http://{HOST}:{port}/")).content
            assert body == bytes(10_000_000) + f"'{HOST}'".encode()
        server.should_exit = True
        await serving

    run(scene)
    assert events == ["lifespan", "lifespan.startup", "http", "lifespan.shutdown"]
