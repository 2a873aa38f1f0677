"""The full-screen view as an application: keys, lists, and pages on top of them."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, OptionList, Static

from lastack.errors import FilterError, KernelError, LastackError
from lastack.model.filters import parse
from lastack.report.escape import visible
from lastack.report.glyphs import glyphs_for
from lastack.watch.looker import Looker
from lastack.watch.stop import Stop

from . import parts
from .lines import Lines
from .memory import Memory
from .pages import FindingPage, HelpPage, LifePage
from .terminal import Terminal

if TYPE_CHECKING:
    from lastack.model.time import Nanos
    from lastack.watch.looker import Asked, Seen

VIEWS: Final = ("process", "listener", "peer", "connection")
_TITLES: Final = ("processes", "listeners", "peers", "connections")
_KEYS: Final = "? help  q quit  1-4 lists  s sort  / filter  enter look into  p pause"
_OF_THE_VIEW: Final = frozenset({"view", "sort", "filter", "findings", "out", "help"})
_SMALL: Final = 30
"""Lines of a terminal, below which states and findings are kept short."""


class Watch(App[str]):
    """The view. It ends with a sentence where watching could not go on, or with None."""

    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "Quit"),
        Binding("question_mark,h", "help", "Help"),
        *(Binding(str(number), f"view({number - 1})", title) for number, title in enumerate(_TITLES, 1)),
        Binding("s", "sort", "Sort"),
        Binding("slash", "filter", "Filter"),
        Binding("p", "pause", "Pause"),
        Binding("f", "findings", "Findings"),
        Binding("escape", "out", "Back"),
    ]

    def __init__(self, looker: Looker, stop: Stop, lasting: Nanos | None = None) -> None:
        super().__init__(driver_class=Terminal, ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colours, which its owner has chosen for its background
        self.looker = looker
        self.memory = Memory()
        self.seen: Seen | None = None
        self.stop = stop
        self.done = Event()  # set while nobody looks
        self.done.set()
        self._lasting = lasting
        self._glyphs = glyphs_for(sys.stdout)
        self._view = 0
        self._sort = 0
        self._within: tuple[str, str] | None = None
        self._paused = False
        self._complaint = ""

    # -- life of the application

    def compose(self) -> ComposeResult:
        """What the screen is made of, from top to bottom."""
        yield Static(id="head")
        yield Static(id="states")
        yield Lines(id="findings")
        yield Static(id="views")
        yield Static(id="heading")
        yield Lines(id="list")
        yield Input(id="filter", compact=True)
        yield Static(id="under")

    def on_mount(self) -> None:
        """Begin to look, and end in order when a signal comes or the terminal goes."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit)
        self.query_one("#list").focus()
        self.query_one("#head", Static).update("lastack watch: looking ...")
        self.done.clear()
        self.look()

    def on_unmount(self) -> None:
        """Have the looking end."""
        self.stop.set()

    @work(thread=True)
    def look(self) -> None:
        """Look again and again, in a thread of its own."""
        end = None if self._lasting is None else time.monotonic_ns() + self._lasting
        complaint = None
        try:
            for seen in self.looker.looks(self.stop, end):
                self._from_thread(self.take, seen)
        except LastackError as error:
            complaint = str(error)
        finally:
            self.done.set()
        self._from_thread(self.exit, complaint)

    def _from_thread(self, do: Callable[..., object], *given: object) -> None:
        if self.stop.is_set():
            return
        try:
            self.call_from_thread(do, *given)
        except RuntimeError:
            if self.is_running:  # otherwise it has just ended, and nobody looks any more
                raise

    def take(self, seen: Seen) -> None:
        """Show a look, unless the view is paused; then it is only remembered."""
        self.memory.add(seen)
        if not self._paused or self.seen is None:
            self.seen = seen
            self.draw()
            if isinstance(self.screen, LifePage):
                self.screen.tell(seen)

    # -- drawing

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.draw()

    def draw(self) -> None:
        """Everything anew, from the last look."""
        seen, width = self.seen, self.size.width
        if seen is None:
            return
        height = self.size.height
        small = height < _SMALL
        where = "" if self.looker.asked.where is None else str(self.looker.asked.where)
        self._show("#head", parts.head(seen, width, self._paused, where))
        lines = parts.states(
            self.memory, seen.flow, width, self._glyphs, height // 4 if small else len(parts.LIFE_ORDER)
        )
        self._show("#states", Text("\n").join(lines))
        found = parts.findings(self.memory, seen.at, width - 1)
        room = height // 6 if small else 12
        told = self.screen_stack[0].query_one("#findings", Lines)
        told.styles.max_height = room
        told.show(found or [parts.Line("", Text.assemble(("Nothing wrong", "bold green")))])
        self._show("#views", self._views(width))
        shown = self._list(seen, width)
        self._show("#heading", Text(shown.heading, "bold underline"))
        self.screen_stack[0].query_one("#list", Lines).show(shown.lines)
        more = f"  {shown.left_out:,} more are not listed: choose some with /" if shown.left_out else ""
        self._show("#under", Text(self._complaint, "bold") if self._complaint else Text(_KEYS + more, "dim"))

    def _show(self, which: str, text: Text) -> None:
        self.screen_stack[0].query_one(which, Static).update(text)

    def _views(self, width: int) -> Text:
        line = Text()
        for number, title in enumerate(_TITLES):
            line.append(f"{number + 1} {title}", "reverse" if number == self._view else "")
            line.append("  ")
        if self._view < 3:
            line.append(f"by {tuple(parts.SORTS)[self._sort]}", "dim")
        elif self._within is not None:
            line.append(f"of {visible(self._within[1]) or '(none)'}  esc for all", "dim")
        line.truncate(width, overflow="ellipsis")
        return line

    def _list(self, seen: Seen, width: int) -> parts.Shown:
        # One cell is the scroll bar's.
        if self._view < 3:
            return parts.groups(seen, VIEWS[self._view], tuple(parts.SORTS)[self._sort], width - 1)
        kind, name = self._within or (None, "")
        return parts.connections(seen, kind, name, width - 1)

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What moves the view does nothing while a page lies on top of it."""
        del parameters
        return len(self.screen_stack) == 1 or action not in _OF_THE_VIEW

    def action_view(self, number: int) -> None:
        """Show another list."""
        self._go(number, None)

    def _go(self, view: int, within: tuple[str, str] | None) -> None:
        self._view, self._within = view, within
        self.query_one("#list", Lines).forget()
        self.draw()

    def action_sort(self) -> None:
        """Sort by the next criterion."""
        self._sort = (self._sort + 1) % len(parts.SORTS)
        self.draw()

    def action_pause(self) -> None:
        """Hold the picture still, or go on."""
        self._paused = not self._paused
        self.draw()

    def action_findings(self) -> None:
        """Go to the findings, or back to the list."""
        there = self.query_one("#list" if self.query_one("#findings").has_focus else "#findings")
        there.focus()

    def action_out(self) -> None:
        """Out of the filter, or out of what was looked into."""
        if self.query_one("#filter").has_focus:
            self._close_filter()
        elif self._within is not None:
            self._go(VIEWS.index(self._within[0]), None)

    def action_help(self) -> None:
        """Show the keys, and what is seen by which means."""
        self.push_screen(HelpPage(self.seen))

    def action_filter(self) -> None:
        """Ask for a filter."""
        field = self.query_one("#filter", Input)
        field.value = "" if self.looker.asked.where is None else str(self.looker.asked.where)
        field.placeholder = "state close-wait and age > 5min; empty: everything"
        field.add_class("open")
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the filter, or say what is wrong with it and let it be mended."""
        try:
            where = parse(event.value)
        except FilterError as error:
            self._complaint = visible(str(error).partition("\n")[0])
            self.draw()
            return
        self.looker.asked = replace(self.looker.asked, where=None if where.condition is None else where)
        self._close_filter()

    def _close_filter(self) -> None:
        self._complaint = ""
        self.query_one("#filter").remove_class("open")
        self.query_one("#list").focus()
        self.draw()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Look into what the line stands for."""
        if not isinstance(event.option_list, Lines) or self.seen is None:
            return
        key = event.option_list.key
        if event.option_list.id == "findings":
            told = self.memory.findings.get(key)
            if told is not None:
                self.push_screen(FindingPage(told))
        elif self._view == 3:
            self.looker.follow(int(key))
            self.push_screen(LifePage(self.seen, int(key)), lambda _: self.looker.follow(0))
        else:
            self._go(3, (VIEWS[self._view], key))


def run(asked: Asked, lasting: Nanos | None = None) -> None:
    """Show the view until it is quit, or for so many ns.

    Raises KernelError where watching cannot be begun or gone on with.
    """
    with Looker(asked) as looker, Stop() as stop:
        app = Watch(looker, stop, lasting)
        ended = app.run()
        stop.set()
        app.done.wait()
    if ended is not None:
        raise KernelError(ended)
