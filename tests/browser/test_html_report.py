"""The HTML report in a real browser: what is seen, sorted, filtered, on a phone, in the dark, and what is logged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lastack.report.html import render
from lastack.report.view import page

from ..unit.report import sample
from .chromium import CONTRAST, Chromium

COLUMN = "[...document.querySelectorAll('.rows tbody td.{}')].map((cell) => cell.textContent)"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render(sample.busy()), "utf-8")
    return file.as_uri()


@pytest.fixture
def opened(browser: Chromium, url: str) -> Chromium:
    browser.open(url)
    return browser


def column(browser: Chromium, key: str) -> list[str]:
    cells: list[str] = browser.run(COLUMN.format(key))
    return cells


def seconds(age: str) -> float:
    return sum(float(count) * {"s": 1, "m": 60, "h": 3_600}[unit] for count, unit in re.findall(r"([\d.]+)(\w)", age))


def press_heading(browser: Chromium, key: str) -> str:
    browser.run(f"document.querySelector('.rows th.{key} button').click()")
    return str(browser.run(f"document.querySelector('.rows th.{key}').getAttribute('aria-sort')"))


def matches(browser: Chromium) -> int:
    tally = re.match(r"([\d,]+) match", browser.run("document.getElementById('tally').textContent"))
    assert tally
    return int(tally[1].replace(",", ""))


def type_filter(browser: Chromium, text: str) -> None:
    browser.run("document.getElementById('filter').focus(); document.getElementById('filter').select()")
    browser.call("Input.insertText", text=text) if text else browser.key("Delete", 46)


def test_every_finding_and_all_its_evidence_is_visible(opened: Chromium) -> None:
    told = page(sample.busy())
    seen = " ".join(opened.run("document.querySelector('body').innerText").split())
    assert told.verdict in seen
    for remark in told.remarks:
        for words in (remark.rule, remark.summary, *(advice.do for advice in remark.advice)):
            assert words in seen
        for fact in remark.evidence:
            assert f"{fact.label} {fact.value} {fact.source}" in seen
        for remedy in remark.useless:
            assert f"{remedy.what}: {remedy.why}" in seen
    for level in told.headroom:
        assert level.words in seen
    assert told.unseen[0] in seen


def test_the_page_logs_nothing_and_asks_for_nothing(opened: Chromium, url: str) -> None:
    press_heading(opened, "age")
    type_filter(opened, "java")
    assert opened.complaints() == []
    assert [asked for asked in opened.requests() if not asked.startswith("data:")] == [url]


def test_numbers_sort_as_numbers_both_ways(opened: Chromium) -> None:
    assert press_heading(opened, "age") == "ascending"
    youngest = column(opened, "age")
    assert youngest == sorted(youngest, key=seconds)
    assert seconds(youngest[0]) < 1
    assert press_heading(opened, "age") == "descending"
    oldest = column(opened, "age")
    assert oldest == sorted(oldest, key=seconds, reverse=True)
    assert seconds(oldest[0]) > 8 * 3_600
    press_heading(opened, "id")
    ids = [int(text) for text in column(opened, "id")]
    assert ids == sorted(ids)
    assert opened.run("document.querySelectorAll('[aria-sort]').length") == 1


def test_addresses_sort_by_their_numbers(opened: Chromium) -> None:
    type_filter(opened, "java")
    press_heading(opened, "remote")
    first = [tuple(map(int, re.findall(r"\d+", remote))) for remote in column(opened, "remote")]
    assert first == sorted(first)
    assert len(set(first)) == len(first)


def test_missing_values_come_last_either_way(opened: Chromium) -> None:
    press_heading(opened, "recv_q")
    assert column(opened, "recv_q")[0] == "0"
    press_heading(opened, "recv_q")
    assert column(opened, "recv_q")[0] == "1"


def test_headings_sort_from_the_keyboard(opened: Chromium) -> None:
    opened.run("document.querySelector('.rows th.age button').focus()")
    opened.key("Enter", 13, "\r")
    assert opened.run("document.querySelector('.rows th.age').getAttribute('aria-sort')") == "ascending"


def test_the_filter_finds_a_substring_of_any_column(opened: Chromium) -> None:
    type_filter(opened, "10.0.0.5:5432")
    assert matches(opened) == sample.TIME_WAIT
    type_filter(opened, "ORDERS.service")
    assert matches(opened) == sample.LEAKED
    type_filter(opened, "no such thing")
    assert matches(opened) == 0
    assert column(opened, "id") == []
    type_filter(opened, "")
    assert matches(opened) == sample.ROWS


def test_state_chips_choose_states_together(opened: Chromium) -> None:
    chip = "document.querySelector('button[data-state={}]')"
    opened.run(chip.format("ESTABLISHED") + ".click()")
    assert matches(opened) == sample.OPEN
    opened.run(chip.format("CLOSE_WAIT") + ".click()")
    assert matches(opened) == sample.OPEN + sample.LEAKED
    assert opened.run(chip.format("CLOSE_WAIT") + ".getAttribute('aria-pressed')") == "true"
    opened.run(chip.format("ESTABLISHED") + ".click()")
    assert set(column(opened, "state")) == {"CLOSE_WAIT"}


def test_a_finding_leads_to_its_connections(opened: Chromium) -> None:
    opened.run("document.querySelector('#finding-2 a[data-finding]').click()")
    assert matches(opened) == sample.TIME_WAIT
    assert set(column(opened, "remote")) == {"10.0.0.5:5432"}
    assert opened.run("location.hash") == "#connections"
    opened.run("document.querySelector('button[data-finding=\"1\"]').click()")
    assert matches(opened) == sample.ROWS


def test_more_rows_come_when_asked_for(opened: Chromium) -> None:
    before = len(column(opened, "id"))
    opened.run("document.getElementById('more').click()")
    assert len(column(opened, "id")) == 2 * before


def test_a_hostile_command_is_text(opened: Chromium) -> None:
    type_filter(opened, "<script>")
    assert set(column(opened, "process")) == {f"{sample.HOSTILE}/977"}
    assert opened.run("document.querySelectorAll('script').length") == 2
    assert opened.complaints() == []


@pytest.mark.parametrize("width", [360, 320])
def test_a_phone_scrolls_only_downwards(browser: Chromium, url: str, width: int) -> None:
    browser.open(url, width=width, height=740)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("innerWidth") == width
    assert browser.run("document.querySelector('.scroll').scrollWidth") <= width
    assert browser.run("parseFloat(getComputedStyle(document.querySelector('.evidence td')).fontSize)") >= 14


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_text_contrasts_with_what_is_behind_it(browser: Chromium, url: str, scheme: str, width: int) -> None:
    browser.open(url, width=width, scheme=scheme)
    browser.run("document.querySelector('button[data-state]').click()")
    ratio, text = browser.run(CONTRAST)
    assert ratio >= 4.5, text


def test_a_dark_page_is_dark(browser: Chromium, url: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    browser.open(url, scheme="light")
    light = browser.run(background)
    browser.scheme("dark")
    dark = browser.run(background)
    assert sum(map(int, re.findall(r"\d+", light))) > 700
    assert sum(map(int, re.findall(r"\d+", dark))) < 100


def test_paper_gets_the_findings_without_the_tools(opened: Chromium) -> None:
    opened.scheme("light", medium="print")
    assert opened.run("document.querySelector('.tools').checkVisibility()") is False
    assert opened.run("document.querySelector('#finding-1 .evidence').checkVisibility()") is True


def test_without_javascript_everything_but_the_tools_is_there(browser: Chromium, url: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(url)
        root = browser.call("DOM.getDocument")["root"]["nodeId"]
        found = browser.call("DOM.querySelectorAll", nodeId=root, selector=".rows tbody tr")["nodeIds"]
        assert len(found) == 50
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("name", ["healthy", "quiet"])
def test_other_reports_open_without_complaint(browser: Chromium, tmp_path: Path, name: str) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(getattr(sample, name)()), "utf-8")
    browser.open(file.as_uri())
    assert browser.complaints() == []
    assert browser.run("document.querySelector('h1').textContent").startswith("Nothing wrong")
