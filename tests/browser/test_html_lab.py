"""The lab's pages in a real browser: on a screen, on a phone, in the dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from lastack.cli.lab_files import write_all
from lastack.lab.catalog import named
from lastack.lab.together import rows

from .chromium import CONTRAST, Chromium

NAMES = ("four-way-close", "fin-lost", "old-duplicate", "close-wait-leak", "memory")
PAGES = ("index.html", *(f"{name}.html" for name in NAMES))
NARROWEST = """
Math.min(...[...document.querySelectorAll('td, th')].filter((cell) => cell.textContent && cell.checkVisibility())
  .map((cell) => cell.clientWidth))
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lab")
    # Two runs of the engine for one of the kernel: a table of evidence has its most columns so.
    found = [row._replace(kernel=row.sim, full=row.sim) for row in rows([named(name) for name in NAMES], "sim", {})]
    write_all(found, directory, "en")
    return directory


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_wide_as_its_window_and_no_cell_is_a_thread(
    browser: Chromium, written: Path, name: str, width: int
) -> None:
    browser.open((written / name).as_uri(), width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(NARROWEST) >= 60
    assert browser.complaints() == []


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_to_a_file(browser: Chromium, written: Path, name: str) -> None:
    browser.open((written / name).as_uri())
    links = set(browser.run("[...document.querySelectorAll('a')].map((link) => link.getAttribute('href'))"))
    assert links
    assert [link for link in links if not (written / link).is_file()] == []


def test_a_claim_leads_to_its_page_and_back(browser: Chromium, written: Path) -> None:
    browser.open((written / "index.html").as_uri())
    browser.events.clear()
    browser.run("document.querySelector('td a').click()")
    browser.wait_for("Page.loadEventFired")
    assert browser.run("location.pathname").endswith("/four-way-close.html")
    assert browser.run("document.querySelector('a').getAttribute('href')") == "index.html"


def test_on_a_phone_every_value_says_whose_it_is(browser: Chromium, written: Path) -> None:
    browser.open((written / "memory.html").as_uri(), width=390)
    label = "getComputedStyle(document.querySelector('.facts td'), '::before').content"
    assert "engine" in browser.run(label)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "fin-lost.html", "old-duplicate.html"])
def test_every_text_contrasts_with_what_is_behind_it(browser: Chromium, written: Path, name: str, scheme: str) -> None:
    browser.open((written / name).as_uri(), scheme=scheme)
    ratio, text = browser.run(CONTRAST)
    assert ratio >= 4.5, text
