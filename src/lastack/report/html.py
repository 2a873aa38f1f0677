"""The report as one HTML file that loads nothing: what `view` says, drawn with the page in `assets`.

All text is escaped, the data of the table too; style and script are named by their hashes in a Content-Security-Policy
that allows nothing else.
"""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import islice
from string import Template
from typing import TYPE_CHECKING, Final

from .columns import listed
from .view import page, rows_words, shown_rows

if TYPE_CHECKING:
    from lastack.model.finding import Advice
    from lastack.model.report import Report

    from .view import Bars, Fact, Level, Page, Remark

ROWS_WITHOUT_SCRIPT: Final = 50
"""So many rows of the table are in the HTML itself, for readers without JavaScript."""

_LABELLED: Final = frozenset({"id", "age", "recv_q", "send_q", "timer", "unit", "container", "listener", "netns"})
"""Columns whose cells need their heading beside them where a phone shows a row as a block."""

_LABEL_WIDTH, _BAR_WIDTH, _COUNT_WIDTH, _BAR_HEIGHT = 110, 150, 60, 22


def render(report: Report) -> str:
    """The report as a complete HTML document (UTF-8), readable without JavaScript, on paper and on a phone."""
    told = page(report)
    style, script = _asset("page.css"), _asset("page.js")
    connections, data = _connections(report, told)
    return Template(_asset("page.html")).substitute(
        title=escape(f"{told.verdict} - lastack"),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        source=escape(told.source),
        verdict=escape(told.verdict),
        tone="good" if told.healthy or told.severity is None else str(told.severity),
        contents=_contents(told.remarks),
        states=_states(told),
        findings="\n".join(_finding(remark) for remark in told.remarks),
        headroom=_headroom(told.headroom),
        connections=connections,
        unseen=_unseen(told.unseen),
        data=data,
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


# -- findings


def _contents(remarks: tuple[Remark, ...]) -> str:
    items = "".join(
        f'<li class="{remark.severity}"><span class="word">{str(remark.severity).upper()}</span>'
        f'<a href="#finding-{remark.number}">{escape(remark.placed)}</a></li>'
        for remark in remarks
    )
    return f'<ul class="contents">{items}</ul>' if items else ""


def _states(told: Page) -> str:
    items = "".join(f"<li><b>{count:,}</b> {escape(name)}</li>" for name, count in told.states if count)
    return f'<ul class="states" aria-label="Connections by state">{items}</ul>' if items else ""


def _finding(remark: Remark) -> str:
    netns = f"<span>network namespace {escape(remark.netns)}</span>" if remark.netns else ""
    whose = f'<p class="whose">{escape(remark.whose)}</p>' if remark.whose else ""
    ages = "" if remark.ages is None else _histogram(remark.ages, f"ages-{remark.number}")
    evidence = _evidence(remark.evidence)
    proof = (
        f'<div class="proof{" two" if ages and evidence else ""}">{evidence}{ages}</div>' if ages or evidence else ""
    )
    link = (
        f'<p class="goto"><a href="#connections" data-finding="{remark.number - 1}">'
        f"Show {'its connection' if remark.connections == 1 else f'its {remark.connections:,} connections'}</a></p>"
        if remark.connections
        else ""
    )
    return (
        f'<section class="card finding {remark.severity}" id="finding-{remark.number}">'
        f'<p class="kicker"><span class="word">{str(remark.severity).upper()}</span>'
        f"<code>{escape(remark.rule)}</code>{netns}</p>"
        f"<h2>{escape(remark.summary)}</h2>{whose}{proof}{_advice(remark.advice)}{_useless(remark)}{link}</section>"
    )


def _evidence(evidence: tuple[Fact, ...]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(fact.label)}</th><td>{escape(fact.value)}</td>'
        f'<td class="from">{escape(fact.source)}</td></tr>'
        for fact in evidence
    )
    return f'<div><h3>Evidence</h3><table class="evidence">{rows}</table></div>' if rows else ""


def _histogram(bars: Bars, label: str) -> str:
    """Horizontal bars, one a bucket; the same in words as its text alternative, which has `label` as its id."""
    drawn = []
    for number, bar in enumerate(bars.bars):
        y, width = number * _BAR_HEIGHT, max(bar.share * _BAR_WIDTH, 1 if bar.count else 0)
        drawn.append(
            f'<text class="label" x="{_LABEL_WIDTH - 8}" y="{y + 15}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect x="{_LABEL_WIDTH}" y="{y + 4}" width="{width:.1f}" height="{_BAR_HEIGHT - 8}" rx="2"/>'
            f'<text x="{_LABEL_WIDTH + width + 6:.1f}" y="{y + 15}">{bar.count:,}</text>'
        )
    size = f"{_LABEL_WIDTH + _BAR_WIDTH + _COUNT_WIDTH} {len(bars.bars) * _BAR_HEIGHT}"
    words = escape(f"{bars.title}: {bars.words}")
    return (
        f'<div><h3>{escape(bars.title)}</h3><svg class="ages" viewBox="0 0 {size}" role="img" '
        f'aria-labelledby="{label}"><title id="{label}">{words}</title>{"".join(drawn)}</svg></div>'
    )


def _advice(advice: tuple[Advice, ...]) -> str:
    items = []
    for number, item in enumerate(advice):
        rows = [(("Or" if number else "Do"), item.do, "do"), ("Effect", item.effect, ""), ("Risk", item.risk, "")]
        listed = "".join(f'<dt>{name}</dt><dd class="{kind}">{escape(text)}</dd>' for name, text, kind in rows if text)
        items.append(f"<li><dl>{listed}</dl></li>")
    return f'<ul class="advice">{"".join(items)}</ul>' if items else ""


def _useless(remark: Remark) -> str:
    items = "".join(
        f"<li><b>{escape(remedy.what)}</b>{': ' + escape(remedy.why) if remedy.why else ''}</li>"
        for remedy in remark.useless
    )
    return f'<div class="useless"><h3>Not helpful</h3><ul>{items}</ul></div>' if items else ""


# -- headroom and what was not seen


def _headroom(levels: tuple[Level, ...]) -> str:
    items = []
    for level in levels:
        kind = " full" if level.share >= 0.9 else " high" if level.share >= 0.5 else ""
        width = min(level.share, 1.0) * 100
        items.append(
            f"<li><p><span>{escape(level.words)}</span><b>{level.percent}</b></p>"
            f'<svg class="gauge{kind}" aria-hidden="true"><rect width="100%" height="100%" rx="4"/>'
            f'<rect class="used" width="{width:.1f}%" height="100%" rx="4"/></svg>'
            f'<p class="note">{escape(level.source)}</p></li>'
        )
    return f'<section class="card"><h2>Headroom</h2><ul class="limits">{"".join(items)}</ul></section>' if items else ""


def _unseen(lines: tuple[str, ...]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="card unseen"><h2>Not seen</h2><ul>{items}</ul></section>' if items else ""


# -- the table of connections


def _connections(report: Report, told: Page) -> tuple[str, str]:
    """The section with the table (its first rows), and the data that the script sorts and filters."""
    chosen, members = shown_rows(report)
    table = report.connections.select(chosen)
    if not len(table) or not told.columns:
        return "", "{}"
    kinds = [f"{heading.key} number" if heading.numeric else heading.key for heading in told.columns]
    made = [listed(table, heading.key, report.source.taken_ns) for heading in told.columns]
    texts = [column for _, column in made]
    data = {
        "columns": [
            {"key": h.key, "title": h.title, "kind": kind, "label": h.key in _LABELLED}
            for kind, h in zip(kinds, told.columns, strict=True)
        ],
        "texts": texts,
        "keys": [values if h.numeric else None for h, (values, _) in zip(told.columns, made, strict=True)],
        "findings": members,
    }
    head = "".join(
        f'<th scope="col" class="{kind}" title="{escape(h.meaning)}">'
        f'<button type="button">{escape(h.title)}</button></th>'
        for kind, h in zip(kinds, told.columns, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{escape(text)}</td>' for kind, text in zip(kinds, row, strict=True))
        + "</tr>"
        for row in islice(zip(*texts, strict=True), ROWS_WITHOUT_SCRIPT)
    )
    without = f"Without JavaScript, the first {ROWS_WITHOUT_SCRIPT} are shown."
    return (
        f'<section id="connections"><h2>Connections</h2>'
        f'<p class="note">{escape(rows_words(len(table), told.total))} <span class="without">{without}</span></p>'
        f'{_tools(told, members)}<div class="scroll"><table class="rows"><thead><tr>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="more"><button type="button" id="more" hidden></button></p>'
        "</section>"
    ), _json(data)


def _tools(told: Page, members: list[list[int]]) -> str:
    states = "".join(
        f'<button type="button" aria-pressed="false" data-state="{escape(name)}">{escape(name)} '
        f"<span>{count:,}</span></button>"
        for name, count in told.states
        if count
    )
    findings = "".join(
        f'<button type="button" aria-pressed="false" data-finding="{number}">{escape(remark.title)}</button>'
        for number, (remark, rows) in enumerate(zip(told.remarks, members, strict=True))
        if rows
    )
    return (
        '<div class="tools"><input type="search" id="filter" placeholder="Filter: 10.0.0.5, java, :443" '
        'aria-label="Filter the connections" autocomplete="off" spellcheck="false">'
        f'<span class="note" id="tally" role="status"></span>'
        f'<div class="chips" role="group" aria-label="States">{states}</div>'
        f'<div class="chips" role="group" aria-label="Findings">{findings}</div></div>'
    )


def _json(data: object) -> str:
    """JSON that may stand in a script element: no `<` in it can end the element."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
