r"""asyncio on a TCP of ours: ordinary programs, one line changed.

    with asyncio.Runner(loop_factory=on_tun(["10.9.0.1/24"], ["10.9.0.2"])) as runner:
        runner.run(main())

makes a TUN device whose kernel's end is 10.9.0.1, gives our TCP the address 10.9.0.2 on it, and runs `main` on an
event loop that knows both. Which TCP a connection takes is a question of addresses alone:

- `create_connection` (so `asyncio.open_connection`, and clients that are built on them) goes by our TCP where the
  destination is in one of the loop's networks: those of the device's addresses, and what is named in `networks`. Every
  other destination, loopback above all, goes by the kernel's.
- `create_server` listens on our TCP where the host is an address of ours, or is no address in particular (None, "",
  "0.0.0.0", "::"): a program that serves everybody serves the device. Every other host is the kernel's.
- Names are looked up by the system; UDP, Unix sockets, pipes and processes are the kernel's as ever.
- `sock_connect` towards our networks makes the kernel's socket that it is given a mere token, which `create_connection`
  takes as its `sock`: that is all that aiohttp's client needs. The token itself carries nothing.

There is no thread: the loop waits for the device and for the stack's next timer, and whatever the program has written
in one turn of the loop leaves together in the next. When the loop is closed, open connections are closed as those of
an exiting process are, and what is under way has `linger` seconds to be delivered; TIME_WAIT ends with the loop.

`Network` is the same without a loop of its own, for programs that run on another one.

What differs from the kernel's sockets: a server that was made with `start_serving=False` does not keep its port
meanwhile; the `fileno()` of a connection's socket can be polled for reading, and nothing else; no limit on descriptors
ever keeps a connection from being accepted; and whoever brings listening sockets of his own (uvicorn with several
workers, `anyio.create_tcp_listener`) has brought the kernel's. `abort()` sends no RST of its own, as asyncio's never
does: with SO_LINGER set to 0 seconds on the socket it does.
"""

from __future__ import annotations

from .loop import EventLoop, on_tun
from .network import Network
from .server import Server
from .transport import Transport

__all__ = ["EventLoop", "Network", "Server", "Transport", "on_tun"]
