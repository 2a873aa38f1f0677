"""What may happen between two ends of a connection: each is played on the kernel's TCP and on ours."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from contextlib import suppress

from .stage import NOBODY_LISTENS, BufferedSide, Scene, Side, World, linger_zero, told


async def orderly(world: World) -> None:
    client, server = await world.pair(Side(), Side(data=lambda side: side.transport.write(bytes(side.data))))
    client.transport.write(b"hello")
    await client.has(5)
    world.note(f"{bytes(client.data)!r} {client.transport.is_closing()}")
    client.transport.close()
    world.note(f"{client.transport.is_closing()} {client.transport.is_reading()}")
    await world.over()
    assert bytes(server.data) == b"hello"


async def half_closed(world: World) -> None:
    client, server = await world.pair(Side(), Side(keep_open=True))
    world.note(f"{client.transport.can_write_eof()}")
    client.transport.write(b"question")
    client.transport.write_eof()
    client.transport.write_eof()
    await server.saw("eof")
    server.transport.write(b"answer")
    await client.has(6)
    world.note(f"{bytes(server.data)!r} {bytes(client.data)!r} {server.transport.is_closing()}")
    server.transport.close()
    await world.over()


async def half_closed_and_refused(world: World) -> None:
    """eof_received() says nothing: the transport closes itself."""
    client, _ = await world.pair(Side(), Side())
    client.transport.write_eof()
    with suppress(RuntimeError):
        client.transport.write(b"too late")
        world.note("written")
    await world.over()


async def reset(world: World) -> None:
    client, _ = await world.pair(Side(), Side())
    linger_zero(client.transport)
    client.transport.abort()
    await world.over()


async def reset_while_writing(world: World) -> None:
    client, server = await world.pair(Side(), Side(keep_open=True))
    client.transport.pause_reading()
    server.transport.pause_reading()
    while not server.transport.get_write_buffer_size():
        server.transport.write(bytes(1 << 20))
    await server.saw("pause")
    linger_zero(client.transport)
    client.transport.abort()
    await world.over()
    world.note(f"{server.transport.get_write_buffer_size()}")


async def reset_after_data(world: World) -> None:
    """What came before the RST is still delivered, then the error."""
    client, server = await world.pair(Side(), Side(made=lambda side: side.transport.pause_reading()))
    client.transport.write(b"last words")
    await asyncio.sleep(0.05)
    linger_zero(client.transport)
    client.transport.abort()
    await client.saw("lost")
    await asyncio.sleep(0.05)
    world.note(f"unheard {server.notes}")
    server.transport.resume_reading()
    await world.over()


async def reset_while_closing(world: World) -> None:
    """close() waits for what the transport still holds back, but not for ever."""
    client, server = await world.pair(Side(), Side(made=lambda side: side.transport.pause_reading()))
    while not client.transport.get_write_buffer_size():
        client.transport.write(bytes(1 << 20))
    client.transport.close()
    await asyncio.sleep(0.02)
    world.note(f"{client.transport.is_closing()} {client.notes}")
    server.transport.close()
    await world.over()


async def closed_with_unread_data(world: World) -> None:
    client, server = await world.pair(Side(), Side(made=lambda side: side.transport.pause_reading()))
    client.transport.write(b"nobody reads this")
    await asyncio.sleep(0.05)
    server.transport.close()
    await world.over()


async def writing_to_the_departed(world: World) -> None:
    client, server = await world.pair(Side(keep_open=True), Side())
    server.transport.close()
    await client.saw("eof")
    for _ in range(8):
        client.transport.write(b"anybody there?")
        await asyncio.sleep(0.02)
    await world.over()
    world.note(f"{client.transport.is_closing()} {client.transport.get_write_buffer_size()}")


async def paused_reading(world: World) -> None:
    client, server = await world.pair(Side(), Side(made=lambda side: side.transport.pause_reading()))
    world.note(f"{server.transport.is_reading()}")
    client.transport.write(b"patience")
    client.transport.write_eof()
    await asyncio.sleep(0.05)
    world.note(f"{server.notes}")
    server.transport.resume_reading()
    server.transport.resume_reading()
    world.note(f"{server.transport.is_reading()} {server.notes}")
    await world.over()
    assert bytes(server.data) == b"patience"


async def paused_in_the_middle(world: World) -> None:
    """The end of file waits behind the pause."""

    def once(side: Side) -> None:
        side.transport.pause_reading()

    client, server = await world.pair(Side(), Side(data=once))
    client.transport.write(b"word")
    client.transport.write_eof()
    await server.saw("data")
    await asyncio.sleep(0.05)
    world.note(f"{server.notes}")
    server.transport.resume_reading()
    await world.over()


async def slow_reader(world: World) -> None:
    client, server = await world.pair(Side(), Side(made=lambda side: side.transport.pause_reading()))
    world.note(f"{client.transport.get_write_buffer_limits()}")
    client.transport.set_write_buffer_limits(high=100_000)
    world.note(f"{client.transport.get_write_buffer_limits()}")
    amount = 32 << 20
    client.transport.write(bytes(amount))
    world.note(f"held back {client.transport.get_write_buffer_size() > 100_000}")
    client.transport.close()
    await asyncio.sleep(0.05)
    world.note(f"closing {client.transport.is_closing()} {client.notes}")
    server.transport.resume_reading()
    await world.over()
    world.note(f"{len(server.data) == amount}")


async def limits(world: World) -> None:
    client, server = await world.pair(Side(), Side())
    for high, low in ((None, None), (1000, None), (None, 1000), (10, 5), (0, 0)):
        client.transport.set_write_buffer_limits(high=high, low=low)
        world.note(f"{client.transport.get_write_buffer_limits()}")
    for high, low in ((5, 10), (10, -1)):
        try:
            client.transport.set_write_buffer_limits(high=high, low=low)
        except ValueError as error:
            world.note(str(error))
    server.transport.close()
    await world.over()


async def write_eof_after_much(world: World) -> None:
    client, server = await world.pair(Side(), Side(made=lambda side: side.transport.pause_reading()))
    amount = 16 << 20
    client.transport.write(bytes(amount))
    client.transport.write_eof()
    try:
        client.transport.write(b"more")
    except RuntimeError as error:
        world.note(str(error))
    server.transport.resume_reading()
    await world.over()
    world.note(f"{len(server.data) == amount}")


async def wrong_things_written(world: World) -> None:
    client, server = await world.pair(Side(), Side())
    for wrong in ("text", 7, None):
        try:
            client.transport.write(wrong)  # type: ignore[arg-type]
        except TypeError as error:
            world.note(str(error))
    client.transport.write(b"")
    client.transport.write(bytearray(b"one "))
    client.transport.write(memoryview(b"two "))
    client.transport.writelines([b"three ", bytearray(b"four"), memoryview(b".")])
    await server.has(19)
    world.note(f"{bytes(server.data)!r}")
    client.transport.close()
    client.transport.write(b"after close()")
    await world.over()
    client.transport.write(b"after the end")
    client.transport.close()
    client.transport.abort()


def _fail(_: Side) -> None:
    raise LookupError("on purpose")


async def data_received_fails(world: World) -> None:
    client, _ = await world.pair(Side(), Side(data=_fail))
    client.transport.write(b"trouble")
    await world.over()


async def eof_received_fails(world: World) -> None:
    client, _ = await world.pair(Side(), Side(eof=_fail))
    client.transport.write_eof()
    await world.over()


async def connection_made_fails(world: World) -> None:
    client, server = await world.pair(Side(), Side(made=_fail))
    client.transport.write(b"nevertheless")
    await server.has(12)
    client.transport.close()
    await world.over()


async def connection_lost_fails(world: World) -> None:
    client, _ = await world.pair(Side(), Side(lost=_fail))
    client.transport.close()
    await world.over()
    await asyncio.sleep(0.01)


async def pause_writing_fails(world: World) -> None:
    client, server = await world.pair(Side(pause=_fail, resume=_fail), Side())
    server.transport.pause_reading()
    client.transport.write(bytes(32 << 20))
    server.transport.resume_reading()
    await client.saw("resume")
    client.transport.close()
    await world.over()


async def buffered(world: World) -> None:
    client, server = await world.pair(BufferedSide(), BufferedSide())
    server.transport.write(b"more than seven octets")
    server.transport.write_eof()
    await world.over()
    world.note(f"{bytes(client.data)!r}")


async def buffer_of_nothing(world: World) -> None:
    side = BufferedSide()
    side.buffer = bytearray()
    client, _ = await world.pair(Side(), side)
    client.transport.write(b"where to?")
    await world.over()


async def buffer_update_fails(world: World) -> None:
    client, _ = await world.pair(Side(), BufferedSide(data=_fail))
    client.transport.write(b"trouble")
    await world.over()


async def another_protocol(world: World) -> None:
    client, server = await world.pair(Side(), Side())
    heir = BufferedSide()
    heir.transport = server.transport
    server.transport.set_protocol(heir)
    world.note(f"{server.transport.get_protocol() is heir}")
    client.transport.write(b"for the heir")
    await heir.has(12)
    client.transport.close()
    await heir.saw("lost")
    world.note(f"{heir.notes}")


async def order_of_tasks(world: World) -> None:
    """Who runs first: a task started in a callback, the one that waits for the connection, the next callback."""

    async def noted(what: str) -> None:
        world.note(what)

    tasks: set[asyncio.Task[None]] = set()

    def start(what: str) -> None:
        world.note(f"callback {what}")
        tasks.add(asyncio.create_task(noted(f"task of {what}")))

    def greet(side: Side) -> None:
        side.transport.write(b"greeting")
        side.transport.write_eof()

    client = Side(made=lambda _: start("made"), data=lambda _: start("data"), eof=lambda _: start("eof"))
    client.on["lost"] = lambda _: start("lost")
    listener = await world.loop.create_server(lambda: Side(made=greet), world.host, 0)
    await world.connect(lambda: client, listener.sockets[0].getsockname()[1])
    world.note("connected")
    await client.saw("lost")
    await asyncio.sleep(0.01)
    listener.close()


async def context_variables(world: World) -> None:
    """What one connection sets is seen by its own callbacks and by no others."""
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    name.set("scene")
    for who in ("one", "two"):

        def introduce(_: Side, who: str = who) -> None:
            world.note(f"{who} begins as {name.get()}")
            name.set(who)

        client, server = await world.pair(Side(), Side(data=introduce, eof=lambda _: world.note(f"eof {name.get()}")))
        client.transport.write(b"x")
        await server.saw("data")
        client.transport.close()
        await client.saw("lost")
        await server.saw("lost")
    world.note(name.get())


async def refused(world: World) -> None:
    try:
        await world.connect(Side, NOBODY_LISTENS)
    except OSError as error:
        world.note(f"{told(error)}: {error}")


async def extra_info(world: World) -> None:
    client, server = await world.pair(Side(), Side())
    for near, far in ((client, server), (server, client)):
        stand_in = near.transport.get_extra_info("socket")
        here, there = near.transport.get_extra_info("sockname"), near.transport.get_extra_info("peername")
        world.note(f"{here[0]} {there[0]} {len(here)} {far.transport.get_extra_info('sockname') == there}")
        world.note(f"{stand_in.getsockname() == here} {stand_in.getpeername() == there}")
        world.note(f"{stand_in.family!r} {stand_in.type!r} {stand_in.gettimeout()} {stand_in.fileno() >= 0}")
        world.note(f"{near.transport.get_extra_info('nonsense')} {near.transport.get_extra_info('nonsense', 7)}")
    client.transport.close()
    await world.over()
    for name in ("sockname", "peername"):
        world.note(f"{client.transport.get_extra_info(name)[0]}")
    world.note(f"{client.transport.get_extra_info('socket').fileno()}")
    stand_in = client.transport.get_extra_info("socket")
    for question in (
        stand_in.getpeername,
        stand_in.getsockname,
        lambda: stand_in.shutdown(socket.SHUT_WR),
        lambda: stand_in.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
        lambda: stand_in.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ):
        try:
            question()
        except OSError as error:
            world.note(told(error))


async def options(world: World) -> None:
    client, server = await world.pair(Side(), Side())
    stand_in = client.transport.get_extra_info("socket")
    for side in (client, server):
        nodelay = side.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        world.note(f"nodelay {bool(nodelay)}")
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 33),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000),
        (socket.IPPROTO_TCP, socket.TCP_CORK, 1),
        (socket.IPPROTO_TCP, socket.TCP_CORK, 0),
    ):
        stand_in.setsockopt(level, option, value)
        world.note(f"{level} {option} {stand_in.getsockopt(level, option)} {stand_in.getsockopt(level, option, 4)!r}")
    linger_zero(client.transport)
    world.note(f"{stand_in.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)!r}")
    world.note(f"{stand_in.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM}")
    world.note(f"{stand_in.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)}")
    for method, value in ((stand_in.setblocking, True), (stand_in.settimeout, 1)):
        try:
            method(value)
        except ValueError as error:
            world.note(str(error))
    try:
        stand_in.setsockopt(socket.IPPROTO_TCP, 9999, 1)
    except OSError as error:
        world.note(told(error))
    server.transport.close()
    await world.over()


async def shut_down_by_its_socket(world: World) -> None:
    client, server = await world.pair(Side(), Side(keep_open=True))
    client.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
    await server.saw("eof")
    server.transport.close()
    await world.over()


SCENES: tuple[Scene, ...] = (
    orderly,
    half_closed,
    half_closed_and_refused,
    reset,
    reset_while_writing,
    reset_after_data,
    reset_while_closing,
    closed_with_unread_data,
    writing_to_the_departed,
    paused_reading,
    paused_in_the_middle,
    slow_reader,
    limits,
    write_eof_after_much,
    wrong_things_written,
    data_received_fails,
    eof_received_fails,
    connection_made_fails,
    connection_lost_fails,
    pause_writing_fails,
    buffered,
    buffer_of_nothing,
    buffer_update_fails,
    another_protocol,
    order_of_tasks,
    context_variables,
    refused,
    extra_info,
    options,
    shut_down_by_its_socket,
)
