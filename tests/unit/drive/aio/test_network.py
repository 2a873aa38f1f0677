"""A network on any event loop: what asyncio's own tests cannot know of, for they have a kernel below."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lastack.drive.aio import Network
from lastack.drive.aio.opening import Opening
from lastack.drive.aio.tls import Secure
from lastack.drive.blocking import real_stack
from lastack.model.state import State
from lastack.tcp.settings import Settings
from lastack.wire.flags import RST, SYN

from .cable import Plug, cable
from .stage import Side

HERE, THERE = "10.0.0.1", "10.0.0.2"


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Run it on asyncio's own loop, within ten seconds."""
    asyncio.run(asyncio.wait_for(scene(), 10))


@asynccontextmanager
async def two_networks(
    settings: Settings | None = None, linger: float = 0.1
) -> AsyncIterator[tuple[Network, Network, Plug, Plug]]:
    """Two hosts and a cable between them; `settings` are the first one's."""
    one, other = cable()
    try:
        here = Network(real_stack([HERE], settings), one, ["10.0.0.0/24"], linger=linger)
        there = Network(real_stack([THERE]), other, ["10.0.0.0/24"], linger=linger)
        async with there, here:
            yield here, there, one, other
    finally:
        one.close()
        other.close()


async def pair(here: Network, there: Network, server: Side | None = None) -> tuple[Side, Side]:
    """A connection from here to there."""
    client, side = Side(), server or Side()
    await there.create_server(lambda: side, THERE, 80)
    await here.create_connection(lambda: client, THERE, 80)
    await side.saw("made")
    return client, side


def test_what_is_written_in_one_turn_of_the_loop_leaves_together() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, one, _):
            client, server = await pair(here, there)
            await asyncio.sleep(0.01)
            one.sent.clear()
            for _ in range(100):
                client.transport.write(b"ten octets")
            assert not one.sent
            await server.has(1000)
            assert [len(packet.segment.payload) for packet in one.sent if packet.segment is not None] == [1000]

    run(scene)


def test_an_idle_connection_costs_no_turn_of_the_loop() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, one, _):
            client, server = await pair(here, there)
            client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            client.transport.write(b"x")
            await server.has(1)
            await asyncio.sleep(0.3)
            before = one.asked
            await asyncio.sleep(0.3)
            assert one.asked - before <= 2

    run(scene)


def test_no_task_is_made_for_a_connection() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, _, _):
            tasks = len(asyncio.all_tasks())
            sides: list[Side] = []

            def factory() -> Side:
                sides.append(Side(data=lambda side: side.transport.write(b"y")))
                return sides[-1]

            await there.create_server(factory, THERE, 80)
            clients = [Side() for _ in range(300)]
            await asyncio.gather(*(here.create_connection(lambda one=one: one, THERE, 80) for one in clients))  # type: ignore[misc]
            assert len(asyncio.all_tasks()) == tasks
            for client in clients:
                client.transport.write(b"x")
            for client in clients:
                await client.has(1)
            assert len(sides) == 300
            assert len(asyncio.all_tasks()) == tasks

    run(scene)


def test_nothing_of_a_connection_that_is_over_stays_in_memory() -> None:
    """Not even for the garbage collector."""

    async def scene() -> None:
        async with two_networks() as (here, there, _, _):
            remains: list[weakref.ref[Any]] = []
            for closes_first in (0, 1):
                clients, servers = [Side()], [Side()]
                ends = [clients[0], servers[0]]
                listener = await there.create_server(servers.pop, THERE, 80)
                await here.create_connection(clients.pop, THERE, 80)
                await ends[1].saw("made")
                assert ends[0].transport.get_extra_info("socket").fileno() >= 0
                ends[closes_first].transport.close()
                for end in ends:
                    await end.saw("lost")
                remains += [weakref.ref(end.transport) for end in ends]
                for end in ends:
                    del end.transport
                listener.close()
            await asyncio.sleep(0.3)
            assert [one() for one in remains] == [None] * 4
            assert not any(isinstance(one, Opening) for one in gc.get_objects())

    gc.disable()
    try:
        run(scene)
    finally:
        gc.enable()


def test_a_cancelled_connect_leaves_nothing() -> None:
    async def scene() -> None:
        async with two_networks() as (here, _, one, _):
            one.cut = True
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(here.create_connection(Side, THERE, 80), 0.05)
            await asyncio.sleep(0)
            assert here.stack.next_timeout() is None
            assert any(packet.segment is not None and packet.segment.flags & SYN for packet in one.sent)

    run(scene)


def test_a_connect_that_is_cancelled_at_any_moment_leaves_no_connection() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, _, _):
            servers: list[Side] = []
            outcomes = set()

            def factory() -> Side:
                servers.append(Side())
                return servers[-1]

            await there.create_server(factory, THERE, 80)
            for turns in range(30):
                connecting = asyncio.create_task(here.create_connection(Side, THERE, 80))
                for _ in range(turns):
                    await asyncio.sleep(0)
                connecting.cancel()
                try:
                    (await connecting)[0].close()
                    outcomes.add("connected")
                except asyncio.CancelledError:
                    outcomes.add("cancelled")
            assert outcomes == {"connected", "cancelled"}
            while here.stack.next_timeout() is not None and len(here.stack.host.sockets):
                await asyncio.sleep(0.01)
            for server in servers:
                await server.saw("lost")

    run(scene)


def test_silence_ends_an_attempt_in_a_timeout_error() -> None:
    async def scene() -> None:
        settings = Settings.linux()
        settings.initial_rto_ms, settings.tcp_syn_retries, settings.tcp_syn_linear_timeouts = 10, 1, 0
        async with two_networks(settings) as (here, _, one, _):
            one.cut = True
            with pytest.raises(TimeoutError, match=r"Connect call failed \('10.0.0.2', 80\)"):
                await here.create_connection(Side, THERE, 80)

    run(scene)


def test_silence_ends_a_connection_in_a_timeout_error() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, one, _):
            client, _server = await pair(here, there)
            stand_in = client.transport.get_extra_info("socket")
            stand_in.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
            one.cut = True
            client.transport.write(b"anybody there?")
            await client.saw("lost")
            assert isinstance(client.error, TimeoutError)

    run(scene)


def test_what_was_written_is_delivered_though_the_network_is_closed_at_once() -> None:
    async def scene() -> None:
        async with two_networks(linger=5.0) as (here, there, _, _):
            client, server = await pair(here, there)
            client.transport.write(bytes(3 << 20))
            client.transport.close()
            await here.aclose()
            await server.saw("lost")
            assert len(server.data) == 3 << 20
            assert server.error is None
            # It has answered, and been answered: nothing keeps it in LAST_ACK.
            assert not there.stack.host.sockets

    run(scene)


def test_a_network_waits_no_longer_than_it_lingers_and_resets_who_is_left() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, one, _):
            client, server = await pair(here, there, Side(made=lambda side: side.transport.pause_reading()))
            while not client.transport.get_write_buffer_size():
                client.transport.write(bytes(1 << 20))
            before = here.loop.time()
            await here.aclose()
            assert 0.09 < here.loop.time() - before < 5
            assert client.notes[-1] == "lost None"
            assert one.sent[-1].segment is not None
            assert one.sent[-1].segment.flags & RST
            server.transport.resume_reading()
            await server.saw("lost")
            assert isinstance(server.error, ConnectionResetError)

    run(scene)


def test_a_device_that_fails_takes_its_connections_with_it_and_says_so_once() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, one, _):
            reported: list[str] = []
            here.loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
            client, server = await pair(here, there)
            one.broken = True
            server.transport.write(b"too late")
            await client.saw("lost")
            assert isinstance(client.error, OSError)
            assert "pulled out" in str(client.error)
            client.transport.write(b"to nobody")
            await asyncio.sleep(0.05)
            assert reported == ["the device of a network has failed"]

    run(scene)


def test_an_attempt_under_way_fails_with_its_device() -> None:
    async def scene() -> None:
        async with two_networks() as (here, _, one, other):
            here.loop.set_exception_handler(lambda *_: None)
            one.cut = True
            attempt = asyncio.create_task(here.create_connection(Side, THERE, 80))
            await asyncio.sleep(0.01)
            one.broken = True
            other.transmit(one.sent[0])
            with pytest.raises(OSError, match="pulled out"):
                await attempt

    run(scene)


def test_who_cannot_send_at_present_sends_when_the_device_is_ready() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, one, _):
            client, server = await pair(here, there)
            await asyncio.sleep(0.05)
            one.busy = True
            one.sent.clear()
            client.transport.write(b"later")
            await asyncio.sleep(0.05)
            assert not one.sent
            one.busy = False
            # Long before a retransmission would be due.
            await asyncio.wait_for(server.has(5), 0.15)

    run(scene)


def test_an_interrupt_in_a_callback_loses_nothing_for_others() -> None:
    def interrupt(_: Side) -> None:
        raise KeyboardInterrupt

    async def begin() -> tuple[Network, Network, Plug, Plug, list[Side]]:
        one, other = cable()
        here = Network(real_stack([HERE]), one, ["10.0.0.0/24"])
        there = Network(real_stack([THERE]), other, ["10.0.0.0/24"])
        servers = [Side(data=interrupt), Side()]
        made = iter(servers)
        await there.create_server(lambda: next(made), THERE, 80)
        transports = []
        for side in servers:
            transports.append((await here.create_connection(Side, THERE, 80))[0])
            await side.saw("made")

        def write_to_both() -> None:
            for transport in transports:
                transport.write(b"hello")

        here.loop.call_later(0.01, write_to_both)
        return here, there, one, other, servers

    async def go_on(networks: tuple[Network, Network], servers: list[Side]) -> None:
        await asyncio.wait_for(servers[1].has(5), 5)
        for network in networks:
            await network.aclose()

    loop = asyncio.new_event_loop()
    here, there, one, other, servers = loop.run_until_complete(begin())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(5))
    loop.run_until_complete(go_on((here, there), servers))
    loop.close()
    one.close()
    other.close()


def test_a_factory_that_fails_leaves_no_connection() -> None:
    def fail() -> Side:
        raise LookupError("on purpose")

    async def scene() -> None:
        async with two_networks() as (here, there, _, _):
            reported: list[str] = []
            there.loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
            server, client = Side(), Side()
            await there.create_server(lambda: server, THERE, 80)
            with pytest.raises(LookupError):
                await here.create_connection(fail, THERE, 80)
            await server.saw("lost")
            await there.create_server(fail, THERE, 81)
            await here.create_connection(lambda: client, THERE, 81)
            await client.saw("lost")
            assert reported == ["Error on transport creation for incoming connection"]

    run(scene)


def test_what_comes_before_the_transport_is_there_is_not_lost() -> None:
    """The peer greets and is gone in the same moment as the connection is made."""

    def greet(side: Side) -> None:
        side.transport.write(b"hello")
        side.transport.close()

    async def scene() -> None:
        async with two_networks() as (here, there, _, _):
            await there.create_server(lambda: Side(made=greet), THERE, 80)
            connected = await here.connect((THERE, 80))
            await asyncio.sleep(0.05)
            client = Side()
            await here.adopt(connected, lambda: client, Secure())
            await client.saw("lost")
            assert client.notes == ["made", "data", "eof", "lost None"]

    run(scene)


def test_a_reset_before_the_transport_is_there_is_not_lost_either() -> None:
    async def scene() -> None:
        async with two_networks(linger=5.0) as (here, there, _, _):
            await there.create_server(lambda: Side(made=lambda side: side.transport.reset()), THERE, 80)  # type: ignore[attr-defined]
            connected = await here.connect((THERE, 80))
            await asyncio.sleep(0.05)
            client = Side()
            await here.adopt(connected, lambda: client, Secure())
            await client.saw("lost")
            assert isinstance(client.error, ConnectionResetError)
            before = here.loop.time()
            await here.aclose()
            assert here.loop.time() - before < 0.5

    run(scene)


def test_a_slow_reader_closes_the_window() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, _, other):
            client, server = await pair(here, there, Side(made=lambda side: side.transport.pause_reading()))
            client.transport.write(bytes(8 << 20))
            while other.sent[-1].segment is None or other.sent[-1].segment.window:
                await asyncio.sleep(0.01)
            assert client.transport.get_write_buffer_size()
            server.transport.resume_reading()
            await server.has(8 << 20)

    run(scene)


def test_what_is_known_of_a_connection_is_known_as_of_now() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, _, _):
            client, server = await pair(here, there)
            assert client.transport.get_extra_info("tcp_info").state is State.ESTABLISHED
            client.transport.write(b"12345")
            await server.has(5)
            assert client.transport.get_extra_info("tcp_info").bytes_sent == 5
            server.transport.close()
            await client.saw("lost")
            assert client.transport.get_extra_info("tcp_info").state is not State.ESTABLISHED

    run(scene)


def test_streams_need_no_loop_of_ours() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(100)).upper())
        writer.close()

    async def scene() -> None:
        async with two_networks() as (here, there, _, _):
            server = await there.start_server(echo, port=7)
            assert [one.getsockname() for one in server.sockets] == [(THERE, 7)]
            reader, writer = await here.open_connection(THERE, 7)
            writer.write(b"hello")
            assert await reader.read() == b"HELLO"
            writer.close()
            await writer.wait_closed()
            with pytest.raises(OSError, match=r"no address of '192\.0\.2\.1' is reached"):
                await here.open_connection("192.0.2.1", 7)
            with pytest.raises(OSError, match="it is not ours"):
                await here.start_server(echo, "192.0.2.1", 7)

    run(scene)


def test_a_local_address_can_be_chosen() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, _, _):
            await there.create_server(Side, THERE, 80)
            transport, _ = await here.create_connection(Side, THERE, 80, local_addr=(HERE, 4321))
            assert transport.get_extra_info("sockname") == (HERE, 4321)
            with pytest.raises(OSError, match="Connect call failed"):
                await here.create_connection(Side, THERE, 80, local_addr=(HERE, 4321))
            transport, _ = await here.create_connection(Side, THERE, 80, local_addr=("0.0.0.0", 4322))
            assert transport.get_extra_info("sockname") == (HERE, 4322)
            for nobodys in ("10.0.0.99", "::1"):
                with pytest.raises(OSError, match="it is not ours"):
                    await here.create_connection(Side, THERE, 80, local_addr=(nobodys, 0))

    run(scene)


def test_of_two_addresses_the_one_that_is_silent_holds_nobody_up() -> None:
    async def scene() -> None:
        async with two_networks() as (here, there, one, _):
            await there.create_server(Side, THERE, 80)

            async def both(*_: Any, **__: Any) -> list[Any]:
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)) for host in ("10.0.0.77", THERE)]

            here.loop.getaddrinfo = both  # type: ignore[method-assign]
            transport, _ = await here.create_connection(Side, "both.test", 80, happy_eyeballs_delay=0.02)
            assert transport.get_extra_info("peername") == (THERE, 80)
            await asyncio.sleep(0)
            assert any(packet.destination == bytes((10, 0, 0, 77)) for packet in one.sent)

    run(scene)
