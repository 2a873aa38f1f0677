"""Scenes with servers, streams, TLS and files."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path

from .stage import NOBODY_LISTENS, BufferedSide, Scene, Side, World, told

_CERTIFICATE = Path(__file__).with_name("server.pem")


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's that believes the server's."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(_CERTIFICATE)
    return ssl.create_default_context(cafile=str(_CERTIFICATE)), server


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


# -- servers


async def life_of_a_server(world: World) -> None:
    server = await world.loop.create_server(Side, world.host, 0, start_serving=False)
    world.note(f"{server.is_serving()} {len(server.sockets)} {server.get_loop() is world.loop}")
    try:
        await world.connect(Side, port_of(server))
    except OSError as error:
        world.note(told(error))
    await server.start_serving()
    await server.start_serving()
    world.note(f"{server.is_serving()}")
    client = Side()
    await world.connect(lambda: client, port_of(server))
    port = port_of(server)
    async with server:
        with suppress(OSError):
            await world.loop.create_server(Side, world.host, port)
            world.note("two in one place")
        server.close()
        world.note(f"{server.is_serving()} {server.sockets} {client.transport.is_closing()}")
        client.transport.close()
    server.close()
    try:
        await world.connect(Side, port)
    except OSError as error:
        world.note(told(error))
    await client.saw("lost")
    try:
        await server.serve_forever()
    except RuntimeError as error:
        world.note(str(error).split(">")[-1])


async def serving_for_ever(world: World) -> None:
    server = await world.loop.create_server(Side, world.host, 0)
    task = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    try:
        await server.serve_forever()
    except RuntimeError as error:
        world.note(str(error).split(">")[-1])
    world.note(f"{server.is_serving()} {task.done()}")
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
        world.note("returned")
    world.note(f"{server.is_serving()} {task.cancelled()}")


async def address_in_use(world: World) -> None:
    server = await world.loop.create_server(Side, world.host, 0)
    try:
        await world.loop.create_server(Side, world.host, port_of(server))
    except OSError as error:
        world.note(told(error))
    shared = [await world.loop.create_server(Side, world.host, 0, reuse_port=True)]
    shared.append(await world.loop.create_server(Side, world.host, port_of(shared[0]), reuse_port=True))
    world.note(f"{len(shared)} share a port")
    for one in (server, *shared):
        one.close()


async def again_in_the_same_place(world: World) -> None:
    """The server closed its connection first: its port is in TIME_WAIT, which is no obstacle to another server."""
    port = 0
    for turn in range(3):
        there = Side()
        server = await world.loop.create_server(lambda there=there: there, world.host, port)  # type: ignore[misc]
        port = port_of(server)
        client = Side()
        await world.connect(lambda client=client: client, port)  # type: ignore[misc]
        await there.saw("made")
        there.transport.close()
        await client.saw("lost")
        server.close()
        await server.wait_closed()
        world.note(f"turn {turn}")


async def waiting_for_an_open_server(world: World) -> None:
    server = await world.loop.create_server(Side, world.host, 0)
    client = Side()
    await world.connect(lambda: client, port_of(server))
    await asyncio.sleep(0.01)
    server.close()
    waiting = asyncio.create_task(server.wait_closed())
    await asyncio.sleep(0.01)
    world.note(f"waited {waiting.done()}")
    client.transport.close()
    await waiting


async def arguments_that_do_not_fit(world: World) -> None:
    loop = world.loop
    for call in (
        lambda: loop.create_connection(Side, world.host, 1, server_hostname="name"),
        lambda: loop.create_connection(Side, world.host, 1, ssl_handshake_timeout=1),
        lambda: loop.create_connection(Side, world.host, 1, ssl_shutdown_timeout=1),
        lambda: loop.create_server(Side, world.host, 0, ssl=True),
        lambda: loop.create_server(Side, world.host, 0, ssl_handshake_timeout=1),
        lambda: loop.create_server(Side, world.host, 0, ssl_shutdown_timeout=1),
    ):
        try:
            await call()
        except (ValueError, TypeError) as error:
            world.note(f"{type(error).__name__} {error}")


# -- streams


async def streams(world: World) -> None:
    server = await asyncio.start_server(_echo, world.host, 0)
    reader, writer = await world.open(port_of(server))
    writer.write(b"one\ntwo\nthree")
    world.note(f"{await reader.readline()!r} {await reader.readuntil(b'o')!r} {await reader.readexactly(1)!r}")
    writer.write_eof()
    world.note(f"{await reader.read()!r} {reader.at_eof()}")
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def much_there_and_back(world: World) -> None:
    server = await asyncio.start_server(_echo, world.host, 0)
    reader, writer = await world.open(port_of(server))
    data = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(1 << 16))

    async def send() -> None:
        for at in range(0, len(data), 10_007):
            writer.write(data[at : at + 10_007])
            await writer.drain()
        writer.write_eof()

    _, back = await asyncio.gather(send(), reader.read())
    world.note(f"{hashlib.sha256(back).hexdigest()}")
    writer.close()
    await writer.wait_closed()
    server.close()


async def streams_that_break(world: World) -> None:
    def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        side = Side()
        side.connection_made(writer.transport)
        writer.transport.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    server = await asyncio.start_server(reset, world.host, 0)
    reader, writer = await world.open(port_of(server))
    for attempt in (reader.read, lambda: reader.readexactly(1), writer.drain, writer.wait_closed):
        try:
            world.note(f"{await attempt()!r}")
        except OSError as error:
            world.note(told(error))
    server.close()


async def impatient(world: World) -> None:
    """A wait that times out leaves the connection as it was."""
    server = await asyncio.start_server(_echo, world.host, 0)
    reader, writer = await world.open(port_of(server))
    for _ in range(2):
        try:
            await asyncio.wait_for(reader.readline(), 0.02)
        except TimeoutError:
            world.note("nothing came")
    writer.write(b"now\n")
    world.note(f"{await asyncio.wait_for(reader.readline(), 5)!r}")
    writer.close()
    await writer.wait_closed()
    server.close()


async def one_after_the_other(world: World) -> None:
    """Of several addresses the first that answers is taken; the errors of all are told."""
    server = await asyncio.start_server(_echo, world.host, 0)
    for delay in (None, 0.01):
        _, writer = await world.open(port_of(server), happy_eyeballs_delay=delay)
        writer.close()
        await writer.wait_closed()
        try:
            await world.open(NOBODY_LISTENS, happy_eyeballs_delay=delay)
        except OSError as error:
            world.note(f"{type(error).__name__} {error}")
    server.close()


# -- TLS


async def spoken_in_secret(world: World) -> None:
    trusting, proven = contexts()
    side = Side(keep_open=True)
    server = await world.loop.create_server(lambda: side, world.host, 0, ssl=proven)
    client = Side()
    world.sides += [client, side]
    there = (world.host, port_of(server))
    transport = await world.connect(lambda: client, there[1], ssl=trusting, server_hostname="server.test")
    world.note(f"{transport is client.transport} {transport.get_extra_info('peername') == there}")
    world.note(f"{transport.get_extra_info('cipher') is not None} {transport.get_extra_info('socket') is not None}")
    amount = 4 << 20
    transport.write(bytes(amount))
    await side.has(amount)
    side.transport.write(b"heard")
    await client.has(5)
    transport.close()
    await world.over()
    server.close()


async def a_name_that_is_not_proven(world: World) -> None:
    trusting, proven = contexts()
    server = await world.loop.create_server(Side, world.host, 0, ssl=proven)
    try:
        await world.connect(Side, port_of(server), ssl=trusting, server_hostname="other.test")
    except ssl.SSLCertVerificationError as error:
        world.note(error.verify_message)
    await asyncio.sleep(0.05)
    server.close()


async def secret_from_now_on(world: World) -> None:
    """StreamWriter.start_tls on both ends of a connection that began in the clear."""
    trusting, proven = contexts()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        world.note(f"{await reader.readline()!r}")
        writer.write(b"go on\n")
        await writer.drain()
        await writer.start_tls(proven)
        await _echo(reader, writer)

    server = await asyncio.start_server(serve, world.host, 0)
    reader, writer = await world.open(port_of(server))
    writer.write(b"STARTTLS\n")
    world.note(f"{await reader.readline()!r}")
    await writer.start_tls(trusting, server_hostname="server.test")
    writer.write(b"secret\n")
    world.note(f"{await reader.readline()!r} {writer.get_extra_info('cipher') is not None}")
    writer.close()
    await writer.wait_closed()
    server.close()


async def no_answer_to_the_handshake(world: World) -> None:
    trusting, _ = contexts()
    server = await world.loop.create_server(Side, world.host, 0)
    try:
        await world.connect(
            Side, port_of(server), ssl=trusting, server_hostname="server.test", ssl_handshake_timeout=0.05
        )
    except ConnectionAbortedError as error:
        world.note(str(error))
    server.close()


# -- files


async def a_file_is_sent(world: World) -> None:
    content = bytes(range(256)) * 4096 * 3
    with tempfile.TemporaryFile() as file:
        file.write(content)
        for offset, count in ((0, None), (100, None), (100, 1000), (len(content) - 5, 1000)):
            client, server = await world.pair(Side(), BufferedSide() if count else Side())
            client.transport.write(b"before ")
            sent = await world.loop.sendfile(client.transport, file, offset, count)
            world.note(f"held back {client.transport.get_write_buffer_size()}")
            client.transport.write(b" after")
            end = None if count is None else offset + count
            await server.has(sent + 13)
            world.note(f"{sent} {file.tell()} {bytes(server.data) == b'before ' + content[offset:end] + b' after'}")
            world.note(f"{client.transport.is_reading()}")
            client.transport.close()
            await client.saw("lost")
            with suppress(RuntimeError):
                await world.loop.sendfile(client.transport, file)
                world.note("sent to nobody")


SCENES: tuple[Scene, ...] = (
    life_of_a_server,
    serving_for_ever,
    address_in_use,
    again_in_the_same_place,
    waiting_for_an_open_server,
    arguments_that_do_not_fit,
    streams,
    much_there_and_back,
    streams_that_break,
    impatient,
    one_after_the_other,
    spoken_in_secret,
    a_name_that_is_not_proven,
    secret_from_now_on,
    no_answer_to_the_handshake,
    a_file_is_sent,
)
