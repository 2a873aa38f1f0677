"""`lastack tun`: the user-space TCP on a TUN device, with the kernel at the other end."""

from __future__ import annotations

import click

from .tun_bench import bench
from .tun_fetch import fetch
from .tun_serve import serve


@click.group(short_help="Our own TCP on a TUN device: serve, fetch, bench.")
def tun() -> None:
    """Run lastack's own TCP on a TUN device, with the kernel and all its programs as the peers.

    It takes root, or a TUN device that root has made for its user; without either the error says how to make one.
    """


tun.add_command(serve)
tun.add_command(fetch)
tun.add_command(bench)
