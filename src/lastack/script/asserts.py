"""What stands between %{ and }%: assertions about tcp_info, in a small and harmless part of Python.

Understood are assert, names, numbers, strings, comparisons, arithmetic, boolean logic and conditional expressions;
no calls, no attributes, no loops. Everything is checked before anything is evaluated.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from lastack.errors import ScriptError

Value: TypeAlias = Any
"""Whatever an assertion computes with: numbers, strings, None."""
_LONGEST: Final = 10_000
_LARGEST: Final = 1 << 64
_BINARY: Final[Mapping[type[ast.operator], Callable[[Value, Value], Value]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv, ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift,
}  # fmt: skip
_UNARY: Final[Mapping[type[ast.unaryop], Callable[[Value], Value]]] = {
    ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert,
}  # fmt: skip
_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Value, Value], Value]]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip


class Refused(ScriptError):
    """More than assertions: needs a real Python."""


def check(code: str, names: Mapping[str, int]) -> str | None:
    """What an assertion that does not hold says, or None: all hold.

    Raises Refused for what is more than assertions, ScriptError for what is no Python, names nothing known, or
    cannot be computed.
    """
    if len(code) > _LONGEST:
        raise Refused(f"{len(code):,} characters of code: assertions are shorter")
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ScriptError(f"no Python: {getattr(error, 'msg', error)}") from None
    for statement in tree.body:
        if not isinstance(statement, ast.Assert):
            raise Refused(f"only assertions are understood, not {type(statement).__name__.lower()}")
        try:
            held = _value(statement.test, names)
            if not held:
                return _message(statement, names)
        except (ArithmeticError, TypeError, RecursionError) as error:
            raise ScriptError(f"cannot be computed: {error}") from None
    return None


def _message(statement: ast.Assert, names: Mapping[str, int]) -> str:
    """The assertion, and what the names in it are."""
    known = sorted({node.id for node in ast.walk(statement.test) if isinstance(node, ast.Name)})
    values = ", ".join(f"{name} is {names[name]}" for name in known if name in names)
    return f"{ast.unparse(statement.test)} does not hold" + (f": {values}" if values else "")


def _value(node: ast.expr, names: Mapping[str, int]) -> Value:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, type(None))):
        return node.value
    if isinstance(node, ast.Name):
        return _name(node.id, names)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(node.left, names), _value(node.right, names)
        if isinstance(node.op, (ast.LShift, ast.Mult)) and not _small(node.op, left, right):
            raise ScriptError("cannot be computed: too large")
        return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_value(node.operand, names))
    if isinstance(node, ast.BoolOp):
        stop = isinstance(node.op, ast.Or)
        found = None
        for part in node.values:
            found = _value(part, names)
            if bool(found) == stop:
                break
        return found
    if isinstance(node, ast.Compare):
        return _compare(node, names)
    if isinstance(node, ast.IfExp):
        return _value(node.body if _value(node.test, names) else node.orelse, names)
    raise Refused(f"only assertions with names, numbers and comparisons are understood, not {ast.unparse(node)!r}")


def _small(sign: ast.operator, left: Value, right: Value) -> bool:
    """Whether a product or a shift stays a number that a computer likes."""
    if not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
        return False
    return abs(left) < _LARGEST and abs(right) < (_LARGEST if isinstance(sign, ast.Mult) else 64)


def _compare(node: ast.Compare, names: Mapping[str, int]) -> bool:
    left = _value(node.left, names)
    for sign, part in zip(node.ops, node.comparators, strict=True):
        compared = _COMPARISONS.get(type(sign))
        if compared is None:
            raise Refused(f"{type(sign).__name__} is not understood in assertions")
        right = _value(part, names)
        if not compared(left, right):
            return False
        left = right
    return True


def _name(name: str, names: Mapping[str, int]) -> int:
    if name in ("True", "False"):
        return name == "True"
    found = names.get(name)
    if found is None:
        raise ScriptError(f"{name} is not known: there are {', '.join(sorted(names)) or 'no names yet'}")
    return found
