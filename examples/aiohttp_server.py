"""An aiohttp server on our TCP: sudo python examples/aiohttp_server.py.

It lives in a network namespace of its own and says how to reach it from there. Ctrl-C ends it.
"""

from __future__ import annotations

import os

from aiohttp import web

from lastack.drive.aio import on_tun
from lastack.linux.namespaces import private


async def hello(request: web.Request) -> web.Response:
    """Greet, and tell what our TCP knows of the connection."""
    assert request.transport is not None
    info = request.transport.get_extra_info("tcp_info")
    return web.Response(text=f"hello {request.remote}, your round trip is {info.rtt} us\n")


async def source(request: web.Request) -> web.FileResponse:
    """The source of this program."""
    return web.FileResponse(__file__)


async def shout(request: web.Request) -> web.WebSocketResponse:
    """A web socket that answers in capitals."""
    answers = web.WebSocketResponse()
    await answers.prepare(request)
    async for message in answers:
        await answers.send_str(message.data.upper())
    return answers


def application() -> web.Application:
    """What any aiohttp program has."""
    app = web.Application()
    app.add_routes([web.get("/", hello), web.get("/source", source), web.get("/shout", shout)])
    return app


if __name__ == "__main__":
    with private():
        print(f"nsenter --net=/proc/{os.getpid()}/ns/net curl http://10.9.0.2:8080/", flush=True)
        # On the kernel's TCP this would be: web.run_app(application(), port=8080)
        web.run_app(application(), port=8080, loop=on_tun(["10.9.0.1/24"], ["10.9.0.2"])())
