"""Going through the words of a script one by one: what parsers of lines and of expressions share."""

from __future__ import annotations

import re
from typing import Final

from lastack.errors import ScriptError
from lastack.model.time import SECOND, Nanos

from .tokens import END, FLOAT, INTEGER, Token, error

_SHOWN: Final = 30
_LONGEST: Final = 8
"""Digits of a time in seconds."""


class Reader:
    """Where we are in the words of a script."""

    def __init__(self, path: str, words: list[Token]) -> None:
        self.path = path
        self._words = words
        self._at = 0

    @property
    def next(self) -> Token:
        """The word that comes next; END stays for ever."""
        return self._words[self._at]

    def after(self, distance: int = 1) -> Token:
        """A word further on."""
        return self._words[min(self._at + distance, len(self._words) - 1)]

    def take(self) -> Token:
        """The next word, and go on."""
        token = self._words[self._at]
        if token.kind != END:
            self._at += 1
        return token

    def accept(self, *texts: str) -> Token | None:
        """The next word if it is one of these, and go on."""
        return self.take() if self.next.text in texts and self.next.kind != "string" else None

    def expect(self, text: str, where: str) -> Token:
        """The next word, which has to be this one. Raises ScriptError."""
        token = self.accept(text)
        if token is None:
            raise self.wrong(f"{text!r} {where}")
        return token

    def expect_kind(self, kind: str, what: str) -> Token:
        """The next word, which has to be of a kind. Raises ScriptError."""
        if self.next.kind != kind:
            raise self.wrong(what)
        return self.take()

    def number(self, what: str, most: int = 0xFFFF_FFFF) -> int:
        """A number from 0 to `most`. Raises ScriptError."""
        token = self.expect_kind(INTEGER, what)
        value = int(token.value)
        if value > most:
            raise self.at(token, f"{what} is {most:,} at most, not {value:,}")
        return value

    def seconds(self) -> Nanos:
        """A time in seconds, exact to the nanosecond. Raises ScriptError."""
        if self.next.kind not in (INTEGER, FLOAT) or not re.fullmatch(r"\d*\.?\d*", self.next.text):
            raise self.wrong("a time in seconds")
        token = self.take()
        whole, _, part = token.text.partition(".")
        if len(whole) > _LONGEST:
            raise self.at(token, "a time of more than three years")
        return int(whole or 0) * SECOND + int(part[:9].ljust(9, "0"))

    def wrong(self, expected: str) -> ScriptError:
        """The error that something else was expected here."""
        token = self.next
        text = token.text if len(token.text) <= _SHOWN else token.text[:_SHOWN] + "..."
        found = text if token.kind == END else repr(text)
        return self.at(token, f"expected {expected}, found {found}")

    def at(self, token: Token, message: str) -> ScriptError:
        """An error at a word."""
        return error(self.path, token.line, token.column, message)
