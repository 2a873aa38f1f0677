"""What the compiler may know of a class or a number and an interpreter need not.

Never compiled, and no dependency at run time. `i64` is a machine integer where it is compiled and a Python integer
elsewhere: the same up to 2^63, and nothing here comes near.

`mypyc_attr(acyclic=True)` promises that no reference leads from an object back to it. The garbage collector then never
looks at it, so that a simulation of many connections does not slow down under it. `free_list_len=1` keeps the place
of the last one for the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

__all__ = ["i64", "mypyc_attr"]

T = TypeVar("T")

if TYPE_CHECKING:
    from mypy_extensions import i64, mypyc_attr
else:
    i64 = int

    def mypyc_attr(**_promises: object) -> Callable[[type[T]], type[T]]:
        """Nothing, where nothing is compiled."""
        return lambda one: one
