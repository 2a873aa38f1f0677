"""What runs the program of a process, from its executable, its command line and its name."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from lastack.model.host import Process, Runtime

from .procfs import PROC
from .within import within

_NAMES: Final = (
    (Runtime.PYTHON, re.compile(r"(python|pypy)[0-9.]*t?|gunicorn|uvicorn|hypercorn|celery|uwsgi.*|mod_wsgi.*")),
    (Runtime.JAVA, re.compile(r"javaw?|jsvc")),
    (Runtime.NODE, re.compile(r"node(js)?[0-9.]*")),
    (Runtime.NGINX, re.compile(r"nginx|openresty|angie|tengine")),
    (Runtime.PHP_FPM, re.compile(r"php-fpm[0-9.]*|php[0-9.]*-fpm")),
)

_ELF64: Final = b"\x7fELF\x02"
_HEADERS: Final = struct.Struct("=32xQ14xHH")
"""Of struct Elf64_Ehdr: where the program headers begin, how large each is, how many there are."""
_SEGMENT: Final = struct.Struct("=I4xQ16xQ")
"""Of struct Elf64_Phdr: type, offset, size in the file."""
_PT_NOTE: Final = 4
_GO_BUILD_ID: Final = struct.pack("=I", 4) + b"Go\0\0"
"""The type and the owner of the note that Go's linker writes (cmd/link: elfwritegobuildid)."""
_MOST_NOTES: Final = 1 << 16
_MOST_SEGMENTS: Final = 64
_PATIENCE_S: Final = 0.2


def runtime(process: Process, proc: Path = PROC) -> Runtime | None:
    """The runtime of a process, or None where it is none of those known.

    A program may have called itself anything (`gunicorn: worker`), its executable tells best. A Go program is known
    by a note in its file, which takes the right to trace it. Never raises.
    """
    words = [process.executable or "", *process.arguments[:1], process.command]
    for word in words:
        # `nginx: worker process`, `php-fpm: pool www`, `/usr/bin/python3.11 (deleted)`
        name = PurePosixPath(word.removesuffix(" (deleted)").partition(":")[0]).name
        for found, pattern in _NAMES:
            if pattern.fullmatch(name):
                return found
    return Runtime.GO if within(_PATIENCE_S, lambda: _is_go(proc / str(process.pid) / "exe")) else None


def _is_go(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return any(_GO_BUILD_ID in notes for notes in _notes(file))
    except (OSError, ValueError, struct.error):
        return False


def _notes(file: IO[bytes]) -> Iterator[bytes]:
    """The segments of notes of a 64-bit ELF file of this machine's own byte order (elf(5))."""
    head = file.read(64)
    if not head.startswith(_ELF64):
        return
    at, size, count = _HEADERS.unpack_from(head)
    for number in range(min(count, _MOST_SEGMENTS)):
        file.seek(at + number * size)
        kind, offset, length = _SEGMENT.unpack(file.read(_SEGMENT.size))
        if kind == _PT_NOTE:
            file.seek(offset)
            yield file.read(min(length, _MOST_NOTES))
