"""httpx and aiohttp as clients on our TCP, of a server on the kernel's: sudo python examples/http_clients.py.

Both live in a network namespace of their own. The server is Python's, at the kernel's end of the device.
"""

from __future__ import annotations

import asyncio
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import httpx

from lastack.drive.aio import EventLoop, on_tun
from lastack.linux.namespaces import private

HERE = Path(__file__).parent


class Handler(SimpleHTTPRequestHandler):
    """The files beside this one, over connections that are kept."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments, directory=str(HERE))  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


async def main(address: str) -> None:
    """Fetch every file with both; all at once, and once more."""
    paths = [f"http://{address}/{path.name}" for path in sorted(HERE.glob("*.py"))]
    async with httpx.AsyncClient() as client:
        for _ in range(2):
            for answer in await asyncio.gather(*(client.get(path) for path in paths)):
                print(f"httpx {answer.status_code} {answer.url.path} {len(answer.content)} octets")
    async with aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(path) as response:
                print(f"aiohttp {response.status} {response.url.path} {len(await response.read())} octets")
    loop = asyncio.get_running_loop()
    if isinstance(loop, EventLoop):
        print(f"our TCP opened {loop.network.stack.counters.TcpActiveOpens} connections")


if __name__ == "__main__":
    with private(), asyncio.Runner(loop_factory=on_tun(["10.9.0.1/24"], ["10.9.0.2"])) as runner:
        # The device is there as soon as the runner has its loop.
        runner.get_loop()
        with ThreadingHTTPServer(("10.9.0.1", 8080), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            # On the kernel's TCP this would be: asyncio.run(main(...))
            runner.run(main("10.9.0.1:8080"))
            server.shutdown()
