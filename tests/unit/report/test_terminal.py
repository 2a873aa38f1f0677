from __future__ import annotations

import dataclasses
import io
import re

import pytest
from rich.cells import cell_len

from lastack.model import Advice, Evidence, Report
from lastack.report.terminal import render, render_socket

from . import sample

SGR = re.compile(r"\x1b\[[0-9;]*m")


def drawn(report: Report, width: int = 80, color: bool = False, verbose: bool = False) -> str:
    file = io.StringIO()
    render(report, file, width=width, color=color, verbose=verbose)
    return file.getvalue()


def flat(text: str) -> str:
    return " ".join(text.split())


def test_three_findings_fit_on_one_screen_of_forty_lines() -> None:
    assert len(drawn(sample.busy()).splitlines()) <= 40


def test_one_finding_fits_on_one_screen_of_twenty_four_lines() -> None:
    busy = sample.busy()
    one = dataclasses.replace(busy, findings=busy.findings[1:2], unseen=())
    assert len(drawn(one).splitlines()) <= 24


def test_the_first_line_is_the_verdict() -> None:
    assert drawn(sample.busy()).startswith("1 error, 1 warning, 1 note on web-3: CLOSE_WAIT, eof unread: 1,204 of java")
    assert drawn(sample.healthy()).startswith("Nothing wrong on web-3")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("verbose", [False, True])
def test_no_line_is_wider_than_asked_or_ends_in_blanks(width: int, verbose: bool) -> None:
    for line in drawn(sample.busy(), width, verbose=verbose).splitlines():
        assert cell_len(line) <= width
        assert line == line.rstrip()


def test_verbose_says_everything() -> None:
    text = flat(drawn(sample.busy(), verbose=True))
    for finding in sample.busy().findings:
        assert finding.rule in text
        assert finding.summary in text
        for advice in finding.advice:
            assert advice.do in text
            assert advice.effect in text
            assert advice.risk in text
        for remedy in finding.useless:
            what, _, why = remedy.partition(": ")
            assert f"{what} ({why})" in text
        for evidence in finding.evidence:
            assert evidence.fact in text
            assert evidence.source in text
    for gauge in sample.HEADROOM:
        assert f"{gauge.used:,} of {gauge.limit:,}" in text
    assert sample.busy().unseen[0] in text


def test_brief_says_what_to_do_and_how_to_see_the_rest() -> None:
    text = flat(drawn(sample.busy()))
    for finding in sample.busy().findings:
        assert finding.rule in text
        assert finding.summary in text
    assert sample.busy().findings[0].advice[0].do in text
    assert sample.busy().findings[0].advice[0].effect in text
    assert "Not helpful: any sysctl; tcp_keepalive_time; tcp_fin_timeout, tcp_tw_reuse" in text
    assert text.endswith("All evidence, advice and reasons: --verbose")


def test_the_same_advice_is_given_once_and_then_referred_to() -> None:
    busy = sample.busy()
    first = busy.findings[0]
    other = dataclasses.replace(first, advice=(*first.advice, Advice("And more", "of it", "none")))
    report = dataclasses.replace(busy, findings=(first, first, other))
    brief, verbose = flat(drawn(report)), flat(drawn(report, verbose=True))
    assert brief.count(first.advice[0].effect) == 2  # the other has more to say, and so all of its own
    assert brief.count("Do As for ") == 1
    assert verbose.count(first.advice[0].effect) == 3
    assert "As for" not in verbose


def test_many_problems_are_counted_in_the_verdict_and_not_all_named() -> None:
    busy = sample.busy()
    report = dataclasses.replace(busy, findings=busy.findings[:1] * 9)
    assert "; 5 more" in flat(drawn(report))
    assert "more" not in flat(drawn(report, verbose=True)).partition("connections:")[0]


def test_severity_is_a_word_not_only_a_colour() -> None:
    plain = drawn(sample.busy())
    assert all(re.search(rf"^{word} ", plain, re.MULTILINE) for word in ("ERROR", "WARNING", "INFO"))


def test_colour_adds_nothing_but_colour() -> None:
    coloured = drawn(sample.busy(), color=True)
    assert "\x1b[1;31m" in coloured
    assert SGR.sub("", coloured) == drawn(sample.busy())


def test_without_colour_there_is_no_escape_at_all() -> None:
    assert "\x1b" not in drawn(sample.busy(), verbose=True)


def test_hostile_text_reaches_no_terminal_raw_and_is_no_markup() -> None:
    busy = sample.busy()
    nasty = dataclasses.replace(
        busy.findings[0],
        summary=f"{sample.ESCAPES} leaks",
        evidence=(Evidence("[red]fact[/red]", "\x1b]8;;http://x\x07"),),
        advice=(Advice("[link=x]do[/link]", ":skull:"),),
    )
    text = drawn(dataclasses.replace(busy, findings=(nasty,)))
    assert "\x1b" not in text
    assert r"\x1b[31mred\x1b[0m [bold]x[/bold] leaks" in text
    assert r"[red]fact[/red]  \x1b]8;;http://x\x07" in text
    assert "[link=x]do[/link]" in text
    assert ":skull:" in text


def test_an_ascii_terminal_gets_ascii_only() -> None:
    octets = io.BytesIO()
    file = io.TextIOWrapper(octets, encoding="ascii")
    busy = sample.busy()
    render(dataclasses.replace(busy, unseen=("café",)), file)
    file.flush()
    text = octets.getvalue().decode("ascii")
    assert "######...." in text
    assert r"caf\xe9" in text


def test_the_histogram_is_a_row_of_bars_and_words() -> None:
    assert "··▁▂█·  in this state for at least: 1 to 10 min (20)" in drawn(sample.busy())


def test_a_healthy_host_shows_its_headroom() -> None:
    text = drawn(sample.healthy())
    assert "accept queue, 0.0.0.0:8080: 3 of 128 connections" in text
    assert len(text.splitlines()) <= 24


def test_one_socket_is_shown_with_what_its_state_waits_for() -> None:
    file = io.StringIO()
    info = {"tcpi_rtt": 1_500, "tcpi_last_data_recv": 61_000, "snd_cwnd": 10, "rehash": 0, "received_ce": 3}
    render_socket(sample.table().select([3]), info, file, now=sample.NOW)
    text = flat(file.getvalue())
    assert text.startswith("10.0.0.1:8080 -> 10.0.3.4:")
    assert "CLOSE_WAIT waits for this host's application to call close()" in text
    assert "1 octet: only the peer's FIN" in text
    assert "process java, pid 4242" in text
    assert "Round trip smoothed 1.5 ms (rtt)" in text
    assert "data received 1 min 1 s (last_data_recv)" in text
    assert "congestion window 10 segments (snd_cwnd)" in text
    assert "received_ce 3" in text
    assert text.endswith("Zero tcp_info rehash")


def test_a_time_wait_is_shown_with_what_is_left_of_it() -> None:
    file = io.StringIO()
    render_socket(sample.table().select([1_500]), None, file, now=sample.NOW)
    text = flat(file.getvalue())
    assert "TIME_WAIT waits for its 60 s to pass" in text
    assert re.search(r"timer time wait, expires in \d+ s", text)
    assert "process none: " in text
