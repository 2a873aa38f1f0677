"""The book of claims: what the lab finds of each, with its ladder, in English and Chinese.

The pictures and the engine's evidence are played anew whenever the pages are written (virtual time, one seed: always
the same); what the kernel said is in `claims/kernel.json`, written by `python docs/book.py` as root.
"""

from __future__ import annotations

import json
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

from lastack.lab.catalog import CHAPTERS, EXPERIMENTS
from lastack.lab.experiment import Experiment
from lastack.lab.together import BOTH, SIM, rows
from lastack.model.lab import Run
from lastack.report.lab.words import conditional, verdict, word
from lastack.report.ladder.svg import render_svg

HERE = Path(__file__).parent
KERNEL: Final = HERE / "claims" / "kernel.json"
RUNGS: Final = 40
LANGUAGES: Final = {"en": "claims.md", "zh": "claims.zh.md"}
MARK: Final = "<!-- Written by docs/generate.py from the lab's results. -->"

_TITLE = {
    "en": "# What people say about closing TCP connections\n\n"
    "Every claim below is an experiment that you can run: `lastack lab run NAME`. The engine plays it in virtual time, "
    "and with root your own kernel does, in network namespaces of its own. The verdicts and facts here are from {system} "
    "and from lastack's engine; [中文](claims.zh.md).",
    "zh": "# 关于关闭 TCP 连接的种种说法\n\n"
    "下面每一条说法都是一个可以亲手运行的实验：`lastack lab run 名称 --lang zh`。引擎在虚拟时间里运行它；有 root 权限时，"
    "你自己的内核也在独立的网络命名空间里运行它。这里的结论和数据来自 {system} 与 lastack 的引擎；[English](claims.md)。",
}
_WORDS = {
    "en": ("Verdict", "What was seen", "It changes with", "Where people read it", "engine alone", "kernel alone", "engine and kernel agree", "engine and kernel differ: "),
    "zh": ("结论", "观察到的事实", "换一个设置就会变", "出处", "仅引擎", "仅内核", "引擎与内核一致", "引擎与内核不一致："),
}  # fmt: skip
_MARKS = {"en": (" (", "; ", ")", ": ", ". "), "zh": ("（", "；", "）", "：", "。")}


@cache
def played() -> dict[str, Run]:
    """The engine's runs, by the experiments' names; those that it can have."""
    return {row.name: row.sim for row in rows(EXPERIMENTS, SIM, {}) if row.sim is not None}


def recorded() -> dict[str, Any]:
    """What the kernel said, by the experiments' names."""
    found: dict[str, Any] = json.loads(KERNEL.read_text())
    return found


def page(language: str) -> str:
    """One language's book."""
    kernel = recorded()
    lines = [MARK, "", _TITLE[language].format(system=kernel["system"]), ""]
    lines += [f"| {_WORDS[language][0]} | |", "|---|---|"]
    for one in EXPERIMENTS:
        lines.append(
            f"| {_cell(conditional(one.expected, one.condition, language))} | [{_cell(one.claim.said(language))}](#{one.name}) |"
        )
    chapter = ""
    for one in EXPERIMENTS:
        if one.chapter != chapter:
            chapter = one.chapter
            lines += ["", f"## {CHAPTERS[chapter].said(language)}"]
        lines += ["", *_section(one, kernel["experiments"].get(one.name), language)]
    return "\n".join(lines) + "\n"


def pictures() -> dict[str, str]:
    """The ladder of every experiment that has one, by file name below docs/."""
    found = {}
    for one in EXPERIMENTS:
        ran = played().get(one.name)
        if ran is None or one.picture is None:
            continue
        scene, history = one.picture
        if scene < len(ran.scenes) and history < len(ran.scenes[scene].histories):
            found[f"claims/{one.name}.svg"] = render_svg(ran.scenes[scene].histories[history], most=RUNGS) + "\n"
    return found


def _section(one: Experiment, kernel: dict[str, Any] | None, language: str) -> list[str]:
    titles = _WORDS[language]
    ran = played().get(one.name)
    said = conditional(one.expected, one.condition, language)
    if kernel is None:
        agreed = titles[4]
    elif ran is None:
        agreed = titles[5]
    else:
        agreed = titles[7] + word("; ".join(kernel["differences"]), language) if kernel["differences"] else titles[6]
    lines = [f'<a id="{one.name}"></a>', "", f"### {one.claim.said(language)}", ""]
    opening, semicolon, closing, colon, stop = _MARKS[language]
    run = f"{opening}{agreed}{semicolon}`lastack lab run {one.name}`{closing}"
    lines += [f"**{said}**{run}", "", one.lesson.said(language), ""]
    lines += [f"*{word(one.reason, language)}*", ""] if one.reason else []
    if f"claims/{one.name}.svg" in _shown():
        lines += [f"![{one.name}](claims/{one.name}.svg)", ""]
    facts = {fact.what: str(fact) for fact in ran.outcome.facts} if ran is not None else {}
    theirs: dict[str, str] = kernel["facts"] if kernel is not None else {}
    lines += [f"| {titles[1]} | {word('engine', language)} | Linux |", "|---|---|---|"]
    for what in dict.fromkeys([*facts, *theirs]):
        cells = (what, facts.get(what, ""), theirs.get(what, ""))
        lines.append(f"| {' | '.join(_cell(word(cell, language)) for cell in cells)} |")
    flips = " ".join(f"--set {name}={str(value).lower()}" for name, value in one.counter.items())
    flips += " --on sim" if one.flips_on_engine_alone else ""
    flipped = f"{titles[2]} `{flips}`{colon}{verdict(one.flips_to, language)}{stop}"
    lines += ["", f"{flipped}{titles[3]}{colon}{one.source.said(language)}"]
    return lines


@cache
def _shown() -> frozenset[str]:
    return frozenset(pictures())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def record() -> int:
    """Run everything on both sides and write down what the kernel said. How many runs went wrong."""
    found = rows(EXPERIMENTS, BOTH, {})
    experiments = {
        row.name: {
            "verdict": row.kernel.outcome.verdict.value,
            "differences": list(row.differences),
            "facts": {fact.what: str(fact) for fact in row.kernel.outcome.facts},
        }
        for row in found
        if row.kernel is not None
    }
    KERNEL.parent.mkdir(exist_ok=True)
    document = {"system": f"Linux {platform.release().split('-')[0]}", "experiments": experiments}
    KERNEL.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    wrong = [row for row in found if row.failed or (row.verdict or row.about.expected) is not row.about.expected]
    for row in wrong:
        print(f"{row.name}: {row.failed or 'another verdict than expected'}")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(1 if record() else 0)
