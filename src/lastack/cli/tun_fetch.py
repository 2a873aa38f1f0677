"""`lastack tun fetch`: a URL over our TCP."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lastack.errors import CallError

from .options import writing
from .tun_options import Wiring, wiring

if TYPE_CHECKING:
    from lastack.drive.services import Fetch
    from lastack.drive.services.client import Address

    from .tun_view import Watcher
    from .tun_wire import Wired


@click.command(
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
    from lastack.drive.services.client import Address, Fetch

    from .tun_view import show_connections, watching
    from .tun_wire import wired

    address = Address(url)
    with ExitStack() as leave:
        wire = leave.enter_context(wired(wiring))
        host = _reachable(address, wire)
        watcher = leave.enter_context(watching())
        sink, place = sys.stdout.buffer, file or "standard output"
        if file is not None:
            with writing(file):
                sink = leave.enter_context(file.open("wb"))

        def keep(piece: bytes) -> None:
            with writing(place):
                sink.write(piece)

        asking = Fetch(address, keep)
        took = _ask(asking, (host, address.port), timeout, wire, watcher)
        with writing(place):
            sink.flush()
        # The last segments of the close are still to be seen.
        wire.driver.run(min(0.05 + 6 * wiring.delay / 1e9, 1.0))
        if not quiet:
            _tell(asking, took, verbose)
            show_connections(wire.driver, sys.stderr)
    if asking.error is not None:
        raise CallError(f"{url}: {asking.error}")
    if asking.status >= 400:
        sys.exit(1)


def _ask(asking: Fetch, to: tuple[str, int], timeout: float, wire: Wired, watcher: Watcher) -> float:
    """Drive until there is an answer, or nothing new for `timeout` seconds; how many seconds it took."""
    driver = wire.driver
    began = driver.now()
    news = [began, 0]

    def over() -> bool:
        now = driver.now()
        if asking.octets != news[1]:
            news[:] = [now, asking.octets]
        return asking.done or (now - news[0]) / 1e9 > timeout

    driver.stack.connect(to, began).owner = asking
    driver.flush()
    watcher.drive(driver, over, sys.stderr)
    asking.give_up("stopped" if watcher.stopped else f"no news for {timeout:g} s")
    return (driver.now() - began) / 1e9


def _tell(asking: Fetch, took: float, verbose: bool) -> None:
    from lastack.report.escape import visible

    if asking.head is None:
        return
    print(visible(" ".join(asking.head.start)), f"{asking.octets:,} octets in {took:.3f} s", sep=", ", file=sys.stderr)
    if verbose:
        for name, value in asking.head.fields.items():
            print(visible(f"{name}: {value}"), file=sys.stderr)


def _reachable(address: Address, wire: Wired) -> str:
    """The address of a URL's host, as our TCP reaches it. Raises CallError where it cannot."""
    import socket
    from ipaddress import ip_address

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
