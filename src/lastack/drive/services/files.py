"""A directory as a site: what a request's path names in it, and nothing outside of it."""

from __future__ import annotations

import html
import mimetypes
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, final
from urllib.parse import quote, unquote_to_bytes

from lastack.errors import CallError

from .stream import PIECE


class Opened(NamedTuple):
    """A file to be sent: its open descriptor (whoever has it closes it), length, time of change, and media type."""

    descriptor: int
    size: int
    changed: float
    kind: str


class Page(NamedTuple):
    """A page made here: the list of a directory."""

    text: bytes


class Moved(NamedTuple):
    """It is to be asked for under another name: a directory with a slash at its end."""

    to: str


@final
class Files:
    """What lies below `root`; links that lead out of it, devices and pipes do not.

    Raises CallError where `root` is no directory.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise CallError(f"{root} is no directory")

    def find(self, target: str) -> Opened | Page | Moved | None:
        """What the target of a request names, or None: nothing that is for everybody to see."""
        path = target.partition("?")[0].partition("#")[0]
        if path.lower().startswith("http://"):
            # A proxy's form, which a server takes too (RFC 9112 3.2.2).
            path = "/" + path[len("http://") :].partition("/")[2]
        name = unquote_to_bytes(path)
        parts = name.split(b"/")
        if not name.startswith(b"/") or b"\0" in name or b".." in parts:
            return None
        place = os.path.realpath(b"/".join((os.fsencode(self.root), *filter(None, parts))))
        return self._at(Path(os.fsdecode(place)), path)

    def _at(self, place: Path, path: str) -> Opened | Page | Moved | None:
        if not place.is_relative_to(self.root):
            return None
        # Unlike the method of Path it takes every name, however long or strange, for one that is not there.
        if os.path.isdir(place):  # noqa: PTH112
            if not path.endswith("/"):
                return Moved(quote(unquote_to_bytes(path)) + "/")
            return _open(place / "index.html") or _listing(place, path)
        return None if path.endswith("/") else _open(place)


def _open(place: Path) -> Opened | None:
    """Open a plain file; a link that took its place meanwhile is not followed, and a pipe not waited for."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    kind = mimetypes.guess_type(place.name)[0] or "application/octet-stream"
    return Opened(descriptor, status.st_size, status.st_mtime, kind)


def _listing(place: Path, path: str) -> Page | None:
    try:
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in os.scandir(place))
    except OSError:
        return None
    title = html.escape(os.fsdecode(unquote_to_bytes(path)))
    rows = [f'<li><a href="{quote(os.fsencode(name))}">{html.escape(name)}</a></li>' for name in names]
    page = f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1><ul>{''.join(rows)}</ul>\n"
    return Page(page.encode("utf-8", "replace"))


def pieces(file: Opened, start: int, octets: int) -> Iterator[bytes]:
    """So many octets of a file from `start` on; closes it at the end. Raises OSError where it has become shorter."""
    try:
        while octets:
            piece = os.pread(file.descriptor, min(octets, PIECE), start)
            if not piece:
                raise OSError("the file has become shorter")
            start += len(piece)
            octets -= len(piece)
            yield piece
    finally:
        os.close(file.descriptor)
