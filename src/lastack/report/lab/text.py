"""The lab in a terminal: the list of experiments, a table of what many came to, a page for each."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import IO, TYPE_CHECKING, Final

from lastack.model.history import History
from lastack.model.lab import Row, Run, Scene, Verdict
from lastack.report.ladder.text import render as render_ladder
from lastack.report.pen import SOFT, Pen

from .words import agreement, alike, judged, lines, verdict, word

if TYPE_CHECKING:
    from rich.text import Text

_STYLES: Final = {Verdict.HOLDS: "bold green", Verdict.ONLY_IF: "bold yellow", Verdict.FALSE: "bold red"}
_LADDERS: Final = 3
"""So many connections of a scene are drawn; the page in HTML has them all."""
_RUNGS: Final = 48
_LABEL: Final = 12
_NAME: Final = 34
_COUNTERS: Final = 8


def render_list(entries: Sequence[tuple[str, str, str, Verdict]], file: IO[str], width: int, color: bool,
                language: str) -> None:  # fmt: skip
    """The experiments: (name, chapter, claim, verdict) each, a heading before every chapter."""
    pen = Pen(file, width, color)
    chapter = ""
    for name, part, claim, found in entries:
        if part != chapter:
            if chapter:
                pen.blank()
            pen.line(pen.text(part, "bold"))
            chapter = part
        pen.line(pen.text(_padded(f"  {name}", _NAME), "cyan", verdict(found, language), _STYLES[found]))
        pen.line(pen.text(claim), 6)
    pen.finish()


def render_table(rows: Sequence[Row], file: IO[str], width: int, color: bool, language: str) -> None:
    """One line an experiment: its name, its verdict on either side, whether they agree; then why not."""
    pen = Pen(file, width, color)
    column = max((len(row.name) for row in rows), default=0) + 2
    head = [word(text, language) for text in ("experiment", "engine", "kernel")]
    pen.line(pen.text(f"{head[0]:<{column}}{head[1]:<16}{head[2]:<16}", SOFT))
    for row in rows:
        sides = [None if run is None else run.outcome.verdict for run in (row.sim or row.full, row.kernel)]
        pieces = [f"{row.name:<{column}}", ""]
        for side in sides:
            pieces += [_padded(verdict(side, language), 16), _STYLES.get(side, SOFT) if side else SOFT]
        state, style = _state(row, language)
        pen.line(pen.text(*pieces, state, style))
        for line in (row.failed, *row.differences, row.reason if row.differences else "", row.missing):
            if line:
                pen.hang(pen.text(" " * 4), pen.text(line, "red" if line == row.failed else SOFT))
    pen.finish()


def render_row(
    row: Row,
    source: str,
    lesson: str,
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
    pen.line(pen.text(row.name, "bold cyan"))
    _write(pen, word("Claim", language), pen.text(row.claim.said(language), "bold"))
    _write(pen, word("Source", language), pen.text(source, SOFT))
    pen.finish()
    run = row.kernel or row.sim
    others = row.sim.scenes if row.kernel is not None and row.sim is not None else ()
    for scene, other in zip_longest(run.scenes if run is not None else (), others):
        if scene is not None:
            _render_scene(scene, other, run, file, width, color, language, step)
    pen = Pen(file, width, color)
    pen.blank()
    _write_facts(pen, row, language)
    if row.failed:
        _write(pen, word("failed", language), pen.text(row.failed, "bold red"))
    if run is not None:
        told = pen.text(judged(run.outcome, language), _STYLES[run.outcome.verdict])
        told.append(f"  ({agreement(row, language)})" if agreement(row, language) else "", SOFT)
        _write(pen, word("Verdict", language), told)
    for line in (*row.differences, row.reason if row.differences else ""):
        if line:
            _write(pen, "", pen.text(line, "yellow"))
    _write(pen, word("For you", language), pen.text(lesson))
    pen.finish()


def _render_scene(
    scene: Scene,
    other: Scene | None,
    run: Run | None,
    file: IO[str],
    width: int,
    color: bool,
    language: str,
    step: Callable[[], None] | None,
) -> None:
    pen = Pen(file, width, color)
    pen.blank()
    on = f"  ({run.system})" if run is not None else ""
    pen.hang(pen.text(f"{word('Scene', language)}  ", SOFT), pen.text(scene.title, "bold", on, SOFT))
    for host, settings in scene.settings.items():
        if settings:
            said = ", ".join(f"{name}={value}" for name, value in settings.items())
            pen.hang(pen.text(f"  {host}  ", SOFT), pen.text(said, SOFT))
    pen.finish()
    for number, history in enumerate(scene.histories[:_LADDERS]):
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
        pen.line(pen.text(f"{left:,} more connections are not drawn here", SOFT))
    for host, moved in scene.moved.items():
        if moved:
            pen.hang(pen.text(f"  {host}  ", SOFT), _counted(pen, moved))
    pen.finish()


def _render_other(
    history: History, other: History | None, file: IO[str], width: int, color: bool, language: str
) -> None:
    """The engine's ladder of the same connection, where it is another one than the kernel's."""
    if other is None:
        return
    pen = Pen(file, width, color)
    same = alike(history, other)
    pen.line(pen.text(word("the engine's ladder is the same" if same else "the engine's is another:", language), SOFT))
    pen.finish()
    if not same:
        render_ladder(other, file, width=width, color=color, most=_RUNGS)


def _counted(pen: Pen, moved: Mapping[str, int]) -> Text:
    telling = {name: by for name, by in moved.items() if name not in ("TcpInSegs", "TcpOutSegs")}
    shown = list(telling.items())[:_COUNTERS]
    more = f", {len(telling) - len(shown)} more" if len(telling) > len(shown) else ""
    return pen.text(", ".join(f"{name} +{by:,}" for name, by in shown) + more, SOFT)


def _write_facts(pen: Pen, row: Row, language: str) -> None:
    label = word("Evidence", language)
    for line in lines(row):
        seen = [(word("engine", language), line.sim), (word("kernel", language), line.kernel)]
        if row.sim is None or row.kernel is None or line.sim == line.kernel:
            seen = [("", line.kernel or line.sim)]
        if line.full and line.full != line.sim:
            seen.append((word("at full length", language), line.full))
        value = pen.text(", ".join(f"{who} {what}".strip() for who, what in seen), "bold yellow" if line.differ else "")
        pen.hang(pen.text(f"  {_padded(label, _LABEL - 2)}", SOFT), pen.text(f"{line.what}: ", SOFT) + value)
        label = ""


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
