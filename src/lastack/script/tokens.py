"""A script as words: numbers, names, strings, signs, each with its place. Comments and #ifdef are dealt with here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from lastack.errors import ScriptError

END: Final = "end"
OPTION: Final = "option"
FLOAT: Final = "float"
INTEGER: Final = "integer"
WORD: Final = "word"
STRING: Final = "string"
COMMAND: Final = "command"
CODE: Final = "code"
ADDRESS: Final = "address"
ELLIPSIS: Final = "..."

_LEXEME: Final = re.compile(
    r"""
      (?P<space>[ \t\r\f\v\n]+)
    | (?P<comment>//[^\n]* | /\*.*?\*/)
    | (?P<open>/\*)
    | (?P<code>%\{.*?\}%)
    | (?P<opencode>%\{)
    | (?P<option>--[A-Za-z0-9_]+)
    | (?P<ellipsis>\.\.\.)
    | (?P<address>\d+\.\d+\.\d+\.\d+
        | (?:[0-9a-fA-F]{1,4}:){2,7}(?::?[0-9a-fA-F]{1,4}){1,7} | [0-9a-fA-F:]*::[0-9a-fA-F:.]*)
    | (?P<hex>0[xX][0-9a-fA-F]+)
    | (?P<float>\d*\.\d+)
    | (?P<word>\d*[A-Za-z_][A-Za-z0-9_]*)
    | (?P<integer>\d+)
    | (?P<string>"(?:\\.|[^"\\\n])*")
    | (?P<command>`(?:\\.|[^`\\])*`)
    | (?P<quote>["`])
    | (?P<sign>\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_CONDITION: Final = re.compile(r"[ \t]*#[ \t]*(ifdef|ifndef|else|endif)\b[ \t]*([A-Za-z_]\w*)?")
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class Token(NamedTuple):
    """One word. `value` of numbers is a number (floats as text, so that no time is rounded), of the rest their text."""

    kind: str
    text: str
    value: int | str
    line: int
    column: int


def tokens(text: str, path: str, defined: Mapping[str, str]) -> list[Token]:
    """The words of a script, END last. `defined` replaces names (`-D NAME=value`) and decides #ifdef.

    Raises ScriptError with the line for what cannot be a word, or is not closed.
    """
    kept = _conditions(text, path, defined)
    raw = list(_lexemes(kept, path))
    # A --define=NAME=value speaks of the name, not of what it stands for.
    spared = {token.line for token in raw if token.kind == OPTION}
    found = [token if token.line in spared else _defined(token, defined) for token in raw]
    last = kept.count("\n") + 1
    return [*found, Token(END, "the end of the script", "", last, 1)]


def error(path: str, line: int, column: int, message: str) -> ScriptError:
    """A ScriptError as compilers write it."""
    return ScriptError(f"{path}:{line}:{column}: {message}")


def _lexemes(text: str, path: str) -> Iterator[Token]:
    line, start = 1, 0
    for match in _LEXEME.finditer(text):
        kind, body = str(match.lastgroup), match.group()
        column = match.start() - start + 1
        if kind in ("open", "opencode", "quote"):
            closing = {"open": "*/", "opencode": "}%"}.get(kind, body)
            raise error(path, line, column, f"{body} is not closed: no {closing} follows")
        if kind not in ("space", "comment"):
            yield _token(kind, body, line, column)
        newlines = body.count("\n")
        if newlines:
            line += newlines
            start = match.start() + body.rindex("\n") + 1


def _token(kind: str, body: str, line: int, column: int) -> Token:
    if kind == "integer":
        return Token(INTEGER, body, int(body), line, column)
    if kind == "hex":
        return Token(INTEGER, body, int(body, 16), line, column)
    if kind == "string":
        return Token(STRING, body, unescaped(body[1:-1]), line, column)
    if kind in ("command", "code"):
        return Token(kind, body, body[1:-1] if kind == "command" else body[2:-2].strip(), line, column)
    if kind == "option":
        return Token(OPTION, body, body[2:], line, column)
    if kind in ("sign", "ellipsis"):
        return Token(body, body, body, line, column)
    return Token(kind, body, body, line, column)


def unescaped(text: str) -> str:
    r"""A string's octets as latin-1 characters: `\n`, `\x0a`, `\012` and the others of C."""

    def one(match: re.Match[str]) -> str:
        body = match.group(1)
        if body[0] == "x" and len(body) > 1:
            return chr(int(body[1:], 16))
        if body[0] in "01234567":
            return chr(int(body, 8) & 0xFF)
        return _ESCAPED.get(body, body)

    return _ESCAPE.sub(one, text)


def _defined(token: Token, defined: Mapping[str, str]) -> Token:
    """The word that a name stands for: a string, a command, a number or another name."""
    value = defined.get(token.text) if token.kind == WORD else None
    if value is None:
        return token
    if value[:1] in ('"', "`"):
        kind = STRING if value[0] == '"' else COMMAND
        return token._replace(kind=kind, value=unescaped(value[1:-1]) if kind == STRING else value[1:-1])
    if re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|\d+)", value):
        return token._replace(kind=INTEGER, text=value, value=int(value, 16 if "x" in value.lower() else 10))
    return token._replace(text=value, value=value)


def _conditions(text: str, path: str, defined: Mapping[str, str]) -> str:
    """The script with what #ifdef leaves out, and every other line that begins with #, made empty."""
    if "#" not in text:
        return text
    lines = text.split("\n")
    open_at: list[tuple[int, bool, bool]] = []
    """(line, whether this branch counts, whether an #else was there) of each condition that is open."""
    for number, line in enumerate(lines, 1):
        match = _CONDITION.match(line)
        if match is not None:
            _condition(match, number, path, defined, open_at)
        if match is not None or line.lstrip()[:1] == "#" or not all(counts for _, counts, _ in open_at):
            lines[number - 1] = ""
    if open_at:
        raise error(path, open_at[-1][0], 1, "no #endif follows")
    return "\n".join(lines)


def _condition(
    match: re.Match[str], number: int, path: str, defined: Mapping[str, str], open_at: list[tuple[int, bool, bool]]
) -> None:
    word, name = match.groups()
    if word in ("ifdef", "ifndef"):
        if name is None:
            raise error(path, number, 1, f"#{word} needs a name")
        open_at.append((number, (name in defined) == (word == "ifdef"), False))
    elif not open_at or (word == "else" and open_at[-1][2]):
        raise error(path, number, 1, f"#{word} without #ifdef")
    elif word == "else":
        line, counts, _ = open_at[-1]
        open_at[-1] = (line, not counts, True)
    else:
        open_at.pop()
