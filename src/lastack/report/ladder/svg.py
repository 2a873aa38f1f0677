"""The ladder as one SVG that loads nothing, and as an HTML page around it. Follows the reader's light or dark."""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from lastack.model.state import State
from lastack.report.escape import visible
from lastack.wire.flags import FIN, RST, SYN

from .rungs import Rung, clock, label, rungs

if TYPE_CHECKING:
    from lastack.model.history import History
    from lastack.model.time import Nanos

_WIDTH, _TOP, _ROW, _REMARK, _SLOPE = 920, 64, 30, 15, 8
_LANES: Final = (250, 670)
_BAR: Final = 7
_ROOM: Final = 54
"""Characters of a label that fit between the lanes."""

_STYLE: Final = """
svg.ladder { --paper: #fff; --ink: #1b1f24; --soft: #57606a; --grey: #c3c9d0; --open: #1a6b3c; --close: #a06600;
  --shut: #d08a00; --wait: #3b7a94; --bad: #b3261e; background: var(--paper); font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg.ladder { --paper: #14171b; --ink: #e4e7eb; --soft: #a0a9b4; --grey: #48515b;
  --open: #74d39c; --close: #f0b849; --shut: #f0b849; --wait: #6fc7dc; --bad: #ff8b82; } }
.ladder text { fill: var(--ink); font-variant-numeric: tabular-nums; } .ladder .soft { fill: var(--soft); }
.ladder .label { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; text-anchor: middle; }
.ladder .mid { text-anchor: middle; } .ladder .end { text-anchor: end; } .ladder .name { font-weight: 600; }
.ladder line { stroke: var(--ink); stroke-width: 1.2; } .ladder .tip { fill: var(--ink); }
.ladder .bad { stroke: var(--bad); } .ladder text.bad, .ladder .tip.bad { fill: var(--bad); stroke: none; }
.ladder .lost { stroke-dasharray: 5 4; } .ladder .gap { stroke: var(--grey); stroke-dasharray: 2 4; }
.ladder .remark { fill: var(--close); font-size: 12px; }
.ladder .opening { fill: var(--grey); } .ladder .open { fill: var(--open); } .ladder .closing { fill: var(--shut); }
.ladder .waiting { fill: var(--wait); } .ladder .state { font-weight: 600; font-size: 12px; }
"""

_NEVER_ARRIVES: Final = ("lost", "damaged")
_KINDS: Final = {
    **dict.fromkeys((State.SYN_SENT, State.SYN_RECEIVED, State.LISTEN), "opening"),
    State.ESTABLISHED: "open",
    State.TIME_WAIT: "waiting",
    **dict.fromkeys((State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.CLOSE_WAIT, State.LAST_ACK), "closing"),
}
_KIND: Final = {state.name: kind for state, kind in _KINDS.items()}


def render_svg(history: History, *, most: int | None = None, around: str | Nanos | None = None) -> str:
    """The ladder as an SVG document of its own. `most` and `around` as in rungs()."""
    drawn = _Drawing(history, rungs(history, most, around))
    return drawn.document()


def render_html(history: History, *, most: int | None = None, around: str | Nanos | None = None) -> str:
    """A complete HTML page with the ladder and what is not seen of the connection."""
    title = _safe(f"{history.local} and {history.remote}")
    unseen = "".join(f"<p>Not seen: {_safe(missing)}</p>" for missing in history.unseen)
    page = "body{margin:1.5rem auto;max-width:60rem;font:1rem/1.5 system-ui,sans-serif;color-scheme:light dark}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} - lastack</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{page} svg{{max-width:100%;height:auto}}</style></head><body>"
        f"{render_svg(history, most=most, around=around)}{unseen}</body></html>\n"
    )


def _safe(text: str) -> str:
    return escape(visible(text))


class _Drawing:
    """Places the rungs from top to bottom, and the states as bars along the lanes."""

    def __init__(self, history: History, rows: list[Rung]) -> None:
        self._history = history
        self._parts: list[str] = []
        self._y = _TOP
        self._since: list[tuple[str, int] | None] = [None, None]
        for rung in rows:
            self._rung(rung)
        for side in (0, 1):
            self._end_state(side)

    def document(self) -> str:
        """The whole SVG."""
        height = self._y + 24
        names = "".join(
            f'<text class="name {"end" if side == 0 else ""}" x="{x + (-14, 14)[side]}" y="24">{_safe(name)}</text>'
            f'<text class="soft {"end" if side == 0 else ""}" x="{x + (-14, 14)[side]}" y="42">{_safe(end)}</text>'
            for side, (x, name, end) in enumerate(
                zip(_LANES, self._history.hosts, (self._history.local, self._history.remote), strict=True)
            )
        )
        return (
            f'<svg class="ladder" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" role="img"><title>{_safe(self._history.local)} and '
            f"{_safe(self._history.remote)}</title><style>{_STYLE}</style>{names}{''.join(self._parts)}</svg>"
        )

    def _rung(self, rung: Rung) -> None:
        middle = sum(_LANES) // 2
        if rung.at is None:
            self._states(rung)
            for x, state in zip(_LANES, rung.states, strict=True):
                if state == State.CLOSED.name:
                    continue
                self._parts.append(f'<line class="gap" x1="{x}" x2="{x}" y1="{self._y}" y2="{self._y + _ROW}"/>')
            self._text(middle, self._y + 19, rung.remarks[0], "soft mid")
            self._y += _ROW
            return
        self._text(_LANES[0] - 130, self._y + 14, clock(rung.at), "soft end")
        self._states(rung)
        if rung.segment is None:
            self._text(middle, self._y + 14, f"({rung.remarks[0]})", "soft mid")
            self._y += _ROW
            return
        self._arrow(rung)
        self._y += _ROW
        for line in (line for remark in rung.remarks for line in wrap(visible(remark), _ROOM + 4)):
            self._text(middle, self._y + 7, line, "remark mid")
            self._y += _REMARK

    def _arrow(self, rung: Rung) -> None:
        assert rung.segment is not None
        near, far = _LANES if rung.outward else _LANES[::-1]
        way = 1 if rung.outward else -1
        start, tip = near + way * _BAR, far - way * _BAR
        y, end = self._y + 12, self._y + 12 + _SLOPE
        tone = "bad" if rung.segment.flags & RST else ""
        lost = "lost" if rung.segment.fate.startswith(_NEVER_ARRIVES) else ""
        weight = ' style="stroke-width:2"' if rung.segment.flags & (SYN | FIN | RST) else ""
        self._parts.append(
            f'<line class="{tone} {lost}"{weight} x1="{start}" y1="{y}" x2="{tip - way * 6}" y2="{end}"/>'
            f'<path class="tip {tone}" d="M{tip} {end} l{-way * 9} -5 v9 z"/>'
        )
        self._text(sum(_LANES) // 2, y - 1, label(rung.segment, _ROOM), f"label {tone}")

    def _states(self, rung: Rung) -> None:
        """Begin the bars of the states that were entered; those before end here."""
        for side in (0, 1):
            state = rung.states[side]
            if rung.entered[side] or (self._since[side] is None and state):
                self._end_state(side)
                self._since[side] = (state, self._y + 12)
                if rung.entered[side]:
                    x = _LANES[side] + (-14, 14)[side]
                    self._text(x, self._y + 16, state, f"state {'end' if side == 0 else ''}")

    def _end_state(self, side: int) -> None:
        since = self._since[side]
        if since is not None and since[0] in _KIND:
            x, height = _LANES[side] - _BAR // 2, max(self._y + 12 - since[1], 4)
            self._parts.insert(
                0,
                f'<rect class="{_KIND[since[0]]}" x="{x}" y="{since[1]}" width="{_BAR}" height="{height}" rx="2"/>',
            )

    def _text(self, x: int, y: int, words: str, kind: str) -> None:
        self._parts.append(f'<text class="{kind}" x="{x}" y="{y}">{_safe(words)}</text>')
