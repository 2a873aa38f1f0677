"""A list of lines with a cursor that stays on what it is on while the lines around it change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.style import Style
from textual.strip import Strip
from textual.widgets import OptionList
from textual.widgets.option_list import Option

if TYPE_CHECKING:
    from textual.events import Key

    from .parts import Line


_MOVES: Final = ("up", "down", "pageup", "pagedown", "home", "end")


class Lines(OptionList):
    """Shows lines that are given anew again and again; none may be longer than the list is wide.

    Until somebody moves it the cursor is at the top, whatever is there.
    """

    def __init__(self, id: str) -> None:
        super().__init__(id=id, markup=False, compact=True)
        self._keys: list[str] = []
        self._moved = False

    @property
    def key(self) -> str:
        """What the line with the cursor stands for."""
        return self._keys[self.highlighted] if self.highlighted is not None else ""

    def forget(self) -> None:
        """What is shown next is another list: the cursor begins at its top."""
        self._keys, self._moved = [], False
        self.highlighted = None
        self.scroll_to(y=0, animate=False)

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines from now on."""
        key, place, offset = self.key, self.highlighted, self.scroll_offset.y
        self._keys = [line.key for line in lines]
        self.clear_options()
        self.add_options([Option(line.text) for line in lines])
        if not lines:
            return
        same = self._keys.index(key) if key in self._keys else min(place or 0, len(lines) - 1)
        self.highlighted = same if self._moved else 0
        self.scroll_to(y=offset, animate=False)
        self.scroll_to_highlight()

    def on_key(self, event: Key) -> None:
        """Whichever key moves it, the cursor now is where somebody wants it."""
        self._moved |= event.key in _MOVES

    def render_line(self, y: int) -> Strip:
        """A line; that with the cursor in reverse, which every terminal can, with colours or without."""
        strip = super().render_line(y)
        at_cursor = self.has_focus and self.highlighted == self.scroll_offset.y + y
        return strip.apply_style(Style(reverse=True)) if at_cursor else strip
