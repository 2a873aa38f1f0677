"""`lastack show`: one connection, in full."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lastack.errors import CallError

from .options import out, output, paper

if TYPE_CHECKING:
    from lastack.model.address import Endpoint, FourTuple


@click.command(
    short_help="One connection: its tcp_info, or its life in a capture.",
    epilog="Example: lastack show 4171; lastack show 10.0.0.1:80-10.0.0.9:51234; lastack show 3 eth0.pcap",
)
@click.argument("which", metavar="ID")
@click.argument("paths", nargs=-1, metavar="[CAPTURE...]")
@click.option(
    "--netns", default="own", show_default=True, help="Network namespace: own, all, a name, an inode or a process id."
)
@click.option("--around", metavar="WHERE", help="Of a long life: around open, close, or a time (1.5s) from its begin.")
@click.option("--all", "whole", is_flag=True, help="All of a long life, not folded in the middle.")
@out("table", "json", "svg", "html", "pcapng")
def show(
    which: str,
    paths: tuple[str, ...],
    netns: str,
    around: str | None,
    whole: bool,
    form: str,
    file: Path | None,
    no_color: bool,
) -> None:
    """Show one connection.

    Of this host: a live socket's state and what that waits for, its timers, queues, owner and tcp_info. Of a capture:
    the ladder of its segments beside the states of both sides; with -o FILE.pcapng its packets alone.

    ID is the one that `lastack connections` lists (of a live socket the kernel's cookie, in a capture an ordinal), or
    LOCAL-REMOTE, each ADDRESS:PORT.
    """
    if paths:
        from .ladder import show_recorded

        show_recorded(identity(which), paths, around, whole, form, file, no_color)
        return
    if form not in ("table", "json"):
        raise CallError(f"a live socket is shown as a table or as JSON; {form} is for captures")
    from lastack.api import socket

    found = socket(identity(which), netns)
    if found is None:
        raise CallError(f"no socket is called {which}; it may have ended: see lastack connections --all")
    with output(file) as paper_:
        info = None if found.info is None else {name: measure.value for name, measure in found.info.items()}
        if form == "json":
            from lastack.report.machine import write_socket

            write_socket(found.connection, info, paper_, found.doing)
        else:
            from lastack.report.terminal import render_socket

            width, color = paper(paper_, no_color)
            render_socket(
                found.connection,
                info,
                paper_,
                now=found.taken_ns,
                doing=found.doing,
                width=width,
                color=color,
            )


def identity(text: str) -> int | FourTuple:
    """The cookie or the four-tuple that a user names. Raises CallError."""
    from lastack.model.address import FourTuple

    if re.fullmatch(r"[0-9]{1,20}|0x[0-9a-fA-F]{1,16}", text):
        return int(text, 0)
    ends = re.split(r"\s*(?:->|[-,\s])\s*", text.strip())
    if len(ends) != 2:
        raise CallError(f"{text!r} names no socket: give its ID, or LOCAL-REMOTE, each ADDRESS:PORT")
    return FourTuple(_endpoint(ends[0]), _endpoint(ends[1]))


def _endpoint(text: str) -> Endpoint:
    from lastack.model.address import Endpoint, address_halves

    addr, colon, port = text.rpartition(":")
    addr = addr.removeprefix("[").removesuffix("]")
    try:
        address_halves(addr)
    except ValueError as error:
        raise CallError(str(error)) from None
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise CallError(f"{text!r} has no port: write ADDRESS:PORT")
    return Endpoint(addr, int(port))
