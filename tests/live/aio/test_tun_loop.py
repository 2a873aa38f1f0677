"""A loop on a TUN device, and the kernel's own blocking sockets at its other end."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import threading
from pathlib import Path

import pytest

from lastack.drive.aio import EventLoop, on_tun
from lastack.errors import KernelError
from lastack.linux.namespaces import Namespace
from lastack.live import sockdiag

pytestmark = pytest.mark.root
KERNEL, OURS = {4: "10.9.0.1", 6: "fd09::1"}, {4: "10.9.0.2", 6: "fd09::2"}
ADDRESSES = [f"{KERNEL[4]}/24", f"{KERNEL[6]}/64"]
SIZE = 6 << 20


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def exchange(sock: socket.socket, data: bytes) -> str:
    """Send all of it and receive all there is, at the same time; the digest of that."""

    def send() -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    with sock:
        sender = threading.Thread(target=send)
        sender.start()
        received = b"".join(iter(lambda: sock.recv(1 << 18), b""))
        sender.join()
    return digest(received)


async def exchange_streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> str:
    """The same with streams."""

    async def send() -> None:
        for at in range(0, len(data), 50_000):
            writer.write(data[at : at + 50_000])
            await writer.drain()
        writer.write_eof()

    _, received = await asyncio.gather(send(), reader.read())
    writer.close()
    await writer.wait_closed()
    return digest(received)


@pytest.mark.parametrize("family", (4, 6))
@pytest.mark.parametrize("offload", (True, False), ids=("offload", "plain"))
def test_much_goes_both_ways_at_once_and_arrives_whole(private_network: Namespace, offload: bool, family: int) -> None:
    dice = random.Random(family)
    theirs, ours = dice.randbytes(SIZE), dice.randbytes(SIZE)

    async def main() -> None:
        accepted: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set_result(await exchange_streams(reader, writer, ours))

        async with await asyncio.start_server(serve, OURS[family], 80):
            client = await asyncio.to_thread(socket.create_connection, (OURS[family], 80), 20)
            assert await asyncio.to_thread(exchange, client, theirs) == digest(ours)
            assert await accepted == digest(theirs)
        kind = socket.AF_INET6 if family == 6 else socket.AF_INET
        with socket.create_server((KERNEL[family], 81), family=kind) as server:
            opening = asyncio.open_connection(KERNEL[family], 81)
            (sock, _), (reader, writer) = await asyncio.gather(asyncio.to_thread(server.accept), opening)
            kernel = asyncio.to_thread(exchange, sock, theirs)
            there, here = await asyncio.gather(kernel, exchange_streams(reader, writer, ours))
            assert (there, here) == (digest(ours), digest(theirs))

    factory = on_tun(ADDRESSES, list(OURS.values()), offload=offload)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(main(), 60))


def test_a_program_that_ends_leaves_no_connection_of_the_kernels_and_no_device(private_network: Namespace) -> None:
    """It writes, and is over: all of it arrives, and the end, upon which the kernel's socket closes in its turn."""
    received: list[bytes] = []

    def read(server: socket.socket) -> None:
        with server, server.accept()[0] as sock:
            received.append(b"".join(iter(lambda: sock.recv(1 << 16), b"")))

    async def main() -> None:
        _, writer = await asyncio.open_connection(KERNEL[4], 81)
        writer.write(bytes(SIZE))
        writer.close()

    runner = asyncio.Runner(loop_factory=on_tun(ADDRESSES, list(OURS.values())))
    loop = runner.get_loop()
    assert isinstance(loop, EventLoop)
    server = socket.create_server((KERNEL[4], 81))
    reader = threading.Thread(target=read, args=(server,))
    reader.start()
    runner.run(main())
    runner.close()
    reader.join(20)
    assert received == [bytes(SIZE)]
    # Not even in LAST_ACK, where it would be had we been gone before its FIN came.
    assert len(sockdiag.read(0, info=0)) == 0
    devices = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in devices] == ["lo"]


def test_a_device_that_cannot_be_had_is_an_error_and_leaves_no_loop(private_network: Namespace) -> None:
    with pytest.raises(KernelError, match="cannot set an MTU of 1"):
        on_tun(ADDRESSES, list(OURS.values()), mtu=1)()
    with pytest.raises(ValueError, match="nonsense"):
        on_tun(ADDRESSES, ["nonsense"])()
    assert len(Path("/proc/thread-self/net/dev").read_text().splitlines()) == 3
