"""A system call that is ready to be made, and what may be wrong with its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from .symbols import number
from .syntax import Anything, CallLine, Expression, Word
from .target import Call

Result: TypeAlias = int | bytes | tuple[int, ...] | list[int] | list[tuple[int, int]]

_NEVER_GIVEN: Final = 1 << 30


class Made(NamedTuple):
    """A call that can be made. `check` says what is wrong with its result, or None; `fd` is the socket it is on."""

    call: Call
    check: Callable[[Result], str | None]
    fd: int | None


class Descriptors:
    """The script's numbers for descriptors, and the target's."""

    def __init__(self) -> None:
        self._real: dict[int, int] = {}

    def real(self, expression: Expression) -> int:
        """The target's descriptor; one that the script never got is passed on as it is (EBADF)."""
        mine = number(expression)
        return self._real.get(mine, mine if mine < 0 else mine + _NEVER_GIVEN)

    def name(self, mine: int, real: int) -> None:
        """A call gave the script a descriptor."""
        self._real[mine] = real

    def adopt(self, mine: int) -> None:
        """A call that is passed over would have given the script a descriptor: it is its own name."""
        self._real[mine] = mine

    def forget(self, mine: int) -> None:
        """It was closed."""
        self._real.pop(mine, None)


def unlike(line: CallLine, result: Result) -> str | None:
    """What is wrong with a number that a call has given, or None."""
    if isinstance(line.result, Anything) or number(line.result) == result:
        return None
    return f"{line.name}() = {said(line.result)} expected, {shown(result)} came"


def said(expression: Expression) -> str:
    """A result as the script has it."""
    return expression.name if isinstance(expression, Word) else str(number(expression))


def shown(result: Result | None) -> str:
    """A result as it came."""
    return f"{len(result)} octets" if isinstance(result, bytes) else str(result)
