"""What an interpreter runs: `python` says little of whose a connection is, `python feed.py` says it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from lastack.model.host import Process


class _Interpreter(NamedTuple):
    """Its name, options that take the program as their next word, and options that take another word."""

    name: re.Pattern[str]
    names_program: frozenset[str]
    takes_word: frozenset[str]


_INTERPRETERS: Final = (
    _Interpreter(re.compile(r"(python|pypy)[0-9.]*"), frozenset({"-m"}), frozenset({"-W", "-X"})),
    _Interpreter(
        re.compile(r"java"),
        frozenset({"-jar", "-m", "--module"}),
        frozenset({"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules"}),
    ),
    _Interpreter(re.compile(r"node(js)?|bun|deno"), frozenset(), frozenset({"-r", "--require", "--import", "-C"})),
    _Interpreter(re.compile(r"ruby[0-9.]*"), frozenset(), frozenset({"-r", "-I", "-C"})),
    _Interpreter(re.compile(r"perl[0-9.]*"), frozenset(), frozenset({"-I", "-M"})),
    _Interpreter(re.compile(r"php[0-9.]*"), frozenset({"-f"}), frozenset({"-d", "-c"})),
    _Interpreter(re.compile(r"beam\.smp|dotnet|mono"), frozenset(), frozenset()),
)


def program(process: Process) -> str | None:
    """The script, jar, module or class that an interpreter's command line names, without its directory; else None."""
    if not process.arguments:
        return None
    name = PurePosixPath(process.arguments[0]).name
    interpreter = next((each for each in _INTERPRETERS if each.name.fullmatch(name)), None)
    if interpreter is None:
        return None
    words = iter(process.arguments[1:])
    for word in words:
        if word in interpreter.names_program:
            return _short(next(words, ""))
        if word in interpreter.takes_word:
            next(words, None)
        elif not word.startswith("-"):
            return _short(word)
        elif word in ("-c", "-e"):
            return None
    return None


def _short(word: str) -> str | None:
    return PurePosixPath(word).name or None
