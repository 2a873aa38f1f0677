"""`lastack tun serve`: a web server, echo, discard and chargen on our TCP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .tun_options import Wiring, wiring

if TYPE_CHECKING:
    from collections.abc import Callable

    from lastack.drive.application import Application

    from .tun_wire import Wired


@click.command(
    short_help="A web server, echo, discard and chargen on our TCP.",
    epilog="Example: lastack tun serve /usr/share/doc --set tcp_fin_timeout=5 --loss 1% --pcapng trace.pcapng; "
    "then: curl http://10.9.0.2/",
)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--port", default=80, show_default=True, type=click.IntRange(1, 65_535), help="Where HTTP is served.")
@click.option(
    "--connections",
    default=50_000,
    show_default=True,
    type=click.IntRange(1),
    help="So many at once; one more is reset.",
)
@click.option("-v", "--verbose", is_flag=True, help="A line for each request.")
@wiring
def serve(directory: Path, port: int, connections: int, verbose: bool, wiring: Wiring) -> None:
    """Serve DIR over HTTP, and echo (port 7), discard (9) and chargen (19), until Ctrl-C.

    Any key, or SIGUSR1, shows the connections as they are.
    """
    from lastack.drive.services import Chargen, Discard, Echo, Files, FileServer, Refusal
    from lastack.tcp.settings import SocketOptions

    from .tun_view import show_connections, watching
    from .tun_wire import wired

    files = Files(directory)
    log = _print_visible if verbose else None
    with wired(wiring) as wire, watching() as watcher:
        # A peer that has died without a word must not be held for ever.
        options = SocketOptions(so_keepalive=True, tcp_keepidle=60, tcp_keepintvl=10, tcp_keepcnt=6)
        services = {7: Echo, 9: Discard, 19: Chargen, port: lambda: FileServer(files, log)}
        held = wire.driver.stack.host.sockets

        def unless_full(make: Callable[[], Application]) -> Callable[[], Application]:
            return lambda: make() if len(held) <= connections else Refusal()

        for number, make in services.items():
            wire.driver.serve(number, unless_full(make), options=options)
        print(_welcome(wire, files.root, port), flush=True)
        watcher.drive(wire.driver, lambda: False, sys.stdout)
        show_connections(wire.driver, sys.stdout)


def _print_visible(line: str) -> None:
    """What a client has said is shown as it is, and never obeyed by the terminal."""
    from lastack.report.escape import visible

    print(visible(line), flush=True)


def _welcome(wire: Wired, root: Path, port: int) -> str:
    from lastack.report.escape import visible

    at = "" if port == 80 else f":{port}"
    sites = [f"http://{f'[{one}]' if one.version == 6 else one}{at}/" for one in wire.addresses]
    return (
        f"{visible(str(root))} is served at\n  " + "\n  ".join(sites) + "\n"
        f"echo at port 7, discard at 9, chargen at 19; device {wire.device}\n"
        "A key, or SIGUSR1, shows the connections; Ctrl-C ends."
    )
