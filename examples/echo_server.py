"""An echo server with asyncio's streams, on our TCP: sudo python examples/echo_server.py.

It lives in a network namespace of its own and says how to reach it from there. Ctrl-C ends it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from lastack.drive.aio import on_tun
from lastack.linux.namespaces import private


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say it all again."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def main() -> None:
    """Serve until cancelled."""
    server = await asyncio.start_server(echo, "10.9.0.2", 7)
    print(f"nsenter --net=/proc/{os.getpid()}/ns/net nc -N 10.9.0.2 7", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    # On the kernel's TCP this would be: asyncio.run(main())
    loop_factory = on_tun(["10.9.0.1/24"], ["10.9.0.2"])
    with private(), suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
