"""The ladder as text: for a terminal of 80 columns, with colour where that is wanted."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Final

from lastack.model.state import State
from lastack.report.escape import visible
from lastack.report.glyphs import holdable
from lastack.wire.flags import FIN, RST, SYN

from .rungs import SAMPLED, Rung, clock, label, rungs

if TYPE_CHECKING:
    from rich.text import Text

    from lastack.model.history import History
    from lastack.model.time import Nanos

_TIME: Final = 11
_STATE: Final = 12
_NARROWEST: Final = 64
_CLOSING: Final = frozenset({"FIN_WAIT_1", "FIN_WAIT_2", "CLOSING", "TIME_WAIT", "CLOSE_WAIT", "LAST_ACK"})
_UNICODE: Final = ("─", "▶", "◀", "│", "⋮")
_ASCII: Final = ("-", ">", "<", "|", ":")


def render(
    history: History,
    file: IO[str],
    *,
    width: int = 80,
    color: bool = False,
    most: int | None = None,
    around: str | Nanos | None = None,
) -> None:
    """Write the ladder to `file`, `width` cells wide, with ANSI colours if `color`; `most`, `around` as in rungs()."""
    pen = _Pen(file, max(width, _NARROWEST), color)
    pen.heading(history)
    for rung in rungs(history, most, around):
        pen.rung(rung)
    for missing in history.unseen:
        pen.line((f"Not seen: {visible(missing)}", "dim"))
    if history.sampled:
        pen.line((f"{SAMPLED}: {visible(history.sampled)}.", "dim"))
    file.write(holdable(pen.written(), file))


class _Pen:
    """Puts lines together, each from pieces of text and their styles."""

    def __init__(self, file: IO[str], width: int, color: bool) -> None:
        from rich.console import Console

        self._buffer = io.StringIO()
        self._room = width - _TIME - 2 * _STATE - 3
        self._console = Console(
            file=self._buffer,
            width=width,
            force_terminal=color,
            no_color=not color,
            color_system="standard" if color else None,
            legacy_windows=False,
        )
        try:
            "".join(_UNICODE).encode(getattr(file, "encoding", None) or "utf-8")
            self._signs = _UNICODE
        except (UnicodeEncodeError, LookupError):
            self._signs = _ASCII

    def written(self) -> str:
        """All lines so far."""
        return self._buffer.getvalue()

    def line(self, *pieces: tuple[str, str]) -> None:
        """One line."""
        text = self._text(pieces)
        text.rstrip()
        self._console.print(text, soft_wrap=True)

    def heading(self, history: History) -> None:
        """Who the lanes are."""
        for name, end, where in zip(history.hosts, (history.local, history.remote), ("left", "right"), strict=True):
            self.line((f"{where:>{_TIME}} ", "dim"), (visible(name), "bold"), (f"  {visible(end)}", ""))

    def rung(self, rung: Rung) -> None:
        """A segment, a change or an omission, with what is to be said of it below."""
        if rung.at is None:
            for part in self._wrapped(rung.remarks[0]):
                self._lanes("", self._bars(rung, self._signs[4]), ("dim", "dim"), (part.center(self._room), "dim"))
            return
        bars = self._bars(rung, self._signs[3])
        shown = [state if new else bar for state, new, bar in zip(rung.states, rung.entered, bars, strict=True)]
        styles = [_style(state) if new else "dim" for state, new in zip(rung.states, rung.entered, strict=True)]
        at, pair, style = clock(rung.at), (shown[0], shown[1]), (styles[0], styles[1])
        if rung.segment is None:
            self._lanes(at, pair, style, (f"({rung.remarks[0]})".center(self._room)[: self._room], "dim"))
            return
        self._lanes(at, pair, style, (self._arrow(rung), _weight(rung.segment.flags)))
        for remark in rung.remarks:
            for part in self._wrapped(visible(remark)):
                self._lanes("", bars, ("dim", "dim"), (part.center(self._room), "yellow"))

    @staticmethod
    def _bars(rung: Rung, sign: str) -> tuple[str, str]:
        """What shows that a side lives on: nothing where it has ended."""
        left, right = (" " if state == State.CLOSED.name else sign for state in rung.states)
        return left, right

    def _lanes(self, at: str, states: tuple[str, str], styles: tuple[str, str], middle: tuple[str, str]) -> None:
        left = (f"{states[0]:>{_STATE}} ", styles[0])
        self.line((f"{at:>{_TIME}} ", "dim"), left, middle, (f" {states[1]}", styles[1]))

    def _arrow(self, rung: Rung) -> str:
        """`──SYN 0──▶`, as wide as there is room."""
        assert rung.segment is not None
        dash, right, left = self._signs[:3]
        text = label(rung.segment, self._room - 4)
        return (
            f"{dash}{text}".ljust(self._room - 1, dash) + right
            if rung.outward
            else left + f"{text}{dash}".rjust(self._room - 1, dash)
        )

    def _wrapped(self, remark: str) -> list[str]:
        from textwrap import wrap

        return wrap(remark, self._room)

    def _text(self, pieces: tuple[tuple[str, str], ...]) -> Text:
        from rich.text import Text

        made = Text()
        for words, style in pieces:
            made.append(words, style or None)
        return made


def _style(state: str) -> str:
    return "bold yellow" if state in _CLOSING else "bold red" if state == "CLOSED" else "bold green"


def _weight(flags: int) -> str:
    return "bold red" if flags & RST else "bold" if flags & (SYN | FIN) else ""
