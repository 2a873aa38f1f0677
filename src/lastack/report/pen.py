"""Wrapped and labelled lines of text, for the reports that a terminal shows."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Final

from .breaks import breaks
from .glyphs import glyphs_for, holdable

if TYPE_CHECKING:
    from rich.text import Text

    from .view import Fact

SOFT: Final = "dim"
LABEL: Final = 9
"""Cells of the left column (`Effect`, `Since`, ...), its indent of two included."""

_NARROWEST: Final = 30


class Pen:
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
        self.hang(self.text(f"  {label:<{LABEL - 2}}", SOFT), words)

    def facts(self, label: str, facts: tuple[Fact, ...], indent: int, whole: bool = True) -> None:
        """Facts and their values in two columns from `indent` on; `label` to the left.

        The source follows the value; unless `whole` it is left out where it would take another line.
        """
        from rich.cells import cell_len

        column = min(max((cell_len(fact.label) for fact in facts), default=0), (self.width - indent) // 2)
        left = indent + column + 2
        for fact in facts:
            padding = " " * (max(column - cell_len(fact.label), 0) + 2)
            first = self.text(label.ljust(indent), SOFT, fact.label + padding, "")
            value = self.text(fact.value)
            source = f"  ({fact.source})" if fact.source else ""
            if whole or left + value.cell_len + cell_len(source) <= self.width:
                value.append(source, SOFT)
            self.hang(first, value, left)
            label = ""

    def hang(self, first: Text, body: Text, indent: int | None = None) -> None:
        """`first`, then `body` wrapped to the right of it."""
        indent = first.cell_len if indent is None else indent
        if first.cell_len > indent:
            first.rstrip()
            self._console.print(first, overflow="fold")
            first = self.text(" " * indent)
        body.expand_tabs(8)
        lines = (
            part
            for line in body.split(allow_blank=True)
            for part in line.divide(breaks(line.plain, self.width - indent))
        )
        for number, part in enumerate(lines):
            part.rstrip()
            lead = first if number == 0 else self.text(" " * indent)
            self._console.print(lead + part, soft_wrap=True)

    def blank(self) -> None:
        """An empty line."""
        self._console.print()

    def finish(self) -> None:
        """Write all of it to the file."""
        self.file.write(holdable(self._buffer.getvalue(), self.file))
