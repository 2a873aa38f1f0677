"""The full-screen view, driven by keys: what it shows at each size, in colour or not, and of hostile names."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import SECOND
from lastack.watch.looker import Seen
from lastack.watch.screen.app import Watch
from lastack.watch.stop import Stop

from .looks import EVIL, NOON, Looks, connections, facts, flow, seen

Act = Callable[[Pilot[str]], Awaitable[None]]


def busy(at: int = NOON, **more: Any) -> Seen:
    tables = [
        connections(30, State.CLOSE_WAIT),
        connections(5, State.ESTABLISHED, EVIL, pid=8, first=100, peer=2, age=7200),
        connections(400, State.TIME_WAIT, None, first=1_000, peer=3, listener=None, age=20),
    ]
    news = flow(births={"process": {"curl": 40}, "peer": {"10.0.0.3": 40}}, deaths={"process": {"curl": 10}})
    news.changes[State.FIN_WAIT_2, State.TIME_WAIT] = 40
    return seen(*tables, at=at, flow=news, **more)


def shown(app: Watch) -> list[str]:
    """The lines of the screen as they are drawn, without styles."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def watch(act: Act, *given: Seen, size: tuple[int, int] = (80, 24), looker: Looks | None = None) -> list[str]:
    """Run the view over these looks, do something, and what is on the screen then."""

    async def play() -> list[str]:
        with Stop() as stop:
            app = Watch(looker or Looks(*(given or (busy(),))), stop)  # type: ignore[arg-type]
            async with app.run_test(size=size) as pilot:
                await until(pilot, lambda: app.seen is not None)
                await act(pilot)
                lines = shown(app)
            assert app.done.wait(10)
            return lines

    return asyncio.run(play())


async def until(pilot: Pilot[str], true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            break
        await pilot.pause(0.01)
    assert true()
    await pilot.pause()


async def nothing(_pilot: Pilot[str]) -> None:
    pass


def press(*keys: str) -> Act:
    async def act(pilot: Pilot[str]) -> None:
        await pilot.press(*keys)
        await pilot.pause()

    return act


def test_the_list_has_room_on_a_small_terminal_with_many_findings() -> None:
    tables = [
        connections(20, state, f"server{pid}", pid=pid, first=1_000 * pid, age=300)
        for pid in range(1, 9)
        for state in (State.CLOSE_WAIT, State.ESTABLISHED)
    ]
    lines = watch(nothing, seen(*tables), size=(40, 12))
    assert lines[-1].startswith("? help")
    below = lines[next(n for n, line in enumerate(lines) if line.startswith("PROCESS")) + 1 : -1]
    assert len(below) >= 2 and all(line.startswith("server") for line in below)
    assert sum(line.startswith(("ERROR", "WARNING")) for line in lines) == 2
    assert not any("O" in line[37:] or line[37:].strip().isdigit() for line in lines[1:4])


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 12), (132, 43)])
def test_everything_has_its_place_at_every_size(size: tuple[int, int]) -> None:
    lines = watch(nothing, size=size)
    text = "\n".join(lines)
    assert len(lines) == size[1]
    assert max(map(len, lines)) <= size[0]
    assert "lastack watch" in lines[0]
    assert re.search(r"CLOSE_WAIT +30 ", text)
    assert re.search(r"TIME_WAIT +400 +20 +0\b", text)  # 40 came in 2 s
    assert "ERROR" in text
    assert "1 processes" in text


def test_of_states_those_that_there_are_in_the_order_of_a_life() -> None:
    lines = watch(nothing)
    states = [line.split()[0] for line in lines[2:] if line.split() and line.split()[0] in State.__members__]
    assert states == ["ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT"]
    assert re.search(r"ESTABLISHED +5 .* 2h ", "\n".join(lines))


def test_a_quiet_host_is_told_to_be_well() -> None:
    lines = watch(nothing, seen(known=facts(processes={}, listeners=())))
    assert any("Nothing wrong" in line for line in lines)
    assert any("no connections" in line for line in lines)


def test_births_and_deaths_are_told_by_process_and_peer() -> None:
    assert any(re.match(r"curl +0 +20 +5\.0 ", line) for line in watch(nothing))
    assert any(re.match(r"10\.0\.0\.3 +400 +20 +0 ", line) for line in watch(press("3")))


def test_lists_are_sorted_by_what_is_asked_for() -> None:
    def first(*keys: str) -> str:
        lines = watch(press(*keys))
        return lines[next(n for n, line in enumerate(lines) if line.startswith("PROCESS")) + 1].split("  ")[0]

    assert first() == "(no process)"
    assert first("s") == "curl"  # births
    assert first("s", "s", "s") == r"\x1b[31m[bold]red\x07"  # oldest
    assert first("s", "s", "s", "s") == "(no process)"  # name
    assert first(*"sssss") == "(no process)"  # round again


def test_listeners_of_one_port_have_a_line_each() -> None:
    births = flow(births={"listener": {"127.0.0.2:80": 40}})
    tables = (connections(3, State.CLOSE_WAIT, listener="127.0.0.2:80"), connections(2, State.CLOSE_WAIT, first=50))
    text = "\n".join(watch(press("2"), seen(*tables, flow=births)))
    assert re.search(r"127\.0\.0\.1:80 +2 +0 +0 ", text)
    assert re.search(r"127\.0\.0\.2:80 +3 +20 +0 ", text)


def test_a_process_is_looked_into_and_out_of_again() -> None:
    def within(*keys: str) -> str:
        return "\n".join(watch(press(*keys)))

    assert "of server  esc for all" in within("down", "enter")
    assert re.search(r"TIME_WAIT +400", within("down", "enter"))  # the states are those of all
    assert within("down", "enter").count("CLOSE_WAIT  127.0.0.1:80") > 5
    assert "20000" in within("down", "enter")
    assert "PROCESS" in within("down", "enter", "escape") and "BORN/s" in within("down", "enter", "escape")


def test_a_connection_is_looked_into_and_followed() -> None:
    looker = Looks(busy())

    async def act(pilot: Pilot[str]) -> None:
        await pilot.press("down", "enter", "enter")
        await until(pilot, lambda: "CLOSE_WAIT waits for" in "\n".join(shown(pilot.app)))  # type: ignore[arg-type]
        assert looker.followed == 1

    text = "\n".join(watch(act, looker=looker))
    assert "127.0.0.1:80 -> 10.0.0.1:20000" in text
    assert "only the peer's FIN" in text


def test_a_connection_is_shown_at_once_and_not_when_the_next_look_has_come() -> None:
    looker = Looks(busy(), busy())
    looker.more.clear()

    async def act(pilot: Pilot[str]) -> None:
        await press("p", "down", "enter", "enter")(pilot)
        assert "CLOSE_WAIT waits for" in "\n".join(shown(pilot.app))  # type: ignore[arg-type]
        looker.more.set()

    watch(act, looker=looker)


@pytest.mark.parametrize("page", [("4", "enter"), ("f", "enter"), ("question_mark",)])
def test_keys_of_the_view_do_nothing_to_a_page(page: tuple[str, ...]) -> None:
    before = watch(press(*page))
    assert watch(press(*page, "1", "s", "f", "slash", "tab", "p", "p")) == before
    assert "lastack watch" in watch(press(*page, "escape"))[0]
    assert "lastack watch" in watch(press(*page, "q"))[0]


def test_a_finding_is_shown_in_full() -> None:
    text = " ".join("\n".join(watch(press("f", "enter"), size=(100, 40))).split())
    assert "30 connections are in CLOSE_WAIT because server" in text
    assert "Not helpful" in text


def test_findings_that_clear_are_still_told_for_a_minute() -> None:
    later = [seen(connections(5, State.ESTABLISHED), at=NOON + n * SECOND) for n in (2, 4, 70)]

    async def act(pilot: Pilot[str]) -> None:
        app = pilot.app
        assert isinstance(app, Watch)
        await until(pilot, lambda: app.seen is not None and app.seen.at == NOON + 70 * SECOND)
        assert app.memory.findings == {}

    for given, expected in (([*later[:1]], "gone"), ([*later[:2]], "cleared 2.0s ago")):
        last = given[-1].at

        async def wait(pilot: Pilot[str], last: int = last) -> None:
            app = pilot.app
            assert isinstance(app, Watch)
            await until(pilot, lambda: app.seen is not None and app.seen.at == last)

        assert any(expected in line and "CLOSE_WAIT, eof unread" in line for line in watch(wait, busy(), *given))
    watch(act, busy(), *later)


def test_findings_of_one_title_are_told_apart() -> None:
    one = seen(connections(30, State.CLOSE_WAIT))
    both = one._replace(report=replace(one.report, findings=one.report.findings * 2))
    assert sum("CLOSE_WAIT, eof unread" in line for line in watch(nothing, both)) == 2


def test_a_finding_that_is_cut_still_says_which_network_namespace_it_is_about() -> None:
    one = seen(connections(30, State.CLOSE_WAIT, "a-program-of-rather-a-long-name" * 2))
    (finding,) = one.report.findings
    placed = tuple(replace(finding, netns=name) for name in ("own", "blue", "pid 1048576"))
    lines = watch(nothing, one._replace(report=replace(one.report, findings=placed)))
    for name in ("[blue]", "[pid 1048576]"):
        assert sum(name in line for line in lines) == 1


@pytest.mark.parametrize("size", [(20, 8), (1, 1)])
def test_no_terminal_is_too_small_to_be_drawn_on(size: tuple[int, int]) -> None:
    for keys in ((), ("4",), ("down", "enter", "enter"), ("question_mark",)):
        assert max(map(len, watch(press(*keys), size=size))) <= size[0]


def test_a_filter_is_set_and_a_wrong_one_is_explained() -> None:
    looker = Looks(busy())
    watch(press("slash", *"state", "space", *"close-wait", "enter"), looker=looker)
    assert str(looker.asked.where) == "state close-wait"

    async def act(pilot: Pilot[str]) -> None:
        await pilot.press("slash", *"stat", "space", "x", "enter")
        await until(pilot, lambda: "unknown word 'stat': did you mean state?" in shown(pilot.app)[-1])  # type: ignore[arg-type]

    watch(act)
    assert looker.asked.where is not None
    again = Looks(busy())
    watch(press("slash", *"dport", "escape"), looker=again)
    assert again.asked.where is None


def test_while_it_is_paused_the_picture_stands_still() -> None:
    looker = Looks(busy(), busy(NOON + SECOND))
    looker.more.clear()

    async def act(pilot: Pilot[str]) -> None:
        app = pilot.app
        assert isinstance(app, Watch)
        await pilot.press("p")
        looker.more.set()
        await until(pilot, lambda: len(app.memory.times) == 2)
        assert app.seen is not None and app.seen.at == NOON

    assert "PAUSED" in watch(act, looker=looker)[0]


def test_help_tells_every_key_and_how_it_is_seen() -> None:
    text = "\n".join(
        watch(
            press("question_mark"), busy(reasons=("not by bpf: \x1bno",), exact=False, source="tracefs"), size=(120, 60)
        )
    )
    keys = {binding.key for binding in Watch.BINDINGS} - {"escape"}  # type: ignore[union-attr]
    assert {"q,ctrl+c", "s", "slash", "p", "f", "1", "2", "3", "4"} <= keys
    for word in ("1 2 3 4", "enter", "esc", "sort", "/", "hold the picture", "quit", "tracefs", "dumps are compared"):
        assert word in text
    assert r"not by bpf: \x1bno" in text


def test_losses_are_told_in_the_first_line() -> None:
    lines = watch(nothing, busy(lost=1_234, forgotten=5))
    assert "1,234 changes lost" in lines[0]
    assert "5 lives forgotten" in lines[0]


def test_no_name_of_a_process_reaches_the_terminal_as_it_is() -> None:
    for keys in ((), ("4",), ("s", "s", "s", "home", "enter")):
        text = "\n".join(watch(press(*keys)))
        assert "\x1b" not in text and "\x07" not in text
        assert r"\x1b[31m[bold]red\x07" in text


def test_wide_names_stay_in_their_column() -> None:
    lines = watch(nothing, seen(connections(3, State.ESTABLISHED, "日本語" * 20)))
    row = next(line for line in lines if "日本" in line)
    from rich.cells import cell_len

    assert cell_len(row) <= 79
    assert re.search(r"~ +3 ", row)


def test_a_list_has_an_end_and_says_what_is_left_out() -> None:
    lines = watch(press("4"), seen(connections(700, State.ESTABLISHED)), size=(160, 24))
    assert "200 more are not listed" in lines[-1]


def test_the_cursor_stays_on_what_it_is_on() -> None:
    async def act(pilot: Pilot[str]) -> None:
        app = pilot.app
        assert isinstance(app, Watch)
        await pilot.press("down")
        looker.more.set()
        await until(pilot, lambda: app.seen is not None and app.seen.at == NOON + SECOND)
        assert app.screen.query_one("#list").key == "server"  # type: ignore[attr-defined]

    more = ConnectionTable.concatenate([connections(50, State.ESTABLISHED, "newcomer", pid=9, first=5_000)])
    first = busy()
    second = seen(first.look[0][0], more, at=NOON + SECOND)
    looker = Looks(first, second)
    looker.more.clear()
    watch(act, looker=looker)


@pytest.mark.parametrize(("variable", "coloured"), [("", True), ("1", False)])
def test_without_colour_there_is_none(variable: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if variable:
        monkeypatch.setenv("NO_COLOR", variable)

    async def act(pilot: Pilot[str]) -> None:
        app = pilot.app
        segments = [segment for strip in app.screen._compositor.render_strips() for segment in strip]
        for line_filter in app._filters:
            segments = line_filter.apply(segments, app.background_colors[1])
        styles = [segment.style for segment in segments if segment.style is not None]
        used = {color.name for style in styles for color in (style.color, style.bgcolor) if color is not None}
        assert bool(used - {"default"}) == coloured
        assert any(style.reverse for style in styles)  # the cursor can be seen all the same

    watch(act)


def test_the_style_sheet_names_only_the_terminals_own_colours() -> None:
    from lastack.watch import screen

    sheet = (Path(screen.__file__).parent / "style.tcss").read_text()
    assert set(re.findall(r"(?:color|background): (\S+);", sheet)) <= {"ansi_default", "transparent"}
