"""The filter language's grammar, as ss(8) has it: words to conditions.

    level     := states level | operand { [and | or] operand }
    operand   := not operand | ( level ) | predicate
    states    := { state NAME | exclude NAME }
    predicate := states | word [operator] value | autobound | inet | inet6

The state words at the start of a level hold for the whole of it, whatever follows: in ss they are not part of the
expression but stand before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from lastack.errors import FilterError
from lastack.model.close import Timer

from . import values
from .conditions import (
    COUNTS,
    DURATIONS,
    NAMES,
    PORTS,
    AtHost,
    Autobound,
    Both,
    CameBy,
    Compares,
    Condition,
    Either,
    Filter,
    InState,
    Is,
    Named,
    Not,
    joined,
)
from .words import (
    ALL_STATES,
    END,
    GROUPS,
    OPERATORS,
    QUOTED,
    SS_NAME,
    STATE_MASKS,
    WORD,
    Token,
    did_you_mean,
    plain,
    printable,
    quoted,
    tokens,
)

DEEPEST: Final = 50
"""How deep parentheses and `not` may nest."""

_EQUALITIES: Final = ("=", "!=")
_ALL_COMPARISONS: Final = ("=", "!=", "<", "<=", ">", ">=")
_STATE_WORDS: Final = ("state", "exclude", "excl")

TIMERS: Final[Mapping[str, Timer]] = {
    "off": Timer.OFF,
    "on": Timer.RETRANSMIT,
    "retransmit": Timer.RETRANSMIT,
    "keepalive": Timer.KEEPALIVE,
    "timewait": Timer.TIME_WAIT,
    "persist": Timer.PROBE,
    "probe": Timer.PROBE,
}
"""The timers by the names that `ss -o` prints, and by ours."""

FAMILIES: Final[Mapping[str, int]] = {"inet": 4, "inet6": 6, "ipv4": 4, "ipv6": 6, "4": 4, "6": 6}

_TWO_WAYS: Final = "put parentheses: ss reads this from left to right, its manual lets 'and' bind tighter than 'or'"

_NOT_HERE: Final[Mapping[str, str]] = {
    "dev": "the interface of a connection is not read",
    "fwmark": "the mark of a connection is not read",
    "cgroup": "write unit NAME or container NAME",
}
"""Words of ss(8) that this language leaves out."""

Value = TypeVar("Value")


def parse(text_or_words: str | Sequence[str]) -> Filter:
    """The filter that an expression says, given as one text or as the words of a command line.

    Of a command line's words, one that follows process, unit or container and holds blanks is one name. Raises
    FilterError, which points at the word that cannot be understood.
    """
    text = text_or_words if isinstance(text_or_words, str) else _line(text_or_words)
    text = printable(text)
    return _Parser(text, tokens(text)).filter()


def _line(words: Sequence[str]) -> str:
    kept = list(words)
    for position, word in enumerate(words[1:], 1):
        if words[position - 1].lower() in NAMES and " " in word and word[0] not in "'\"":
            kept[position] = quoted(word)
    return " ".join(kept)


def condition(word: str, relation: str, value: str) -> Filter:
    """The filter of one condition, for options like `--process NAME`: the value is taken as it is, blanks and all.

    Raises FilterError as `parse` does.
    """
    text = f"{word} {relation} {value}"
    at = len(word) + 1, len(word) + len(relation) + 2
    kind = {spelling: operator for operator, all_of in OPERATORS.items() for spelling in all_of}.get(relation, WORD)
    words = [Token(WORD, word, 0), Token(kind, relation, at[0]), Token(WORD, value, at[1]), Token(END, "", len(text))]
    return _Parser(text, words).filter()


class _Parser:
    """A reader of tokens: one method a rule of the grammar."""

    __slots__ = ("depth", "position", "text", "tokens")

    def __init__(self, text: str, words: list[Token]) -> None:
        self.text = text
        self.tokens = words
        self.position = 0
        self.depth = 0

    def filter(self) -> Filter:
        """The whole text."""
        if self.next.kind == END:
            return Filter()
        found = self.level()
        if self.next.kind != END:
            raise self.error("this ')' closes nothing")
        return Filter(found)

    # -- tokens

    @property
    def next(self) -> Token:
        """The token that has not been taken yet."""
        return self.tokens[self.position]

    def take(self, *kinds: str) -> Token | None:
        """The next token if it is of one of the kinds."""
        found = self.next
        if found.kind not in kinds or found.kind == END:
            return None
        self.position += 1
        return found

    def error(self, message: str, at: Token | None = None) -> FilterError:
        """An error at a token, or at the next one."""
        return FilterError(printable(message), printable(self.text), (at or self.next).at)

    def value(self, what: str, read: Callable[[str], Value]) -> Value:
        """The next token, read as a value; `what` says what is missing where there is none."""
        found = self.take(WORD, QUOTED)
        if found is None:
            there = f", not '{self.next.text}'" if self.next.text else ""
            raise self.error(f"{what} is expected here{there}")
        try:
            return read(found.text)
        except ValueError as why:
            raise self.error(str(why), found) from None

    # -- rules

    def level(self) -> Condition:
        """What stands between two parentheses, or the whole."""
        start = self.next
        found = self.whole_level()
        if found.height > DEEPEST:
            raise self.error(f"this nests deeper than {DEEPEST} levels", start)
        return found

    def whole_level(self) -> Condition:
        """A level with the state words that start it, which hold for the whole of it."""
        states = self.states()
        if states is None:
            return self.operators(self.operand(), led=False)
        if self.next.kind in ("and", "or", ")", END):
            return self.operators(states, led=True)
        return joined(Both, [states, self.operators(self.operand(), led=False)])

    def operators(self, first: Condition, led: bool) -> Condition:
        """The operands of a level after the first; `led` where that first one is its state words.

        The manual of ss lets `and` bind tighter than `or`; ss itself (6.1) reads from left to right. What the two
        would understand differently is refused.
        """
        ands, ors = [first], []
        while self.next.kind not in (")", END):
            start = self.next
            if self.take("or"):
                if led and len(ands) > 1:
                    raise self.error("put parentheses: the state before 'and' may hold for this or not", start)
                ors.append(self.operand())
            else:
                if ors:
                    raise self.error(_TWO_WAYS, start)
                self.take("and")
                ands.append(self.operand())
        return joined(Either, [joined(Both, ands), *ors])

    def operand(self) -> Condition:
        """`not` and what it negates, a level in parentheses, or a predicate."""
        start = self.take("not", "(")
        if start is None:
            return self.states() or self.predicate()
        self.depth += 1
        if self.depth > 2 * DEEPEST:
            raise self.error(f"this nests deeper than {DEEPEST} levels", start)
        if start.kind == "not":
            found: Condition = Not(self.operand())
        else:
            found = self.level()
            if not self.take(")"):
                raise self.error("this '(' is never closed", start)
        self.depth -= 1
        return found

    def states(self) -> InState | None:
        """State words one after another, read as ss does: `state` adds, `exclude` takes away, the first one starts."""
        mask: int | None = None
        while self.next.kind == WORD and self.next.text.lower() in _STATE_WORDS:
            word = self.tokens[self.position].text.lower()
            self.position += 1
            named = self.value("the name of a state", _state)
            before = (0 if word == "state" else ALL_STATES) if mask is None else mask
            mask = before | named if word == "state" else before & ~named
        return None if mask is None else InState(mask)

    def predicate(self) -> Condition:
        """A word of PREDICATES and what belongs to it."""
        found = self.take(WORD)
        word = found.text.lower() if found else ""
        if found is None or word not in PREDICATES:
            raise self.unknown(found or self.next)
        return PREDICATES[word](self, word)

    def unknown(self, found: Token) -> FilterError:
        """The error for a token that starts no predicate."""
        if found.kind not in (WORD, QUOTED):
            what = f"not '{found.text}'" if found.text else "the expression ends too early"
            return self.error(f"a condition is expected here, {what}", found)
        text = found.text
        if text.lower() in _NOT_HERE:
            return self.error(f"'{text}' is not understood here: {_NOT_HERE[text.lower()]}", found)
        if plain(text) in STATE_MASKS:
            return self.error(f"'{text}' is a state: write state {text}", found)
        if text.startswith(":") or text.isdigit():
            port = text.removeprefix(":")
            return self.error(f"'{text}' of which side? Write dport = :{port} or sport = :{port}", found)
        words = ("state", "exclude", *PREDICATES)
        return self.error(f"unknown word '{text}'{did_you_mean(text, words) or ': one of ' + ', '.join(words)}", found)

    def relation(self, word: str, allowed: tuple[str, ...]) -> str:
        """The operator after a word, `=` where there is none."""
        found = self.take(*_ALL_COMPARISONS)
        if found is None:
            return "="
        if found.kind not in allowed:
            raise self.error(f"{word} takes no '{found.text}', only {' and '.join(allowed)}", found)
        return found.kind

    # -- predicates

    def at_host(self, word: str) -> Condition:
        """`dst`, `src`."""
        relation = self.relation(word, _EQUALITIES)
        return _perhaps_not(relation, AtHost(word, self.value("an address or a port", values.host)))

    def came_by(self, word: str) -> Condition:
        """`listener`."""
        relation = self.relation(word, _EQUALITIES)
        return _perhaps_not(relation, CameBy(self.value("an address or a port", values.host)))

    def port(self, word: str) -> Condition:
        """`dport`, `sport`."""
        relation = self.relation(word, _ALL_COMPARISONS)
        start = self.next
        number = self.value("a port, like :443 or :https,", values.port)
        if number is not None:
            return _compared(word, relation, number)
        if relation not in _EQUALITIES:
            raise self.error(f"'{relation}' needs one port to compare with", start)
        return _perhaps_not(relation, AtHost("dst" if word == "dport" else "src", values.Host(None, None)))

    def count(self, word: str) -> Condition:
        """`recv-q`, `send-q`."""
        return _compared(word, self.relation(word, _ALL_COMPARISONS), self.value("a number", values.count))

    def duration(self, word: str) -> Condition:
        """`age`, `idle`."""
        if self.next.kind not in _ALL_COMPARISONS:
            raise self.error(f"an operator is expected here, as in {word} > 60s")
        return _compared(word, self.relation(word, _ALL_COMPARISONS), self.value("a duration", values.duration))

    def name(self, word: str) -> Condition:
        """`process`, `unit`, `container`. A number without quotation marks is a process id."""
        relation = self.relation(word, _EQUALITIES)
        if word == "process" and self.next.kind == WORD and re.fullmatch("[0-9]{1,10}", self.next.text):
            return _compared(word, relation, self.value("a process", values.count))
        return _perhaps_not(relation, Named(word, self.value("a name", str)))

    def timer(self, word: str) -> Condition:
        """`timer`."""
        relation = self.relation(word, _EQUALITIES)
        code = self.value("the name of a timer", lambda text: _listed("timer", text, TIMERS))
        name = next(name for name, timer in TIMERS.items() if timer == code)
        return _perhaps_not(relation, Is(word, name, code))

    def family(self, word: str) -> Condition:
        """`family`, or a family's name by itself."""
        if word in FAMILIES:
            relation, code = "=", FAMILIES[word]
        else:
            relation = self.relation(word, _EQUALITIES)
            code = self.value("inet or inet6", lambda text: _listed("family", text, FAMILIES))
        return _perhaps_not(relation, Is("family", "inet" if code == 4 else "inet6", code))

    def autobound(self, word: str) -> Condition:
        """`autobound`."""
        del word
        return Autobound()


PREDICATES: Final[Mapping[str, Callable[[_Parser, str], Condition]]] = {
    "dst": _Parser.at_host,
    "src": _Parser.at_host,
    **dict.fromkeys(PORTS, _Parser.port),
    "autobound": _Parser.autobound,
    "family": _Parser.family,
    "inet": _Parser.family,
    "inet6": _Parser.family,
    **dict.fromkeys(NAMES, _Parser.name),
    "listener": _Parser.came_by,
    **dict.fromkeys(DURATIONS, _Parser.duration),
    **dict.fromkeys(COUNTS, _Parser.count),
    "timer": _Parser.timer,
}
"""Every word that starts a condition, besides the state words."""


def _perhaps_not(relation: str, found: Condition) -> Condition:
    return Not(found) if relation == "!=" else found


def _compared(word: str, relation: str, number: int) -> Condition:
    return _perhaps_not(relation, Compares(word, "=" if relation == "!=" else relation, number))


def _state(text: str) -> int:
    mask = STATE_MASKS.get(plain(text))
    if mask is None:
        raise ValueError(f"unknown state '{text}'{did_you_mean(text, (*SS_NAME.values(), *GROUPS))}")
    return mask


def _listed(what: str, text: str, known: Mapping[str, Value]) -> Value:
    names = {plain(name): value for name, value in known.items()}
    if plain(text) not in names:
        raise ValueError(f"unknown {what} '{text}'{did_you_mean(text, known) or ': one of ' + ', '.join(known)}")
    return names[plain(text)]
