from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from lastack.model import Advice, ConnectionTable, Evidence, Gauge, Report
from lastack.report import html as module
from lastack.report.html import render

from . import sample

BUSY = render(sample.busy())


class Outline(HTMLParser):
    """The elements of a page, and what each script and style holds."""

    VOID = frozenset({"meta", "link", "input", "rect", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
            if tag in self.raw:
                self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.raw:
            self.raw[self.open[-1]][-1] += data
        else:
            self.words.append(data)


@pytest.mark.parametrize("report", [sample.busy(), sample.healthy(), sample.quiet()], ids=["busy", "healthy", "quiet"])
def test_the_page_is_well_formed(report: Report) -> None:
    outline = Outline(render(report))
    assert outline.open == []
    assert [tag for tag, _ in outline.tags].count("h1") == 1


def test_the_policy_names_the_only_style_and_script_by_hash() -> None:
    outline = Outline(BUSY)
    policy = next(attrs["content"] for tag, attrs in outline.tags if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for text, directive in ((outline.raw["style"][0], "style-src"), (outline.raw["script"][1], "script-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_nothing_is_loaded_from_elsewhere() -> None:
    for _, attrs in Outline(BUSY).tags:
        assert not attrs.get("src")
        assert "style" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        assert (attrs.get("href") or "#").startswith(("#", "data:"))
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", BUSY)


def test_findings_and_evidence_are_in_the_html_itself() -> None:
    text = " ".join(" ".join(Outline(BUSY).words).split())
    for finding in sample.busy().findings:
        assert finding.rule in text
        assert finding.summary in text
        for evidence in finding.evidence:
            assert evidence.fact in text
            assert evidence.source in text
        for advice in finding.advice:
            assert advice.do in text
            assert advice.effect in text
        for remedy in finding.useless:
            assert remedy.partition(": ")[0] in text
    assert "1 h 23 min" in text
    assert sample.busy().unseen[0] in text


def test_the_histogram_has_a_text_alternative() -> None:
    titles = re.findall(r'<svg class="ages"[^>]* role="img" aria-labelledby="ages-1"><title id="ages-1">(.*?)<', BUSY)
    assert titles == ["in this state for at least: 1 to 10 min (20), 10 min to 1 h (112), 1 h to 1 d (1,072)"]


def test_hostile_text_is_shown_not_obeyed() -> None:
    nasty = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>\"'&amp;\x1b[2J\u202e"
    busy = sample.busy()
    finding = dataclasses.replace(
        busy.findings[0],
        rule=nasty,
        summary=nasty,
        evidence=(Evidence(nasty, nasty, nasty, nasty),),
        advice=(Advice(nasty, nasty, nasty),),
        useless=(nasty,),
        netns=nasty,
    )
    page = render(
        dataclasses.replace(
            busy,
            source=dataclasses.replace(busy.source, name=nasty, kernel=nasty),
            findings=(finding,),
            states={nasty: 3},
            headroom=(Gauge(nasty, 1, 2, nasty, nasty, nasty),),
            unseen=(nasty,),
        )
    )
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags].count("script") == 2
    assert not [tag for tag, _ in outline.tags if tag == "img"]
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert r"\x1b[2J\u202e" in page


def test_the_data_of_the_table_cannot_end_its_script() -> None:
    data = Outline(BUSY).raw["script"][0]
    assert "<" not in data
    parsed = json.loads(data)
    process = parsed["texts"][[column["key"] for column in parsed["columns"]].index("process")]
    assert f"{sample.HOSTILE}/977" in process
    assert [len(member) for member in parsed["findings"]] == [sample.LEAKED, sample.TIME_WAIT, sample.SERVED]


def test_a_huge_table_is_capped_and_says_so() -> None:
    table = sample.table()
    many = table.select(np.arange(20_000) % len(table)).with_columns({"id": np.arange(1, 20_001, dtype=np.uint32)})
    page = render(dataclasses.replace(sample.busy(), connections=many))
    assert "5,000 of 20,000 connections, those of the findings first" in page
    assert "lastack connections --format csv" in page
    assert len(json.loads(Outline(page).raw["script"][0])["texts"][0]) == 5_000


def test_some_rows_are_there_without_javascript() -> None:
    assert BUSY.count("<tr><td") == module.ROWS_WITHOUT_SCRIPT
    assert "Without JavaScript" in BUSY


def test_a_host_without_connections_has_no_table() -> None:
    page = render(sample.quiet())
    assert "<table" not in page
    assert "Nothing wrong on idle" in unescape(page)


def test_findings_without_connections_have_no_link_to_any() -> None:
    busy = sample.busy()
    alone = dataclasses.replace(busy.findings[0], connections=ConnectionTable())
    outline = Outline(render(dataclasses.replace(busy, findings=(alone,), connections=ConnectionTable())))
    assert not any("data-finding" in attrs for _, attrs in outline.tags)
