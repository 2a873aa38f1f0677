"""`lastack tun`: the user-space TCP on a TUN device, with the kernel at the other end."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import writing
from .tun_bench import bench
from .tun_options import Wiring, wiring

if TYPE_CHECKING:
    from lastack.drive.services import Fetch
    from lastack.drive.services.client import Address

    from .tun_wire import Wired


@click.group(short_help="Our own TCP on a TUN device: serve, fetch, bench.")
def tun() -> None:
    """Run lastack's own TCP on a TUN device, with the kernel and all its programs as the peers.

    It takes root, or a TUN device that root has made for its user; without either the error says how to make one.
    """


@tun.command(
    short_help="A web server, echo, discard and chargen on our TCP.",
    epilog="Example: lastack tun serve /usr/share/doc --set tcp_fin_timeout=5 --loss 1% --pcapng trace.pcapng; "
    "then: curl http://10.9.0.2/",
)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--port", default=80, show_default=True, type=click.IntRange(1, 65_535), help="Where HTTP is served.")
@click.option("-v", "--verbose", is_flag=True, help="A line for each request.")
@wiring
def serve(directory: Path, port: int, verbose: bool, wiring: Wiring) -> None:
    """Serve DIR over HTTP, and echo (port 7), discard (9) and chargen (19), until Ctrl-C.

    Any key, or SIGUSR1, shows the connections as they are.
    """
    from lastack.drive.services import Chargen, Discard, Echo, Files, FileServer
    from lastack.tcp.settings import SocketOptions

    from .tun_view import show_connections, watching
    from .tun_wire import wired

    files = Files(directory)
    log = partial(print, flush=True) if verbose else None
    with wired(wiring) as wire, watching() as watcher:
        # A peer that has died without a word must not be held for ever.
        options = SocketOptions(so_keepalive=True, tcp_keepidle=60, tcp_keepintvl=10, tcp_keepcnt=6)
        wire.driver.serve(port, lambda: FileServer(files, log), options=options)
        for number, service in ((7, Echo), (9, Discard), (19, Chargen)):
            if number != port:
                wire.driver.serve(number, service, options=options)
        print(_welcome(wire, files.root, port), flush=True)
        watcher.drive(wire.driver, lambda: False, sys.stdout)
        show_connections(wire.driver, sys.stdout)


def _welcome(wire: Wired, root: Path, port: int) -> str:
    from lastack.report.escape import visible

    at = "" if port == 80 else f":{port}"
    sites = [f"http://{f'[{one}]' if one.version == 6 else one}{at}/" for one in wire.addresses]
    return (
        f"{visible(str(root))} is served at\n  " + "\n  ".join(sites) + "\n"
        f"echo at port 7, discard at 9, chargen at 19; device {wire.device}\n"
        "A key, or SIGUSR1, shows the connections; Ctrl-C ends."
    )


@tun.command(
    short_help="Fetch a URL over our TCP.",
    epilog="Example: python3 -m http.server 8000 & lastack tun fetch http://10.9.0.1:8000/ --delay 20ms -o page.html",
)
@click.argument("url")
@click.option("-o", "--output", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the body there.")
@click.option("--timeout", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds without news.")
@click.option("-v", "--verbose", is_flag=True, help="The answer's head, on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
@wiring
def fetch(url: str, file: Path | None, timeout: float, verbose: bool, quiet: bool, wiring: Wiring) -> None:
    """Fetch a URL from a server of the kernel's, over our TCP, and write its body to stdout or a file.

    Any key, or SIGUSR1, shows the connection as it is. Exit status: 1 where the server answers with an error.
    """
    from contextlib import ExitStack

    from lastack.drive.services.client import Address, Fetch

    from .tun_view import show_connections, watching
    from .tun_wire import wired

    address = Address(url)
    with ExitStack() as leave:
        wire = leave.enter_context(wired(wiring))
        host = reachable(address, wire)
        watcher = leave.enter_context(watching())
        sink = sys.stdout.buffer
        if file is not None:
            leave.enter_context(writing(file))
            sink = leave.enter_context(file.open("wb"))
        else:
            leave.enter_context(writing("standard output"))
        asking = Fetch(address, sink.write)
        driver = wire.driver
        began = driver.now()
        socket = driver.stack.connect((host, address.port), began)
        socket.owner = asking
        driver.flush()
        news = [began, 0]

        def over() -> bool:
            now = driver.now()
            if asking.octets != news[1]:
                news[:] = [now, asking.octets]
            return asking.done or (now - news[0]) / 1e9 > timeout

        watcher.drive(driver, over, sys.stderr)
        took = (driver.now() - began) / 1e9
        sink.flush()
        if not asking.done:
            asking.error = "stopped" if watcher.stopped else f"no news for {timeout:g} s"
        # The last segments of the close are still to be seen.
        driver.run(min(0.05 + 6 * wiring.delay / 1e9, 1.0))
        if not quiet:
            _tell(asking, took, verbose)
            show_connections(driver, sys.stderr)
    if asking.error is not None:
        raise click.ClickException(f"{url}: {asking.error}")
    if asking.status >= 400:
        sys.exit(1)


def _tell(asking: Fetch, took: float, verbose: bool) -> None:
    from lastack.report.escape import visible

    if asking.head is None:
        return
    print(visible(" ".join(asking.head.start)), f"{asking.octets:,} octets in {took:.3f} s", sep=", ", file=sys.stderr)
    if verbose:
        for name, value in asking.head.fields.items():
            print(visible(f"{name}: {value}"), file=sys.stderr)


def reachable(address: Address, wire: Wired) -> str:
    """The address of a URL's host, as our TCP reaches it. Raises CallError where it cannot."""
    import socket
    from ipaddress import ip_address

    from lastack.errors import CallError

    try:
        found = [ip_address(info[4][0]) for info in socket.getaddrinfo(address.host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise CallError(f"no address of {address.host}: {error}") from None
    families = {one.version for one in wire.addresses}
    usable = [one for one in found if one.version in families]
    if not usable:
        raise CallError(f"{address.host} has no address of a family that our TCP has: {', '.join(map(str, found))}")
    if usable[0].is_loopback:
        there = wire.kernel_address(usable[0])
        raise CallError(
            f"{usable[0]} is out of reach of our TCP, which has no part in the kernel's loopback; over the device this "
            f"machine is http://{f'[{there}]' if there.version == 6 else there}:{address.port}{address.target}"
        )
    return str(usable[0])


tun.add_command(bench)
