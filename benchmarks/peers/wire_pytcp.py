"""The server of benchmarks/wire.py on PyTCP (pmd-pytcp).

wire_pytcp.py DEVICE ADDRESS

The device is a TUN device that is there already. Ports and what happens on them are those of wire_load.c. Says "ready",
serves until standard input ends, and prints one JSON object.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pmd_net_addr import Ip4IfAddr
from pmd_pytcp import socket as tcp
from pmd_pytcp import stack
from pmd_pytcp.lib.interface_layer import InterfaceLayer
from pmd_pytcp.stack import lifecycle

if TYPE_CHECKING:
    from pmd_pytcp.socket.tcp__socket import TcpSocket

PORTS, CLIENT_CLOSES, SERVER_CLOSES, DISCARD, CHARGEN = 16, 1000, 1100, 9, 19
TUNSETIFF, IFF_TUN = 0x4004_54CA, 1
REQUEST, RESPONSE, ORDER = 100, bytes(500), 16
CHUNK = bytes(50_000)
Talk = Callable[["TcpSocket"], Awaitable[None]]


async def everything(connection: TcpSocket, size: int) -> bytes:
    """Receive so many octets."""
    got = b""
    while len(got) < size and (data := await connection.recv(size - len(got))):
        got += data
    return got


async def answer(connection: TcpSocket) -> None:
    """Answer, and close after the peer has."""
    await everything(connection, REQUEST)
    await connection.send(RESPONSE)
    await connection.recv(1)


async def answer_and_close(connection: TcpSocket) -> None:
    """Answer, and close at once."""
    await everything(connection, REQUEST)
    await connection.send(RESPONSE)


async def discard(connection: TcpSocket) -> None:
    """Read everything."""
    while await connection.recv(65_536):
        pass


async def chargen(connection: TcpSocket) -> None:
    """Send what it is told to."""
    left = int(await everything(connection, ORDER))
    while left:
        some = min(left, len(CHUNK))
        await connection.send(CHUNK[:some])
        left -= some


async def listen(address: str, port: int, talk: Talk, tasks: set[asyncio.Task[None]]) -> None:
    """Accept for ever, and give every connection a task."""
    listener = tcp.socket(tcp.AF_INET, tcp.SOCK_STREAM)
    listener.bind((address, port))
    listener.listen(backlog=1024)

    async def one(connection: TcpSocket) -> None:
        await talk(connection)
        connection.close()

    while True:
        connection, _ = await listener.accept()
        task = asyncio.create_task(one(connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def serve(device: str, address: str) -> None:
    """Bring PyTCP up on the device, and serve until standard input ends."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN))
    lifecycle.init(
        fd=descriptor,
        layer=InterfaceLayer.L3,
        ip4_host=Ip4IfAddr(f"{address}/16"),
        ip4_dhcp=False,
        ip6_support=False,
    )
    await lifecycle.start()
    while not stack.local_ip4_unicast():
        await asyncio.sleep(0.001)
    talks: dict[int, Talk] = {DISCARD: discard, CHARGEN: chargen}
    talks |= {CLIENT_CLOSES + number: answer for number in range(PORTS)}
    talks |= {SERVER_CLOSES + number: answer_and_close for number in range(PORTS)}
    tasks: set[asyncio.Task[None]] = set()
    for port, talk in talks.items():
        tasks.add(asyncio.create_task(listen(address, port, talk, tasks)))
    await asyncio.sleep(0.1)
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    print("ready", flush=True)
    used = time.process_time()
    await over.wait()
    print(json.dumps({"cpu_s": time.process_time() - used}), flush=True)
    for task in list(tasks):
        task.cancel()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
