"""From the text of a script to its syntax. Every error says file, line and column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lastack.errors import ScriptError

from .expressions import arguments, expression
from .packets import packet
from .reader import Reader
from .syntax import Action, CallLine, CodeLine, CommandLine, Event, Script, SegmentLine, When
from .tokens import ADDRESS, CODE, COMMAND, ELLIPSIS, END, FLOAT, INTEGER, OPTION, STRING, WORD, tokens

_LARGEST: Final = 64 << 20
"""Octets of a script that are read."""


def read(path: str | Path, defined: Mapping[str, str] | None = None) -> Script:
    """The script in a file. Raises ScriptError with the place for whatever is not understood, OSError as open()."""
    with Path(path).open("rb") as file:
        raw = file.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise ScriptError(f"{path}: larger than {_LARGEST >> 20} MiB: no script")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ScriptError(f"{path}:{line}: no text: octet {raw[error.start]:#04x} is not UTF-8") from None
    return parse(text, str(path), defined)


def parse(text: str, path: str = "<script>", defined: Mapping[str, str] | None = None) -> Script:
    """A script from its text. `defined` are names and what they stand for, as `-D NAME=value` gives them.

    Those that the script itself defines (`--define=NAME=value`) come on top. Raises ScriptError.
    """
    names = dict(defined or {})
    if "--define" in text:
        names = _definitions(text, path) | names
    reader = Reader(path, tokens(text, path, names))
    options = _options(reader)
    first = _command(reader) if reader.next.kind == COMMAND else None
    events: list[Event] = []
    last = None
    while reader.next.kind != END:
        if reader.next.kind == COMMAND:
            last = _command(reader)
            if reader.next.kind != END:
                raise reader.wrong("the end of the script after a command without a time")
            break
        events.append(_event(reader))
    return Script(path, tuple(text.split("\n")), tuple(options), tuple(events), first, last)


def _definitions(text: str, path: str) -> dict[str, str]:
    """The names that the script's own options define."""
    reader = Reader(path, tokens(text, path, {}))
    found = {}
    for name, value, line in _options(reader):
        if name == "define":
            symbol, equals, meaning = (value or "").partition("=")
            if not equals or not symbol:
                raise ScriptError(f"{path}:{line}: --define needs NAME=value")
            found[symbol] = meaning
    return found


def _options(reader: Reader) -> list[tuple[str, str | None, int]]:
    """`--name=value` lines at the beginning."""
    found: list[tuple[str, str | None, int]] = []
    while reader.next.kind == OPTION:
        token = reader.take()
        value = _option_value(reader) if reader.accept("=") else None
        found.append((str(token.value), value, token.line))
    return found


def _option_value(reader: Reader) -> str:
    token = reader.take()
    if token.kind not in (INTEGER, WORD, STRING, ADDRESS, FLOAT):
        raise reader.at(token, f"expected the value of an option, found {token.text!r}")
    if token.kind == WORD and reader.accept("="):
        # --define=NAME=value: the value keeps its quotes, which say what it is.
        return f"{token.text}={reader.take().text}"
    if token.kind == INTEGER and reader.accept("/"):
        raise reader.at(token, "expected the value of an option, found a fraction")
    return str(token.value)


def _command(reader: Reader) -> CommandLine:
    return CommandLine(str(reader.take().value))


def _event(reader: Reader) -> Event:
    token = reader.next
    when = _when(reader)
    until = reader.seconds() if reader.accept(ELLIPSIS) else None
    action = _action(reader, until)
    outbound = isinstance(action, SegmentLine) and action.outbound
    if (when.anytime or when.end is not None) and not outbound:
        what = "*" if when.anytime else "a range of times"
        raise reader.at(token, f"{what} is for packets that come (>); this event needs one time")
    if until is not None and not isinstance(action, CallLine):
        raise reader.at(token, "only a system call takes time (a...b)")
    return Event(token.line, when, action)


def _when(reader: Reader) -> When:
    """`0.1`, `+0.1`, `0.1~0.2`, `+0.1~+0.2`, `*`."""
    token = reader.next
    if reader.accept("*"):
        return When(anytime=True)
    relative = reader.accept("+") is not None
    start = reader.seconds()
    end = None
    if reader.accept("~"):
        if relative:
            reader.expect("+", "before the end of a range of relative times")
        end = reader.seconds()
        if end < start:
            raise reader.at(token, "the range of times ends before it begins")
    return When(start, end, relative)


def _action(reader: Reader, until: int | None) -> Action:
    token = reader.next
    if token.text in ("<", ">") and token.kind != STRING:
        return packet(reader)
    if token.kind == COMMAND:
        return _command(reader)
    if token.kind == CODE:
        return CodeLine(str(reader.take().value))
    if token.kind == WORD and reader.after().text == "(":
        return _call(reader, until)
    raise reader.wrong("a packet (< or >), a system call, a `command` or %{ code }%")


def _call(reader: Reader, until: int | None) -> CallLine:
    name = reader.take().text
    given = arguments(reader)
    reader.expect("=", "and the result after a system call")
    result = expression(reader)
    error = None
    if reader.next.kind == WORD and reader.next.text[:1].isupper():
        error = reader.take().text
    if reader.accept("("):
        # A note for people: what the errno or the flags mean.
        while not reader.accept(")"):
            if reader.take().kind == END:
                raise reader.wrong("')' after the note")
    return CallLine(name, given, result, error, until)
