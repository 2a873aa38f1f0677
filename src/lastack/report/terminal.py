"""The report and a single socket as text: wrapped to a width, readable without colour and when piped."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from lastack.model.finding import Severity

from .pen import LABEL, SOFT, Pen
from .socket_view import socket_page
from .view import counted, page

if TYPE_CHECKING:
    from rich.text import Text

    from lastack.model.finding import Advice
    from lastack.model.host import Doing
    from lastack.model.record import ConnectionTable
    from lastack.model.report import Report
    from lastack.model.time import Nanos

    from .glyphs import Glyphs
    from .socket_view import Info
    from .view import Bars, Level, Page, Remark, Remedy

_STYLES: Final = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold cyan"}
_HEALTHY: Final = "bold green"

_ONE_SCREEN: Final = 3
"""In brief, so many facts a problem and so many limits are shown; twice as many where there is room for them."""

_NAMED: Final = 4
"""In brief, so many problems are named in the verdict."""

_GAUGE: Final = 10


def render(report: Report, file: IO[str], *, width: int = 80, color: bool = False, verbose: bool = False) -> None:
    """Write the report to `file`, wrapped to `width` cells, with ANSI colours if `color`.

    In brief, for one screen: of each problem the first evidence and the first piece of advice in full, of a note the
    summary. `verbose` shows everything. Signs that the file's encoding lacks are replaced.
    """
    told = page(report)
    pen = Pen(file, width, color)
    shown = None if verbose else _ONE_SCREEN if len(told.problems) > 1 else 2 * _ONE_SCREEN
    _write_verdict(pen, told, verbose)
    advised: dict[object, Remark] = {}
    for remark in told.remarks:
        first = advised.setdefault((remark.advice, remark.useless), remark)
        _write_remark(pen, remark, shown, "" if verbose or first is remark else first.placed)
    _write_headroom(pen, told.headroom[:shown], verbose)
    for line in told.unseen:
        pen.hang(pen.text("Not seen ", SOFT), pen.text(line))
    if shown and _hides(told, shown):
        pen.line(pen.text("All evidence, advice and reasons: --verbose", SOFT))
    pen.finish()


def render_remark(remark: Remark, file: IO[str], *, width: int = 80, color: bool = False) -> None:
    """Write one finding in full to `file`, wrapped to `width` cells."""
    pen = Pen(file, width, color)
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
    pen = Pen(file, width, color)
    pen.line(pen.text(told.title, "bold"))
    pen.line(pen.text(told.state, "bold", f" waits for {told.waits_for}", ""))
    for title, facts in told.groups:
        pen.blank()
        pen.line(pen.text(title, "bold"))
        pen.facts("", facts, 2)
    pen.finish()


# -- the parts of a report


def _write_verdict(pen: Pen, told: Page, verbose: bool) -> None:
    style = _HEALTHY if told.healthy or told.severity is None else _STYLES[told.severity]
    verdict = pen.text(told.verdict, style)
    if told.problems:
        named = told.problems if verbose else told.problems[:_NAMED]
        more = len(told.problems) - len(named)
        verdict.append(": " + "; ".join((*named, *([f"{more:,} more"] if more else ()))))
    pen.line(verdict)
    if verbose:
        pen.line(pen.text(told.source, SOFT))
    states = ", ".join(f"{count:,} {name}" for name, count in told.states if count)
    if states:
        pen.line(pen.text(f"{counted(told.total, 'connection')}: {states}", SOFT))


def _write_remark(pen: Pen, remark: Remark, shown: int | None, like: str = "") -> None:
    """A finding with `shown` of its facts; None: with everything. `like`: the one above that has the same advice."""
    verbose = shown is None
    pen.blank()
    head = pen.text(f"{str(remark.severity).upper():<{LABEL}}", _STYLES[remark.severity])
    where = f" in network namespace {remark.netns}" if remark.netns else ""
    pen.hang(head, pen.text(f"{remark.summary}{where}  ", "bold", f"({remark.rule})", SOFT))
    if not (verbose or remark.problem):
        return
    if remark.whose:
        pen.write("Whose", pen.text(remark.whose))
    if remark.ages is not None and remark.ages.words:
        pen.write("Since", pen.text(_since(pen.glyphs, remark.ages)))
    pen.facts("  Facts", remark.evidence[:shown], LABEL, whole=verbose)
    if like and remark.advice:
        pen.write("Do", pen.text(f"As for {like}"))
        return
    for number, advice in enumerate(remark.advice):
        _write_advice(pen, "Or" if number else "Do", advice, verbose or not number)
    if remark.useless:
        pen.hang(pen.text("  "), _useless(pen, remark.useless, verbose))


def _since(glyphs: Glyphs, ages: Bars) -> str:
    highest = len(glyphs.heights) - 1
    row = "".join(glyphs.heights[round(bar.share * highest)] if bar.count else glyphs.nothing for bar in ages.bars)
    return f"{row}  {ages.title}: {ages.words}"


def _write_advice(pen: Pen, label: str, advice: Advice, in_full: bool) -> None:
    pen.write(label, pen.text(advice.do, "bold" if in_full else ""))
    if in_full:
        risk = ". Risk: " if advice.effect else "Risk: "
        pen.write("Effect", pen.text(advice.effect, "", *((risk, SOFT, advice.risk, "") if advice.risk else ())))


def _useless(pen: Pen, remedies: tuple[Remedy, ...], verbose: bool) -> Text:
    said = pen.text("Not helpful: ", SOFT)
    for number, remedy in enumerate(remedies):
        said.append("; " if number else "")
        said.append(remedy.what, "bold" if verbose else None)
        said.append(f" ({remedy.why})" if verbose and remedy.why else "")
    return said


def _write_headroom(pen: Pen, levels: tuple[Level, ...], verbose: bool) -> None:
    if not levels:
        return
    pen.blank()
    label = "Headroom "
    for level in levels:
        filled = round(min(level.share, 1.0) * _GAUGE)
        gauge = pen.glyphs.full * filled + pen.glyphs.empty * (_GAUGE - filled)
        style = "red" if level.share >= 0.9 else "yellow" if level.share >= 0.5 else "green"
        first = pen.text(label, SOFT, gauge, style, f" {level.percent:>5}  ", "")
        pen.hang(first, pen.text(level.words, "", f"  ({level.source})" if verbose and level.source else "", SOFT))
        label = " " * len(label)


def _hides(told: Page, shown: int) -> bool:
    """Whether the brief form leaves anything out."""
    return len(told.headroom) > shown or any(
        len(remark.advice) > 1 or len(remark.evidence) > shown or remark.useless or not remark.problem
        for remark in told.remarks
    )
