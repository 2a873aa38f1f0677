"""What every page of the lab says, decided once, in both languages."""

from __future__ import annotations

from typing import Final, NamedTuple

from lastack.model.history import History
from lastack.model.lab import VERDICTS_ZH, Fact, Outcome, Row, Run, Verdict
from lastack.wire.flags import PSH

_ZH: Final = {
    "Claim": "说法",
    "Source": "出处",
    "Scene": "场景",
    "Settings": "设置",
    "Counters": "计数器",
    "Evidence": "证据",
    "Verdict": "结论",
    "For you": "对你意味着",
    "engine": "引擎",
    "kernel": "内核",
    "engine and kernel agree": "引擎与内核一致",
    "engine and kernel differ": "引擎与内核不一致",
    "not run": "未运行",
    "at full length": "按完整时长",
    "failed": "失败",
    "agrees": "一致",
    "differs": "不一致",
    "experiment": "实验",
    "the engine's ladder is the same": "引擎的梯形图相同",
    "the engine's is another:": "引擎的梯形图不同：",
    "Seen by looking now and then": "通过定时查看得到的状态",
}


def word(text: str, language: str) -> str:
    """A word of the pages in `en` or `zh`."""
    return _ZH.get(text, text) if language == "zh" else text


def verdict(found: Verdict | None, language: str) -> str:
    """A verdict by its name."""
    if found is None:
        return word("not run", language)
    return VERDICTS_ZH[found] if language == "zh" else found.value


def judged(outcome: Outcome, language: str) -> str:
    """A verdict with its condition: `holds only if timestamps are on`."""
    told = verdict(outcome.verdict, language)
    if outcome.condition is None:
        return told
    condition = outcome.condition.said(language)
    return f"{told}：{condition}" if language == "zh" else f"{told} {condition}"


def agreement(row: Row, language: str) -> str:
    """Whether engine and kernel saw the same; why not both, where one is missing."""
    if row.agrees is None:
        return row.missing
    return word("engine and kernel agree" if row.agrees else "engine and kernel differ", language)


class Line(NamedTuple):
    """One fact as each run saw it, empty where one did not; `full`: the engine with its own, longer times."""

    what: str
    sim: str
    kernel: str
    full: str
    differ: bool


def lines(row: Row) -> list[Line]:
    """The facts of a row, in the order of the experiment."""
    sides = [_by_name(run) for run in (row.sim, row.kernel, row.full)]
    found = []
    for name in dict.fromkeys(name for side in sides for name in side):
        facts = [side.get(name) for side in sides]
        ours, theirs, _ = facts
        differ = ours is not None and theirs is not None and not ours.agrees(theirs)
        sim, kernel, full = ("" if fact is None else str(fact) for fact in facts)
        found.append(Line(name, sim, kernel, full, differ))
    return found


def alike(one: History, other: History) -> bool:
    """Whether two ladders tell the same: the segments in their order, and the states of either side in theirs."""
    return _signature(one) == _signature(other)


def _signature(history: History) -> tuple[list[tuple[object, ...]], ...]:
    segments: list[tuple[object, ...]] = [
        (segment.host, segment.flags & ~PSH, segment.seq, segment.ack, segment.length, segment.fate)
        for segment in history.segments
    ]
    lanes: list[list[tuple[object, ...]]] = [
        [(change.after,) for change in history.changes if change.host == host] for host in history.hosts
    ]
    return segments, *lanes


def _by_name(run: Run | None) -> dict[str, Fact]:
    return {} if run is None else {fact.what: fact for fact in run.outcome.facts}
