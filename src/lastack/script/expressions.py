"""Arguments and results of system calls: numbers, names, strings, lists, structures (a recursive descent)."""

from __future__ import annotations

from typing import Final

from .reader import Reader
from .syntax import Anything, Either, Expression, Function, Sequence, Structure, Word
from .tokens import ELLIPSIS, INTEGER, STRING, WORD

_DEEPEST: Final = 32
"""Lists in lists that are read; what comes deeper is no script but an attack on whoever reads it."""


def expression(reader: Reader, depth: int = 0) -> Expression:
    """One expression. Raises ScriptError where none can be read."""
    parts = [_term(reader, depth)]
    while reader.accept("|"):
        parts.append(_term(reader, depth))
    return parts[0] if len(parts) == 1 else Either(tuple(parts))


def arguments(reader: Reader, depth: int = 0) -> tuple[Expression, ...]:
    """What stands between ( and ), both read here. Raises ScriptError."""
    reader.expect("(", "before the arguments")
    if reader.accept(")"):
        return ()
    found = [expression(reader, depth)]
    while reader.accept(","):
        found.append(expression(reader, depth))
    reader.expect(")", "after the arguments")
    return tuple(found)


def _term(reader: Reader, depth: int) -> Expression:
    if depth > _DEEPEST:
        raise reader.wrong(f"lists in no more than {_DEEPEST} lists")
    token = reader.next
    if reader.accept(ELLIPSIS):
        return Anything()
    if reader.accept("["):
        return Sequence(_items(reader, "]", depth + 1))
    if reader.accept("{"):
        return _braces(reader, depth + 1)
    if token.text == "-" and token.kind != STRING:
        reader.take()
        return -reader.number("a number", 1 << 63)
    if token.kind == INTEGER:
        return int(reader.take().value)
    if token.kind == STRING:
        return _octets(reader)
    if token.kind == WORD:
        reader.take()
        if reader.next.text == "(" and reader.next.kind != STRING:
            return Function(token.text, arguments(reader, depth + 1))
        return Word(token.text)
    raise reader.wrong("a number, a name, a string or a list")


def _octets(reader: Reader) -> bytes:
    """Strings one after the other are one."""
    text = ""
    while reader.next.kind == STRING:
        text += str(reader.take().value)
    reader.accept(ELLIPSIS)
    return text.encode("latin-1", "replace")


def _items(reader: Reader, closing: str, depth: int) -> tuple[Expression, ...]:
    found: list[Expression] = []
    while not reader.accept(closing):
        if found:
            reader.expect(",", f"or {closing!r} in a list")
        found.append(expression(reader, depth))
    return tuple(found)


def _braces(reader: Reader, depth: int) -> Expression:
    """A structure with named fields, or a list of what has no names."""
    if not _named(reader):
        return Sequence(_items(reader, "}", depth))
    fields: list[tuple[str, Expression]] = []
    while not reader.accept("}"):
        if fields:
            reader.expect(",", "or '}' in a structure")
        name = reader.expect_kind(WORD, "the name of a field").text
        if reader.next.text == "(":
            # msg_name(...) = ..., msg_iov(1) = [...]: the length says nothing that the list does not.
            arguments(reader, depth)
        reader.expect("=", f"after {name}")
        fields.append((name, expression(reader, depth)))
    return Structure(tuple(fields))


def _named(reader: Reader) -> bool:
    if reader.next.kind != WORD:
        return False
    return reader.after().text == "=" or (reader.after().text == "(" and _assigned_later(reader))


def _assigned_later(reader: Reader) -> bool:
    """Whether `name(...)` is followed by `=`."""
    at = 2
    while reader.after(at).text not in (")", "") and at < 8:
        at += 1
    return reader.after(at + 1).text == "="
