"""What every page of the lab says, decided once, in both languages."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import unified_diff
from typing import Final, NamedTuple

from lastack.model.history import History
from lastack.model.lab import VERDICTS_ZH, Fact, Row, Run, Scene, Verdict, Words
from lastack.report.ladder.rungs import SAMPLED, label
from lastack.wire.flags import PSH

from .zh.said import chinese

_ROOM: Final = 100
"""More than a segment in words takes."""


def word(text: str, language: str) -> str:
    """What pages, scenes, facts and knobs say, in `en` or `zh`; in English where nobody has put it into Chinese."""
    return (chinese(text) or text) if language == "zh" else text


def colon(language: str) -> str:
    """What stands between a name and what is said of it."""
    return "：" if language == "zh" else ": "


def comma(language: str) -> str:
    """What stands between two things of a list."""
    return "，" if language == "zh" else ", "


def sampled(scenes: Sequence[Scene], language: str) -> str:
    """Which states of these scenes come from looking now and then, in a sentence; empty for none."""
    states = next((one.sampled for scene in scenes for one in scene.histories if one.sampled), "")
    return word(f"{SAMPLED}: {states}", language) if states else ""


def verdict(found: Verdict | None, language: str) -> str:
    """A verdict by its name."""
    if found is None:
        return word("not run", language)
    return VERDICTS_ZH[found] if language == "zh" else found.value


def judged(row: Row, language: str) -> str:
    """The verdict of a row with its condition; with what was given, where that made it another than expected."""
    found, about = row.verdict, row.about
    if found is None:
        return verdict(None, language)
    told = conditional(found, about.condition, language)
    if not row.given:
        return told
    given = " ".join(f"{name}={str(value).lower()}" for name, value in row.given.items())
    usual = ""
    if found is not about.expected:
        stands = conditional(about.expected, about.condition, language)
        usual = f" ({word('as it stands', language)}{colon(language)}{stands})"
    return f"{word('with', language)} {given}{colon(language)}{told}{usual}"


def conditional(found: Verdict, condition: Words | None, language: str) -> str:
    """A verdict, with the condition where it holds only so: `holds only if timestamps are on`."""
    told = verdict(found, language)
    if found is not Verdict.ONLY_IF or condition is None:
        return told
    return f"{told}{colon(language)}{condition.zh}" if language == "zh" else f"{told} {condition.en}"


def agreement(row: Row, language: str) -> str:
    """Whether engine and kernel saw the same; why not both, where one is missing."""
    if row.agrees is None:
        return word(row.missing, language)
    return word("engine and kernel agree" if row.agrees else "engine and kernel differ", language)


class Line(NamedTuple):
    """One fact as each run saw it, empty where one did not; `full`: the engine with its own, longer times."""

    what: str
    sim: str
    kernel: str
    full: str
    differ: bool


def lines(row: Row, language: str) -> list[Line]:
    """The facts of a row, in the order of the experiment."""
    sides = [_by_name(run) for run in (row.sim, row.kernel, row.full)]
    found = []
    for name in dict.fromkeys(name for side in sides for name in side):
        facts = [side.get(name) for side in sides]
        ours, theirs, _ = facts
        differ = ours is not None and theirs is not None and not ours.agrees(theirs)
        sim, kernel, full = ("" if fact is None else word(str(fact), language) for fact in facts)
        found.append(Line(word(name, language), sim, kernel, full, differ))
    return found


def apart(ours: History, theirs: History) -> list[str]:
    """In what two ladders differ: `-` before what the first has alone, `+` before what the second has; in order.

    Segments are compared by all but their times and windows, states by their order on either side.
    """
    differences = unified_diff(_told(ours), _told(theirs), lineterm="", n=0)
    return [line for line in differences if line[0] in "+-" and line[:3] not in ("+++", "---")]


def _told(history: History) -> list[str]:
    segments = [
        f"{one.host} {label(one._replace(flags=one.flags & ~PSH), _ROOM)} {one.fate}".rstrip()
        for one in history.segments
    ]
    lanes = [
        f"{host} enters {change.after.name}"
        for host in history.hosts
        for change in history.changes
        if change.host == host
    ]
    return segments + lanes


def _by_name(run: Run | None) -> dict[str, Fact]:
    return {} if run is None else {fact.what: fact for fact in run.outcome.facts}
