"""The lab in a terminal: the list of experiments, a table of what many came to, a page for each."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import IO, TYPE_CHECKING, Final

from lastack.model.history import History
from lastack.model.lab import About, Row, Run, Scene, Verdict
from lastack.report.ladder.text import render as render_ladder
from lastack.report.pen import SOFT, Pen

from .words import agreement, apart, colon, comma, conditional, judged, lines, sampled, verdict, word

if TYPE_CHECKING:
    from rich.text import Text

_STYLES: Final = {Verdict.HOLDS: "bold green", Verdict.ONLY_IF: "bold yellow", Verdict.FALSE: "bold red"}
_SOFTLY: Final = "yellow"
_LADDERS: Final = 3
"""So many connections of a scene are drawn; the page in HTML has them all."""
_RUNGS: Final = 48
_LABEL: Final = 12
_NAME: Final = 34
_SIDE: Final = 16
_COUNTERS: Final = 8
_DIFFERENCES: Final = 8


def render_list(entries: Sequence[tuple[str, About]], file: IO[str], width: int, color: bool, language: str) -> None:
    """The experiments, each with its chapter: name, verdict, claim, condition; a heading before every chapter."""
    pen = Pen(file, width, color)
    chapter = ""
    for part, about in entries:
        if part != chapter:
            if chapter:
                pen.blank()
            pen.line(pen.text(part, "bold"))
            chapter = part
        name = pen.text(_padded(f"  {about.name}", _NAME), "cyan")
        pen.hang(name, pen.text(verdict(about.expected, language), _STYLES[about.expected]))
        pen.line(pen.text(about.claim.said(language)), 6)
        if about.condition is not None:
            pen.line(pen.text(f"{word('only if ', language)}{about.condition.said(language)}", _SOFTLY), 6)
    pen.blank()
    pen.line(
        pen.text(word("lastack lab list NAME: its lesson and its knobs; lastack lab run NAME: play it", language), SOFT)
    )
    pen.finish()


def render_about(
    about: About,
    knobs: Sequence[tuple[str, str, str]],
    counter: tuple[str, Verdict],
    file: IO[str],
    width: int,
    color: bool,
    language: str,
) -> None:
    """One experiment before it is run.

    `knobs`: (name, default, meaning) each; `counter`: the options that flip the verdict, and to which.
    """
    pen = Pen(file, width, color)
    _write_head(pen, about, language)
    found = conditional(about.expected, about.condition, language)
    _write(pen, word("Verdict", language), pen.text(found, _STYLES[about.expected]))
    _write(pen, word("For you", language), pen.text(about.lesson.said(language)))
    label = word("Knobs", language)
    for name, default, meaning in knobs:
        _write(pen, label, pen.text(f"{name}={default}  ", "cyan", word(meaning, language), SOFT))
        label = ""
    options, flipped = counter
    told = pen.text(options, "cyan", colon(language), SOFT, verdict(flipped, language), _STYLES[flipped])
    _write(pen, word("Flips", language), told)
    pen.finish()


def render_table(rows: Sequence[Row], file: IO[str], width: int, color: bool, language: str) -> None:
    """One line an experiment: its name, its verdict on either side, whether they agree; then why not."""
    pen = Pen(file, width, color)
    column = max((len(row.name) for row in rows), default=0) + 2
    asked = [side for side in ("engine", "kernel") if any(_asked(row, side) for row in rows)]
    heads = [_padded(word("experiment", language), column), *(_padded(word(side, language), _SIDE) for side in asked)]
    pen.line(pen.text("".join(heads), SOFT))
    for row in rows:
        runs = {"engine": row.sim or row.full, "kernel": row.kernel}
        pieces = [f"{row.name:<{column}}", ""]
        for run in (runs[side] for side in asked):
            found = None if run is None else run.outcome.verdict
            pieces += [_padded(verdict(found, language), _SIDE), _STYLES[found] if found else SOFT]
        state, style = _state(row, language)
        pen.line(pen.text(*pieces, state, style))
        for line in (row.failed, *row.differences, row.reason, row.missing):
            if line:
                pen.hang(pen.text(" " * 4), pen.text(word(line, language), "red" if line == row.failed else SOFT))
    pen.blank()
    pen.line(pen.text(word("In full: lastack lab run NAME, or -o DIR for a page of each", language), SOFT))
    pen.finish()


def render_row(
    row: Row,
    file: IO[str],
    width: int,
    color: bool,
    language: str,
    step: Callable[[], None] | None = None,
) -> None:
    """One experiment in full: the claim, the ladders, what moved, the evidence, the verdict, the lesson.

    `step` is called after every line of a ladder, before the next is written.
    """
    pen = Pen(file, width, color)
    _write_head(pen, row.about, language)
    pen.finish()
    run = row.kernel or row.sim
    others = row.sim.scenes if row.kernel is not None and row.sim is not None else ()
    for scene, other in zip_longest(run.scenes if run is not None else (), others):
        if scene is not None and run is not None:
            _render_scene(scene, other, run, file, width, color, language, step)
    pen = Pen(file, width, color)
    _write_sampled(pen, run, language)
    pen.blank()
    _write_facts(pen, row, language)
    if row.failed:
        _write(pen, word("failed", language), pen.text(row.failed, "bold red"))
    told = pen.text(judged(row, language), _STYLES[row.verdict] if row.verdict else "bold")
    agreed = agreement(row, language)
    told.append(f"  ({agreed})" if agreed else "", SOFT)
    _write(pen, word("Verdict", language), told)
    for line in (*row.differences, row.reason):
        if line:
            _write(pen, "", pen.text(word(line, language), "yellow"))
    _write(pen, word("For you", language), pen.text(row.about.lesson.said(language)))
    pen.finish()


def _write_head(pen: Pen, about: About, language: str) -> None:
    pen.line(pen.text(about.name, "bold cyan"))
    _write(pen, word("Claim", language), pen.text(about.claim.said(language), "bold"))
    _write(pen, word("Source", language), pen.text(about.source.said(language), SOFT))


def _render_scene(
    scene: Scene,
    other: Scene | None,
    run: Run,
    file: IO[str],
    width: int,
    color: bool,
    language: str,
    step: Callable[[], None] | None,
) -> None:
    pen = Pen(file, width, color)
    pen.blank()
    pen.hang(
        pen.text(f"{word('Scene', language)}  ", SOFT),
        pen.text(word(scene.title, language), "bold", f"  ({word(run.system, language)})", SOFT),
    )
    for host, settings in scene.settings.items():
        if settings:
            said = ", ".join(f"{name}={value}" for name, value in settings.items())
            pen.hang(pen.text(f"  {host}  ", SOFT), pen.text(said, SOFT))
    for replaced in scene.replaced:
        pen.hang(pen.text("  "), pen.text(word(replaced, language), "yellow"))
    pen.finish()
    for number, whole in enumerate(scene.histories[:_LADDERS]):
        # Said once, below the last ladder.
        history = whole._replace(sampled="")
        if step is None:
            render_ladder(history, file, width=width, color=color, most=_RUNGS)
            theirs = other.histories[number] if other is not None and number < len(other.histories) else None
            _render_other(history, theirs, file, width, color, language)
            continue
        ladder = io.StringIO()
        render_ladder(history, ladder, width=width, color=color)
        for line in ladder.getvalue().splitlines():
            file.write(line)
            file.flush()
            step()
    pen = Pen(file, width, color)
    left = scene.left_out + max(len(scene.histories) - _LADDERS, 0)
    if left:
        more = f"{left:,} more connection{'s' if left > 1 else ''} not drawn here"
        pen.line(pen.text(word(more, language), SOFT))
    for host, moved in scene.moved.items():
        if moved:
            pen.hang(pen.text(f"  {host}  ", SOFT), _counted(pen, moved, language))
    pen.finish()


def _render_other(
    history: History, other: History | None, file: IO[str], width: int, color: bool, language: str
) -> None:
    """In what the engine's ladder of the same connection differs from the kernel's."""
    if other is None:
        return
    pen = Pen(file, width, color)
    differences = apart(other, history)
    if not differences:
        pen.line(pen.text(word("the engine's ladder is the same", language), SOFT))
    else:
        pen.line(pen.text(word("the engine's ladder differs: - on the engine alone, + here alone", language), SOFT))
        for line in differences[:_DIFFERENCES]:
            pen.line(pen.text(line, "yellow"), 4)
        if len(differences) > _DIFFERENCES:
            pen.line(pen.text(f"... {word(f'{len(differences) - _DIFFERENCES} more', language)}", SOFT), 4)
    pen.finish()


def _counted(pen: Pen, moved: Mapping[str, int], language: str) -> Text:
    telling = {name: by for name, by in moved.items() if name not in ("TcpInSegs", "TcpOutSegs")}
    shown = list(telling.items())[:_COUNTERS]
    told = [f"{name} +{by:,}" for name, by in shown]
    if len(telling) > len(shown):
        told.append(word(f"{len(telling) - len(shown)} more", language))
    return pen.text(", ".join(told), SOFT)


def _write_sampled(pen: Pen, run: Run | None, language: str) -> None:
    """Which states of a kernel's ladders come from looking now and then."""
    told = sampled(run.scenes, language) if run is not None else ""
    if told:
        pen.blank()
        pen.line(pen.text(told, SOFT))


def _write_facts(pen: Pen, row: Row, language: str) -> None:
    label = word("Evidence", language)
    for line in lines(row, language):
        seen = [(word("engine", language), line.sim), (word("kernel", language), line.kernel)]
        if row.sim is None or row.kernel is None or line.sim == line.kernel:
            seen = [("", line.kernel or line.sim)]
        if line.full and line.full != line.sim:
            seen.append((word("at full length", language), line.full))
        told = comma(language).join(f"{who} {what}".strip() for who, what in seen if what)
        value = pen.text(told, "bold yellow" if line.differ else "")
        pen.hang(pen.text(f"  {_padded(label, _LABEL - 2)}", SOFT), pen.text(line.what + colon(language), SOFT) + value)
        label = ""


def _asked(row: Row, side: str) -> bool:
    """Whether a row was to be run on the `engine`, or on the `kernel`."""
    return row.on in ("both", "sim" if side == "engine" else "kernel")


def _state(row: Row, language: str) -> tuple[str, str]:
    if row.failed:
        return word("failed", language), "bold red"
    if row.agrees is None:
        return "", SOFT
    return (word("agrees", language), SOFT) if row.agrees else (word("differs", language), "bold yellow")


def _write(pen: Pen, label: str, words: Text) -> None:
    """A labelled paragraph."""
    pen.hang(pen.text("  " + _padded(label, _LABEL - 2), SOFT), words)


def _padded(text: str, cells: int) -> str:
    from rich.cells import cell_len

    return text + " " * max(cells - cell_len(text), 1)
