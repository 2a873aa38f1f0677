"""The report and a single socket as text: wrapped to a width, readable without colour and when piped."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Final

from lastack.model.finding import Severity

from .glyphs import Glyphs, glyphs_for, holdable
from .socket_view import socket_page
from .view import counted, page

if TYPE_CHECKING:
    from rich.text import Text

    from lastack.model.finding import Advice
    from lastack.model.host import Doing
    from lastack.model.record import ConnectionTable
    from lastack.model.report import Report
    from lastack.model.time import Nanos

    from .socket_view import Info
    from .view import Bars, Fact, Level, Page, Remark, Remedy

_STYLES: Final = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold cyan"}
_HEALTHY: Final = "bold green"
_SOFT: Final = "dim"

_LABEL: Final = 9
"""Cells of the left column (`Effect`, `Since`, ...), its indent of two included."""

_ONE_SCREEN: Final = 3
"""In brief, so many facts a problem and so many limits are shown; twice as many where there is room for them."""

_GAUGE: Final = 10
_NARROWEST: Final = 30


def render(report: Report, file: IO[str], *, width: int = 80, color: bool = False, verbose: bool = False) -> None:
    """Write the report to `file`, wrapped to `width` cells, with ANSI colours if `color`.

    In brief, for one screen: of each problem the first evidence and the first piece of advice in full, of a note the
    summary. `verbose` shows everything. Signs that the file's encoding lacks are replaced.
    """
    told = page(report)
    pen = _Pen(file, width, color)
    shown = None if verbose else _ONE_SCREEN if len(told.problems) > 1 else 2 * _ONE_SCREEN
    _write_verdict(pen, told, verbose)
    for remark in told.remarks:
        _write_remark(pen, remark, shown)
    _write_headroom(pen, told.headroom[:shown], verbose)
    for line in told.unseen:
        pen.hang(pen.text("Not seen ", _SOFT), pen.text(line))
    if shown and _hides(told, shown):
        pen.line(pen.text("All evidence, advice and reasons: --verbose", _SOFT))
    pen.finish()


def render_remark(remark: Remark, file: IO[str], *, width: int = 80, color: bool = False) -> None:
    """Write one finding in full to `file`, wrapped to `width` cells."""
    pen = _Pen(file, width, color)
    _write_remark(pen, remark, None)
    pen.finish()


def render_socket(
    table: ConnectionTable,
    info: Info | None,
    file: IO[str],
    *,
    now: Nanos,
    doing: Doing | None = None,
    width: int = 80,
    color: bool = False,
) -> None:
    """Write to `file` the only row of `table`, its tcp_info (by the kernel's names and units), what its process does.

    `now` is when it was taken, Unix ns.
    """
    told = socket_page(table, info, now, doing)
    pen = _Pen(file, width, color)
    pen.line(pen.text(told.title, "bold"))
    pen.line(pen.text(told.state, "bold", f" waits for {told.waits_for}", ""))
    for title, facts in told.groups:
        pen.blank()
        pen.line(pen.text(title, "bold"))
        pen.facts("", facts, 2)
    pen.finish()


# -- the parts of a report


def _write_verdict(pen: _Pen, told: Page, verbose: bool) -> None:
    style = _HEALTHY if told.healthy or told.severity is None else _STYLES[told.severity]
    verdict = pen.text(told.verdict, style)
    if told.problems:
        verdict.append(": " + "; ".join(told.problems))
    pen.line(verdict)
    if verbose:
        pen.line(pen.text(told.source, _SOFT))
    states = ", ".join(f"{count:,} {name}" for name, count in told.states if count)
    if states:
        pen.line(pen.text(f"{counted(told.total, 'connection')}: {states}", _SOFT))


def _write_remark(pen: _Pen, remark: Remark, shown: int | None) -> None:
    """A finding with `shown` of its facts; None: with everything."""
    verbose = shown is None
    pen.blank()
    head = pen.text(f"{str(remark.severity).upper():<{_LABEL}}", _STYLES[remark.severity])
    where = f" in network namespace {remark.netns}" if remark.netns else ""
    pen.hang(head, pen.text(f"{remark.summary}{where}  ", "bold", f"({remark.rule})", _SOFT))
    if not (verbose or remark.problem):
        return
    if remark.whose:
        pen.write("Whose", pen.text(remark.whose))
    if remark.ages is not None and remark.ages.words:
        pen.write("Since", pen.text(_since(pen.glyphs, remark.ages)))
    pen.facts("  Facts", remark.evidence[:shown], _LABEL, whole=verbose)
    for number, advice in enumerate(remark.advice):
        _write_advice(pen, "Or" if number else "Do", advice, verbose or not number)
    if remark.useless:
        pen.hang(pen.text("  "), _useless(pen, remark.useless, verbose))


def _since(glyphs: Glyphs, ages: Bars) -> str:
    highest = len(glyphs.heights) - 1
    row = "".join(glyphs.heights[round(bar.share * highest)] if bar.count else glyphs.nothing for bar in ages.bars)
    return f"{row}  {ages.title}: {ages.words}"


def _write_advice(pen: _Pen, label: str, advice: Advice, in_full: bool) -> None:
    pen.write(label, pen.text(advice.do, "bold" if in_full else ""))
    if in_full:
        risk = ". Risk: " if advice.effect else "Risk: "
        pen.write("Effect", pen.text(advice.effect, "", *((risk, _SOFT, advice.risk, "") if advice.risk else ())))


def _useless(pen: _Pen, remedies: tuple[Remedy, ...], verbose: bool) -> Text:
    said = pen.text("Not helpful: ", _SOFT)
    for number, remedy in enumerate(remedies):
        said.append("; " if number else "")
        said.append(remedy.what, "bold" if verbose else None)
        said.append(f" ({remedy.why})" if verbose and remedy.why else "")
    return said


def _write_headroom(pen: _Pen, levels: tuple[Level, ...], verbose: bool) -> None:
    if not levels:
        return
    pen.blank()
    label = "Headroom "
    for level in levels:
        filled = round(min(level.share, 1.0) * _GAUGE)
        gauge = pen.glyphs.full * filled + pen.glyphs.empty * (_GAUGE - filled)
        style = "red" if level.share >= 0.9 else "yellow" if level.share >= 0.5 else "green"
        first = pen.text(label, _SOFT, gauge, style, f" {level.percent:>5}  ", "")
        pen.hang(first, pen.text(level.words, "", f"  ({level.source})" if verbose and level.source else "", _SOFT))
        label = " " * len(label)


def _hides(told: Page, shown: int) -> bool:
    """Whether the brief form leaves anything out."""
    return len(told.headroom) > shown or any(
        len(remark.advice) > 1 or len(remark.evidence) > shown or remark.useless or not remark.problem
        for remark in told.remarks
    )


# -- drawing


class _Pen:
    """Writes wrapped lines into a buffer, and the buffer to the file at the end, in one go."""

    def __init__(self, file: IO[str], width: int, color: bool) -> None:
        from rich.console import Console

        self.file = file
        self.width = max(width, _NARROWEST)
        self.glyphs = glyphs_for(file)
        self._buffer = io.StringIO()
        self._console = Console(
            file=self._buffer,
            width=self.width,
            force_terminal=color,
            no_color=not color,
            color_system="standard" if color else None,
            legacy_windows=False,
        )

    def text(self, *parts: str) -> Text:
        """Text from pairs of words and style; Rich reads no markup in it."""
        from rich.text import Text

        made = Text()
        for words, style in zip(parts[::2], (*parts[1::2], ""), strict=False):
            made.append(words, style or None)
        return made

    def line(self, text: Text, indent: int = 0) -> None:
        """A paragraph, all its lines indented."""
        self.hang(self.text(" " * indent), text)

    def write(self, label: str, words: Text) -> None:
        """A labelled paragraph: `  Effect each ends within ...`."""
        self.hang(self.text(f"  {label:<{_LABEL - 2}}", _SOFT), words)

    def facts(self, label: str, facts: tuple[Fact, ...], indent: int, whole: bool = True) -> None:
        """Facts and their values in two columns from `indent` on; `label` to the left.

        The source follows the value; unless `whole` it is left out where it would take another line.
        """
        from rich.cells import cell_len

        column = min(max((cell_len(fact.label) for fact in facts), default=0), (self.width - indent) // 2)
        left = indent + column + 2
        for fact in facts:
            padding = " " * (max(column - cell_len(fact.label), 0) + 2)
            first = self.text(label.ljust(indent), _SOFT, fact.label + padding, "")
            value = self.text(fact.value)
            source = f"  ({fact.source})" if fact.source else ""
            if whole or left + value.cell_len + cell_len(source) <= self.width:
                value.append(source, _SOFT)
            self.hang(first, value, left)
            label = ""

    def hang(self, first: Text, body: Text, indent: int | None = None) -> None:
        """`first`, then `body` wrapped to the right of it."""
        indent = first.cell_len if indent is None else indent
        if first.cell_len > indent:
            first.rstrip()
            self._console.print(first, overflow="fold")
            first = self.text(" " * indent)
        for number, part in enumerate(body.wrap(self._console, self.width - indent)):
            part.rstrip()
            lead = first if number == 0 else self.text(" " * indent)
            self._console.print(lead + part, soft_wrap=True)

    def blank(self) -> None:
        """An empty line."""
        self._console.print()

    def finish(self) -> None:
        """Write all of it to the file."""
        self.file.write(holdable(self._buffer.getvalue(), self.file))
