"""What runs a program is told from its executable, its command line and its name, in this order; Go by a note."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from lastack.live.runtimes import runtime
from lastack.model.host import Process, Runtime

NOWHERE = Path("/nonexistent")


def process(executable: str | None = None, arguments: tuple[str, ...] = (), command: str = "x") -> Process:
    return Process(pid=7, ppid=1, command=command, uid=0, executable=executable, arguments=arguments)


@pytest.mark.parametrize(
    ("found", "executable", "arguments", "command"),
    [
        (Runtime.PYTHON, "/usr/bin/python3.12", ("gunicorn: worker [shop]",), "gunicorn: worke"),
        (Runtime.PYTHON, "/usr/bin/python3.12 (deleted)", (), "x"),
        (Runtime.PYTHON, None, ("/opt/venv/bin/python", "app.py"), "x"),
        (Runtime.PYTHON, None, (), "python3"),
        (Runtime.PYTHON, "/usr/bin/python3.13t", (), "x"),
        (Runtime.PYTHON, "/usr/bin/pypy3", (), "x"),
        (Runtime.PYTHON, "/usr/bin/uwsgi-core", (), "x"),
        (Runtime.JAVA, "/usr/lib/jvm/java-21/bin/java", ("java", "-jar", "shop.jar"), "java"),
        (Runtime.NODE, "/usr/bin/node", ("node", "server.js"), "node"),
        (Runtime.NODE, "/usr/bin/nodejs", (), "x"),
        (Runtime.NGINX, "/usr/sbin/nginx", ("nginx: worker process",), "nginx"),
        (Runtime.NGINX, None, ("nginx: worker process",), "nginx"),
        (Runtime.PHP_FPM, "/usr/sbin/php-fpm8.2", ("php-fpm: pool www",), "php-fpm8.2"),
        (Runtime.PHP_FPM, None, ("php-fpm: pool www",), "x"),
        (None, "/usr/sbin/haproxy", ("haproxy",), "haproxy"),
        (None, "/usr/bin/pythonic", ("javac", "java"), "nodes"),
        (None, None, (), "\x1b[31m"),
        (None, None, (), ""),
    ],
)
def test_the_names_that_programs_go_by(
    found: Runtime | None, executable: str | None, arguments: tuple[str, ...], command: str
) -> None:
    assert runtime(process(executable, arguments, command), NOWHERE) is found


def elf(notes: bytes, kind: int = 4, klass: int = 2) -> bytes:
    """A 64-bit ELF file with one segment before that of the notes."""
    head = b"\x7fELF" + bytes([klass, 1, 1]) + bytes(25) + struct.pack("=Q14xHH", 64, 56, 2)
    segments = struct.pack("=I4xQ16xQ16x", 1, 0, 0) + struct.pack("=I4xQ16xQ16x", kind, 64 + 112 + 8, len(notes))
    return head.ljust(64, b"\0") + segments + bytes(8) + notes


GO = struct.pack("=III", 4, 8, 4) + b"Go\0\0" + b"build id"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (elf(GO), Runtime.GO),
        (elf(struct.pack("=III", 4, 4, 1) + b"GNU\0" + bytes(4) + GO), Runtime.GO),
        (elf(struct.pack("=III", 4, 4, 4) + b"GNU\0" + bytes(4)), None),
        (elf(GO, kind=1), None),
        (elf(GO, klass=1), None),
        (elf(GO)[:100], None),
        (elf(GO)[:20], None),
        (b"\x7fELF\x02" + b"\xff" * 200, None),
        (b"#!/bin/sh\n# Go\0\0", None),
        (b"", None),
    ],
)
def test_a_program_of_go_is_known_by_the_note_of_its_linker(
    tmp_path: Path, content: bytes, found: Runtime | None
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "exe").write_bytes(content)
    assert runtime(process("/opt/thing"), tmp_path) is found
