"""`lastack script`: packetdrill scripts on the engine or on the kernel."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from lastack.errors import CallError

from .options import output, pairs, writing

if TYPE_CHECKING:
    from lastack.script.runner import Run


@click.command(
    short_help="Run packetdrill scripts on the engine, or on this kernel.",
    epilog="Example: lastack script tests/scripts; lastack script --on kernel -j 8 close.pkt",
)
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, exists=True))
@click.option("--on", default="sim", show_default=True, metavar="sim|kernel|tun:NAME",
              help="What is tested.")  # fmt: skip
@click.option("-D", "--define", "defined", multiple=True, callback=pairs, metavar="NAME=VALUE", help="Define a name.")
@click.option("--option", "options", multiple=True, callback=pairs, metavar="NAME=VALUE",
              help="As a script's own --NAME=VALUE: ip_version=ipv6, mtu=1280.")  # fmt: skip
@click.option("--set", "sysctls", multiple=True, callback=pairs, metavar="SYSCTL=VALUE", help="Set before each script.")
@click.option("--tolerance", type=click.IntRange(0), metavar="US", help="Microseconds: 4000 on sim, 20000 on a kernel.")
@click.option("--seed", default=1, show_default=True, help="What the engine's chance comes from.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="So many at a time: the processors on sim, 16 on a kernel.")
@click.option("--format", "form", type=click.Choice(("text", "tap", "junit")), default="text", show_default=True)
@click.option("-o", "--output", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@click.option("--pcapng", "traces", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Write each script's packets to DIR.")  # fmt: skip
@click.option("--allow-shell", "shell", is_flag=True, help="Let scripts run commands that are not understood here.")
@click.option("--allow-python", "python", is_flag=True, help="Let scripts run any Python, not assertions alone.")
@click.option("--exact", is_flag=True, help="Fail on packets after the last line, too.")
@click.option("-v", "--verbose", is_flag=True, help="Name those that passed, too.")
def script(
    paths: tuple[Path, ...],
    on: str,
    defined: tuple[tuple[str, str], ...],
    options: tuple[tuple[str, str], ...],
    sysctls: tuple[tuple[str, str], ...],
    tolerance: int | None,
    seed: int,
    jobs: int | None,
    form: str,
    file: Path | None,
    traces: Path | None,
    shell: bool,
    python: bool,
    exact: bool,
    verbose: bool,
) -> None:
    """Run scripts: files, or directories of *.pkt. Exits with 1 if one fails.

    On the engine time is virtual, and nothing is needed; on the kernel it is real, and takes root: every script gets
    a network namespace and a TUN device of its own. With tun:NAME the packet lines alone are played, as root, with the
    stack that has that device open.
    """
    from lastack.model.time import MICROSECOND
    from lastack.script.play import How, play_all

    files = [found for path in paths for found in (sorted(path.rglob("*.pkt")) if path.is_dir() else [path])]
    if not files:
        raise CallError("no *.pkt there")
    nanoseconds = None if tolerance is None else tolerance * MICROSECOND
    how = How(on, defined, options, sysctls, nanoseconds, seed, shell, python, exact)
    runs = play_all(files, how, jobs or (16 if on == "kernel" else os.cpu_count() or 1))
    if traces is not None:
        runs = _traced(runs, traces)
    with output(file) as paper:
        failed = _write(runs, form, paper, len(files), verbose)
    if failed:
        sys.exit(1)


def _write(runs: Iterator[Run], form: str, paper: IO[str], count: int, verbose: bool) -> int:
    """Write what came of them; how many failed."""
    from lastack.script.report import write_junit, write_tap, write_text

    if form == "tap":
        return write_tap(runs, paper, count)[1]
    return (write_junit(list(runs), paper) if form == "junit" else write_text(runs, paper, verbose))[1]


def _traced(runs: Iterator[Run], traces: Path) -> Iterator[Run]:
    """The same, with the packets of each written on the way."""
    from lastack.script.report import write_pcapng

    with writing(traces):
        traces.mkdir(parents=True, exist_ok=True)
        for one in runs:
            name = one.path.strip("./").replace("/", "-").removesuffix(".pkt")
            write_pcapng(one, str(traces / f"{name}.pcapng"))
            yield one
