"""The lab as HTML files that load nothing: a page for each experiment, and one that lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from itertools import zip_longest
from typing import Final

from lastack.model.lab import Row, Run, Scene, Verdict
from lastack.report.ladder.svg import render_svg

from .words import agreement, judged, lines, sampled, verdict, word

_CLASSES: Final = {Verdict.HOLDS: "holds", Verdict.ONLY_IF: "onlyif", Verdict.FALSE: "false"}
_LADDERS: Final = 4
_RUNGS: Final = 120


def render_page(row: Row, language: str) -> str:
    """One experiment: claim, verdict, lesson, then the ladders of engine and kernel side by side, and the evidence."""
    run, about = row.kernel or row.sim, row.about
    tone = _CLASSES[row.verdict] if row.verdict is not None else ""
    system = "" if run is None else f" · {word(run.system, language)}"
    parts = [
        f'<p class="source"><a href="index.html">lastack lab</a> · {escape(row.name)} · '
        f"{escape(about.source.said(language))}</p>",
        f"<h1>{escape(about.claim.said(language))}</h1>",
        f'<p><span class="verdict {tone}">{escape(judged(row, language))}</span> '
        f'<span class="source">{escape(agreement(row, language))}{escape(system)}</span></p>',
    ]
    if row.failed:
        parts.append(f'<p class="verdict false">{escape(word("failed", language))}: {escape(row.failed)}</p>')
    notes = [word(line, language) for line in (*row.differences, row.reason) if line]
    parts += [f'<p class="note">{escape(note)}</p>' for note in notes]
    parts.append(f'<section><p class="lesson">{_prose(about.lesson.said(language))}</p></section>')
    parts.append(f"<section><h2>{escape(word('Evidence', language))}</h2>{_facts(row, language)}</section>")
    sims = row.sim.scenes if row.sim is not None else ()
    kernels = row.kernel.scenes if row.kernel is not None else ()
    for number, (sim, kernel) in enumerate(zip_longest(sims, kernels), 1):
        parts.append(_scene(sim, kernel, number, row, language))
    return _document(f"{row.name} - lastack", "".join(parts), language)


def render_index(rows: Sequence[Row], language: str) -> str:
    """All the experiments of a run, each a link to `NAME.html`."""
    played = [(row.sim or row.full, row.kernel) for row in rows]
    sides = [number for number in range(2) if any(pair[number] is not None for pair in played)]
    heads = [word(("engine", "kernel")[number], language) for number in sides]
    body = []
    for row, pair in zip(rows, played, strict=True):
        cells = "".join(
            _cell(_verdict(pair[number], language), head) for number, head in zip(sides, heads, strict=True)
        )
        tone = ' class="differs"' if row.differences or row.failed else ""
        state = f"{word('failed', language)}: {row.failed}" if row.failed else agreement(row, language)
        condition = row.about.condition if row.verdict is Verdict.ONLY_IF else None
        only = f"{word('only if ', language)}{condition.said(language)}" if condition else ""
        body.append(
            f'<tr{tone}><td><a href="{escape(row.name)}.html">{escape(row.about.claim.said(language))}</a>'
            f'<p class="source">{escape(only)}</p></td>{cells}<td>{escape(state)}</td></tr>'
        )
    systems = dict.fromkeys(run.system for pair in played for run in pair if run is not None)
    told = " · ".join(word(system, language) for system in systems)
    titles = "".join(f"<th>{escape(head)}</th>" for head in (word("Claim", language), *heads, ""))
    table = f'<table class="lab claims"><thead><tr>{titles}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return _document("lastack lab", f'<h1>lastack lab</h1><p class="source">{escape(told)}</p>{table}', language)


def packets(name: str, side: str, number: int) -> str:
    """Where the packets of an experiment's scene are, seen from its page: `side` is sim, kernel or sim-full."""
    return f"{name}/{side}-{number}.pcapng"


def _facts(row: Row, language: str) -> str:
    sides = [(word("engine", language), row.sim), (word("kernel", language), row.kernel)]
    sides.append((word("engine, at full length", language), row.full))
    heads = "".join(f"<th>{escape(title)}</th>" for title, run in sides if run is not None)
    body = []
    for line in lines(row, language):
        seen = zip((line.sim, line.kernel, line.full), sides, strict=True)
        cells = "".join(_cell(escape(cell), title) for cell, (title, run) in seen if run is not None)
        tone = ' class="differs"' if line.differ else ""
        body.append(f"<tr{tone}><th>{escape(line.what)}</th>{cells}</tr>")
    head = f"<thead><tr><th></th>{heads}</tr></thead>"
    return f'<table class="lab facts">{head}<tbody>{"".join(body)}</tbody></table>'


def _prose(text: str) -> str:
    """Sentences; what stands between backticks is a command."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _cell(content: str, label: str) -> str:
    """A cell that says on a narrow page, which has no headings, what it is of."""
    return f'<td data-label="{escape(label)}">{content}</td>'


def _scene(sim: Scene | None, kernel: Scene | None, number: int, row: Row, language: str) -> str:
    both = (("sim", sim, row.sim), ("kernel", kernel, row.kernel))
    sides = [(side, scene, run) for side, scene, run in both if scene is not None and run is not None]
    first = sides[0][1]
    title = word(first.title, language)
    settings = [
        f"{host}: " + ", ".join(f"{name}={value}" for name, value in of.items())
        for host, of in first.settings.items()
        if of
    ]
    settings += [word(replaced, language) for replaced in first.replaced]
    said = f'<p class="source">{escape("; ".join(settings))}</p>' if settings else ""
    pairs = []
    for ladder in range(max(min(len(scene.histories), _LADDERS) for _, scene, _ in sides)):
        figures = "".join(
            f"<figure><figcaption>{escape(word(run.system, language))} · "
            f'<a href="{escape(packets(row.name, side, number))}">{escape(word("packets", language))}</a></figcaption>'
            f"{render_svg(scene.histories[ladder], most=_RUNGS)}</figure>"
            for side, scene, run in sides
            if ladder < len(scene.histories)
        )
        pairs.append(f'<div class="pair {"two" if len(sides) > 1 else ""}">{figures}</div>')
    counters = "".join(_counters(scene, word(run.system, language)) for _, scene, run in sides)
    told = sampled([scene for _, scene, _ in sides], language)
    if told:
        pairs.append(f'<p class="source">{escape(told)}</p>')
    return f"<section><h2>{escape(title)}</h2>{said}{''.join(pairs)}{counters}</section>"


def _counters(scene: Scene, system: str) -> str:
    said: Iterable[str] = (
        f"{host}: " + ", ".join(f"{name} +{by:,}" for name, by in moved.items())
        for host, moved in scene.moved.items()
        if moved
    )
    return "".join(f'<p class="counters">{escape(system)}, {escape(line)}</p>' for line in said)


def _verdict(run: Run | None, language: str) -> str:
    if run is None:
        return ""
    found = run.outcome.verdict
    return f'<span class="verdict {_CLASSES[found]}">{escape(verdict(found, language))}</span>'


def _document(title: str, body: str, language: str) -> str:
    style = "".join(files("lastack.report").joinpath("assets", name).read_text("utf-8") for name in _STYLES)
    return (
        f'<!doctype html><html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f'<style>{style}</style></head><body class="lab"><main>{body}</main></body></html>\n'
    )


_STYLES: Final = ("page.css", "lab.css")
