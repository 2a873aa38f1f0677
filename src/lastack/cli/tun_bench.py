"""`lastack tun bench`: how fast our TCP is on this machine, with the kernel's as the peer."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click

from .tun_options import Wiring, wiring

if TYPE_CHECKING:
    from .tun_view import Watcher
    from .tun_wire import Wired

_CASES = (
    ("connections", 7, "connections a second (open, 16 octets there and back, close)"),
    ("upload", 9, "MB a second received from the kernel"),
    ("download", 19, "MB a second sent to the kernel"),
)
_LOOK = 0.05


@click.command(
    short_help="How fast our TCP is on this machine.",
    epilog="Example: lastack tun bench --seconds 2 --set tcp_congestion_control=newreno",
)
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=2.0, show_default=True, help="For each measure.")
@wiring
def bench(seconds: float, wiring: Wiring) -> None:
    """Measure connections a second and MB a second each way, against a client on the kernel's own TCP.

    Client and engine share this machine: the figures are those of both together.
    """
    from lastack.drive.services import Chargen, Discard, Echo

    from .tun_view import show_connections, watching
    from .tun_wire import wired

    with wired(wiring) as wire, watching() as watcher:
        for port, service in ((7, Echo), (9, Discard), (19, Chargen)):
            wire.driver.serve(port, service)
        for what, port, meaning in _CASES:
            found = _measure(what, port, seconds, wire, watcher)
            if watcher.stopped:
                break
            print(f"{found:12,.0f}  {meaning}", flush=True)
        wire.driver.run(_LOOK)
        show_connections(wire.driver, sys.stderr)


def _measure(what: str, port: int, seconds: float, wire: Wired, watcher: Watcher) -> float:
    """Run the client, and serve it meanwhile. Raises click.ClickException with what it complains of."""
    from lastack.linux.namespaces import entered

    command = [sys.executable, "-m", "lastack.cli.tun_load", what, str(wire.addresses[0]), str(port), str(seconds)]
    with entered(wire.netns):
        client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    look = [0.0]

    def ended() -> bool:
        now = time.monotonic()
        if now < look[0]:
            return False
        look[0] = now + _LOOK
        return client.poll() is not None

    try:
        watcher.drive(wire.driver, ended, sys.stderr)
    finally:
        client.kill()
        said, complaint = client.communicate()
    if watcher.stopped:
        return 0.0
    if client.returncode:
        raise click.ClickException(f"the client failed: {complaint.strip().splitlines()[-1]}")
    return float(said)
