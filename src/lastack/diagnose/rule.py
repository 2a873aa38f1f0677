"""What a rule is, and how all that there are for one kind of context are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from lastack.model.finding import Finding

C = TypeVar("C")


class Rule(NamedTuple, Generic[C]):
    """A function over a context, and the ids of the findings that it may make with what each of them says."""

    check: Callable[[C], Iterator[Finding]]
    ids: dict[str, str]


def findings(rules: Iterable[Rule[C]], context: C) -> list[Finding]:
    """Every finding of every rule, gravest first, in the rules' order within."""
    found = [finding for rule in rules for finding in rule.check(context)]
    return sorted(found, key=lambda finding: -finding.severity)
