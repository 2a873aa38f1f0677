"""`lastack warm`: compile the kernels ahead."""

from __future__ import annotations

import click

from lastack.errors import LastackError


@click.command(
    short_help="Compile the kernels that read captures now, not at first use.", epilog="Example: lastack warm"
)
def warm() -> None:
    """Compile the kernels that read captures, and keep them on disk: otherwise the first large capture waits for it."""
    from lastack.capture.kernels import build

    if not build.available():
        raise LastackError("nothing to compile: Numba is not installed (pip install 'lastack[captures]')")
    done = build.warm()
    click.echo(f"{len(done)} kernels are compiled, in {build.cache_directory()}")
