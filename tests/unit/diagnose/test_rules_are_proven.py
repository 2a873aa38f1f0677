"""A rule cannot land without a test that makes its situation and one that proves it silent, both on real sockets."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastack.diagnose.run import RULES

LIVE = Path(__file__).parents[2] / "live" / "rules"
IDS = [rule for each in RULES for rule in each.ids]


def marked(mark: str) -> set[str]:
    """The rules that tests in `tests/live/rules` are marked with; there the marks are held against what was said."""
    return {rule for path in LIVE.glob("test_*.py") for rule in _arguments(ast.parse(path.read_text()), mark)}


def _arguments(module: ast.Module, mark: str) -> Iterator[str]:
    names = {
        target.id: ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == mark:
            for argument in node.args:
                if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Name):
                    yield from names[argument.value.id]
                else:
                    yield ast.literal_eval(argument)


@pytest.mark.parametrize("mark", ["rule", "silent"])
def test_every_rule_has_its_tests_and_every_test_a_rule(mark: str) -> None:
    assert marked(mark) == set(IDS)


def test_no_two_rules_share_an_id() -> None:
    assert len(IDS) == len(set(IDS))


@pytest.mark.parametrize("rule", IDS)
def test_an_id_is_kebab_case_and_says_what_it_is_about(rule: str) -> None:
    assert rule == rule.lower()
    assert " " not in rule
    assert "_" not in rule
    assert next(each.ids[rule] for each in RULES if rule in each.ids)
