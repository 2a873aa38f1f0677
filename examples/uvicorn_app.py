"""An ASGI application under uvicorn, on our TCP: sudo python examples/uvicorn_app.py.

It lives in a network namespace of its own and says how to reach it from there. Ctrl-C ends it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any

import uvicorn

from lastack.drive.aio import on_tun
from lastack.linux.namespaces import private


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 (ASGI's own types)
    """Say back what was posted, or who asks."""
    assert scope["type"] == "http"
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = body or f"hello {scope['client'][0]}\n".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    config = uvicorn.Config(application, host="0.0.0.0", port=8000, lifespan="off", access_log=False)
    # On the kernel's TCP this would be: uvicorn.Server(config).run()
    loop_factory = on_tun(["10.9.0.1/24"], ["10.9.0.2"])
    with private(), suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory) as runner:
        print(f"nsenter --net=/proc/{os.getpid()}/ns/net curl http://10.9.0.2:8000/", flush=True)
        runner.run(uvicorn.Server(config).serve())
