from __future__ import annotations

import pytest

# Not for the first time within a run of pytest's own, which forgets the modules that were new in it.
import lastack.script.play  # noqa: F401

pytest_plugins = ["pytester"]

GOOD = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
"""
BAD = GOOD + "+.1 < R. 1:1(0) ack 1 win 0\n+0 > . 1:1(0) ack 1\n"


@pytest.fixture
def tree(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A stranger's project, with the plugin loaded as its entry point would."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p lastack.pytest_plugin -p no:cacheprovider")
    pytester.makefile(".pkt", good=GOOD, bad=BAD)
    pytester.makepyfile("def test_of_theirs(): pass")
    return pytester


def test_scripts_of_a_stranger_are_left_alone(tree: pytest.Pytester) -> None:
    tree.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize("asked", ["option", "configuration"])
def test_scripts_are_tests_where_that_is_asked_for(tree: pytest.Pytester, asked: str) -> None:
    if asked == "configuration":
        tree.makeini("[pytest]\nlastack_scripts = true")
    result = tree.runpytest("-v", *(["--lastack-scripts"] if asked == "option" else []))
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines_random(["good.pkt::sim PASSED*", "bad.pkt::sim FAILED*"])


def test_a_script_that_is_named_is_always_run_and_once(tree: pytest.Pytester) -> None:
    tree.runpytest("good.pkt").assert_outcomes(passed=1)
    tree.runpytest("--lastack-scripts", "good.pkt", "good.pkt").assert_outcomes(passed=1)


def test_a_failure_is_shown_as_ours_without_a_traceback(tree: pytest.Pytester) -> None:
    result = tree.runpytest("bad.pkt")
    result.stdout.fnmatch_lines(["* bad.pkt on sim *", "bad.pkt:7: no packet came*", "*7 | +0 > . 1:1(0) ack 1"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_packets_after_the_last_line_fail_where_that_is_asked_for(tree: pytest.Pytester) -> None:
    # The second ACK is for nothing that was sent, and is answered.
    tree.makefile(".pkt", more=GOOD + "+.1 < . 1:1(0) ack 1 win 9\n+.1 < . 1:1(0) ack 9999 win 9\n")
    tree.runpytest("more.pkt").assert_outcomes(passed=1)
    tree.runpytest("--lastack-exact", "more.pkt").assert_outcomes(failed=1)


@pytest.mark.root
def test_both_sides_are_two_tests(tree: pytest.Pytester) -> None:
    result = tree.runpytest("-v", "--lastack-on", "sim", "--lastack-on", "kernel", "good.pkt")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["good.pkt::sim PASSED*", "good.pkt::kernel PASSED*"])


def test_a_word_that_is_no_side_is_refused(tree: pytest.Pytester) -> None:
    tree.makeini("[pytest]\nlastack_on = windows")
    result = tree.runpytest("good.pkt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'windows' is neither sim nor kernel*"])
