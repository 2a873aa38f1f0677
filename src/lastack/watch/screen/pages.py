"""What lies on top of the view: the help, a finding in full, one connection's life."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from lastack.live.transitions.record import none
from lastack.report.escape import visible
from lastack.report.socket_view import WAITS_FOR
from lastack.watch.looker import Followed

from .life import life

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lastack.watch.looker import Seen

    from .memory import Told

_KEYS = (
    ("1 2 3 4", "processes, listeners, peers, connections"),
    ("arrows, page keys", "move in the list"),
    ("enter", "look into the line: connections of a process, listener or peer; the life of a connection; a finding"),
    ("esc", "back"),
    ("f, tab", "between findings and list"),
    ("s", "sort by the next criterion: now, births, deaths, oldest, name"),
    ("/", "show and judge only these, in the language of ss: state close-wait and sport = :443"),
    ("p", "hold the picture still; looking goes on"),
    ("? or h", "this page"),
    ("q", "quit"),
)


class Page(Screen[None]):
    """Text to scroll in, over the whole screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Back"),
        Binding("question_mark,h", "dismiss", "Back"),
    ]

    def __init__(self, lines: Sequence[Text] = ()) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        """The text, and the keys."""
        with VerticalScroll(id="text"):
            yield Static(Text("\n").join(self._lines), id="lines")
        yield Static(Text("esc back  arrows scroll", "dim"), id="under")

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one("#text").focus()

    def write(self, lines: Sequence[Text]) -> None:
        """Show this instead."""
        self._lines = lines
        for shown in self.query("#lines").results(Static):  # none before it is mounted
            shown.update(Text("\n").join(lines))


class HelpPage(Page):
    """The keys, the states, and by which means things are seen."""

    def __init__(self, seen: Seen | None) -> None:
        lines = [Text("Keys", "bold"), *(Text.assemble((f"  {key:<19}", "bold"), what) for key, what in _KEYS)]
        if seen is not None:
            exact = "every change is told" if seen.exact else "dumps are compared: what is short is not seen"
            lines += [Text(), Text("How it is seen", "bold"), Text(f"  changes of state by {seen.source}: {exact}")]
            lines += [Text(f"  {visible(reason)}") for reason in seen.reasons]
            lines += [
                Text(f"  {seen.lost:,} changes lost, {seen.lives:,} lives followed, {seen.forgotten:,} forgotten")
            ]
            lines += [Text(f"  not seen: {visible(line)}") for line in seen.report.unseen]
        lines += [Text(), Text("What each state waits for", "bold")]
        lines += [Text.assemble((f"  {name:<13}", "bold"), what) for name, what in WAITS_FOR.items()]
        super().__init__(lines)


class FindingPage(Page):
    """A finding with all its evidence and advice."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self._told = told

    def on_mount(self) -> None:
        """Write it for the width that there is."""
        from lastack.report.terminal import render_remark

        super().on_mount()
        page = io.StringIO()
        render_remark(self._told.remark, page, width=self.app.size.width - 2)
        self.write([Text(line) for line in page.getvalue().splitlines()])


class LifePage(Page):
    """One connection, for as long as it is looked at."""

    def __init__(self, seen: Seen, cookie: int) -> None:
        """`seen`: the look that shows it; a look of its own may take seconds to come."""
        rows = (table.select(table.values("cookie") == cookie) for table, _ in seen.look)
        row = next(filter(len, rows), None)
        super().__init__(life(Followed(cookie, row, None, None, none(), seen.at), seen.at))

    def tell(self, seen: Seen) -> None:
        """Show what the last look told of it, unless it began before the connection was followed."""
        if seen.followed is not None:
            self.write(life(seen.followed, seen.at))
