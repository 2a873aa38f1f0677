"""Command lines in scripts: settings and set-up that are understood, and done without a shell.

Understood are `sysctl -w name=value` (and `echo value > /proc/sys/...`), set_sysctls.py, and the set-up lines that
scripts for Linux begin and end with, which have nothing to do here. All else is refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from lastack.errors import ScriptError

_SETUP: Final = frozenset({"defaults.sh", "cleanup_all.sh", "set_sysctls.py.restore", "true", ":"})
"""What scripts source or call for a clean machine: every script here has one of its own anyway."""
_RESTORE: Final = re.compile(r"/tmp/sysctl_restore_\S+\.sh|/usr/local/bin/\S*defaults\.sh")


def settings(command: str) -> Iterator[tuple[str, str]]:
    """The (sysctl, value) pairs that a command line sets. Raises ScriptError for what is not understood."""
    for part in re.split(r"&&|;|\n", command):
        words = _words(part)
        if words:
            yield from _settings(words, part.strip())


def _words(part: str) -> list[str]:
    try:
        return shlex.split(part, comments=True)
    except ValueError as error:
        raise ScriptError(f"`{part.strip()}` cannot be read: {error}") from None


def _settings(words: list[str], part: str) -> Iterator[tuple[str, str]]:
    while words and words[0] in ("sudo", "source", ".", "sh", "bash"):
        words = words[1:]
    if not words or _RESTORE.fullmatch(words[0]) or PurePosixPath(words[0]).name in _SETUP:
        return
    name = PurePosixPath(words[0]).name
    if name == "sysctl":
        yield from _pairs([word for word in words[1:] if not word.startswith("-") and word not in (">", "/dev/null")])
    elif name in ("set_sysctls.py", "set_sysctls"):
        yield from (_path(word) for word in words[1:])
    elif name == "echo" and len(words) >= 4 and words[-2] == ">" and words[-1].startswith("/proc/sys/"):
        yield _dotted(words[-1]), " ".join(words[1:-2])
    else:
        raise ScriptError(f"`{part}` is not understood, and no shell is asked to do it (--allow-shell lets it)")


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    """`name=value`, also with blanks around the sign and in the value."""
    text = " ".join(words)
    for found in re.finditer(r"([A-Za-z][\w./-]*)\s*=\s*([^=]*?)(?=\s+[A-Za-z][\w./-]*\s*=|$)", text):
        yield found.group(1).replace("/", "."), found.group(2).strip(" \"'")


def _path(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise ScriptError(f"set_sysctls.py needs /proc/sys/NAME=VALUE, not {word!r}")
    return _dotted(name), value


def _dotted(path: str) -> str:
    return path.removeprefix("/proc/sys/").replace("/", ".")
