"""The filter language's words: text to tokens, and the names that operators and states go by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from lastack.errors import FilterError
from lastack.model.state import State, bits

WORD: Final = "word"
QUOTED: Final = "quoted"
END: Final = "end"


class Token(NamedTuple):
    """One word: `kind` is WORD, QUOTED, END, a parenthesis, or an operator in its first spelling of OPERATORS."""

    kind: str
    text: str
    at: int


OPERATORS: Final[Mapping[str, tuple[str, ...]]] = {
    "and": ("and", "&", "&&"),
    "or": ("or", "|", "||"),
    "not": ("not", "!"),
    "=": ("=", "==", "eq"),
    "!=": ("!=", "ne", "neq"),
    "<": ("<", "lt"),
    "<=": ("<=", "le", "leq"),
    ">": (">", "gt"),
    ">=": (">=", "ge", "geq"),
    "(": ("(",),
    ")": (")",),
}
"""Every operator and its spellings, as ss(8) lists them."""

_SPELLED: Final = {spelling: operator for operator, spellings in OPERATORS.items() for spelling in spellings}

_TOKEN: Final = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*") | (?P<symbol>&&?|\|\|?|[<>!=]=?|[()]) | (?P<word>[^\s'"&|<>!=()]+)""",
    re.VERBOSE,
)


def tokens(text: str) -> list[Token]:
    """The words of an expression, an END token last. Raises FilterError on a quotation mark without its partner.

    Unlike in ss, operators and parentheses need no blanks around them; a text in quotation marks is one word, and a
    mark is written in it by doubling it.
    """
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise FilterError("this quotation mark is never closed", text, at)
        word = match.group()
        if match["quoted"]:
            mark = word[0]
            found.append(Token(QUOTED, word[1:-1].replace(mark * 2, mark), at))
        else:
            found.append(Token(_SPELLED.get(word.lower(), WORD), word, at))
        at = match.end()
    return [*found, Token(END, "", len(text))]


def printable(text: str) -> str:
    """The text with a blank for every control character, so that offsets stay and a terminal is safe from it."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def quoted(text: str) -> str:
    """The text as one word of the language that is never read as anything else."""
    return "'" + text.replace("'", "''") + "'"


ALL_STATES: Final = bits(*State)

_LISTENING_OR_CLOSED: Final = bits(State.LISTEN, State.CLOSED)
_BUCKET: Final = bits(State.SYN_RECEIVED, State.TIME_WAIT)

SS_NAME: Final[Mapping[State, str]] = {
    State.ESTABLISHED: "established",
    State.SYN_SENT: "syn-sent",
    State.SYN_RECEIVED: "syn-recv",
    State.FIN_WAIT_1: "fin-wait-1",
    State.FIN_WAIT_2: "fin-wait-2",
    State.TIME_WAIT: "time-wait",
    State.CLOSED: "closed",
    State.CLOSE_WAIT: "close-wait",
    State.LAST_ACK: "last-ack",
    State.LISTEN: "listening",
    State.CLOSING: "closing",
}
"""The state names of ss(8), which are also how a filter is written out."""

GROUPS: Final[Mapping[str, int]] = {
    "all": ALL_STATES,
    "connected": ALL_STATES & ~_LISTENING_OR_CLOSED,
    "synchronized": ALL_STATES & ~_LISTENING_OR_CLOSED & ~bits(State.SYN_SENT),
    "bucket": _BUCKET,
    "big": ALL_STATES & ~_BUCKET,
}
"""The groups of ss(8). Its `synchronized` holds SYN-RECV, unlike RFC 9293's."""


def plain(name: str) -> str:
    """A name without case, `-` and `_`, so that `CLOSE_WAIT`, `close-wait` and `CloseWait` are the same."""
    return name.lower().replace("-", "").replace("_", "")


STATE_MASKS: Final[Mapping[str, int]] = {
    **GROUPS,
    **{plain(name): bits(state) for state, name in SS_NAME.items()},
    **{plain(state.name): bits(state) for state in State},
    "estab": bits(State.ESTABLISHED),
    "synrcv": bits(State.SYN_RECEIVED),
    "close": bits(State.CLOSED),
    "unconnected": bits(State.CLOSED),
}
"""Masks of `1 << state` by every accepted name, as `plain` gives it."""


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """`: did you mean NAME?`, or nothing where no name is near."""
    import difflib

    near = difflib.get_close_matches(word.lower().replace("_", "-"), list(names), n=1)
    return f": did you mean {near[0]}?" if near else ""
