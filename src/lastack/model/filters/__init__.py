"""The filter language that every command shares: the expressions of ss(8), and a few words of our own.

`parse("state close-wait dport = :443")` makes a `Filter`; `Filter.matches(table, now_ns)` says which rows it wants.
docs/filters.md is the reference of the language.
"""

from __future__ import annotations

from .conditions import EPHEMERAL, Filter
from .grammar import condition, parse

__all__ = ["EPHEMERAL", "Filter", "condition", "parse"]
