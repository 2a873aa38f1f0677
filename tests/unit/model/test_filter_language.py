"""The filter language: what is understood, how it is written out, and what is refused with which words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lastack.errors import FilterError
from lastack.model import State
from lastack.model.filters import Filter, condition, parse
from lastack.model.filters.words import GROUPS, OPERATORS, SS_NAME
from lastack.model.state import bits

DOC = Path(__file__).parents[3] / "docs" / "filters.md"

CANONICAL = [
    ("", ""),
    ("   ", ""),
    ("state close-wait dport = :443 src 10.0.0.0/8", "state close-wait and dport = :443 and src 10.0.0.0/8"),
    ("state CLOSE_WAIT", "state close-wait"),
    ("state Fin_Wait_1 STATE estab", "state established state fin-wait-1"),
    ("state syn-rcv state SYN_RECEIVED state syn-recv", "state syn-recv"),
    ("state unconnected state close state closed", "state closed"),
    ("state listen", "state listening"),
    ("exclude listening exclude time-wait", "exclude time-wait exclude listening"),
    ("excl listening", "exclude listening"),
    ("state connected exclude established", "exclude established exclude closed exclude listening"),
    ("exclude listening state listening", "state all"),
    ("state bucket", "state syn-recv state time-wait"),
    ("dport :443", "dport = :443"),
    ("dport 443", "dport = :443"),
    ("dport eq :443", "dport = :443"),
    ("dport=:443", "dport = :443"),
    ("dport!=:443", "not dport = :443"),
    ("sport>=:1024", "sport >= :1024"),
    ("sport geq 1024 and sport leq 2048", "sport >= :1024 and sport <= :2048"),
    ("dport = :https", "dport = :443"),
    ("dport = :*", "dst *"),
    ("dst *", "dst *"),
    ("dst *:443", "dst :443"),
    ("dst :443", "dst :443"),
    ("dst = 10.0.0.1", "dst 10.0.0.1"),
    ("dst != 10.0.0.1", "not dst 10.0.0.1"),
    ("dst 10.0.0.1:*", "dst 10.0.0.1"),
    ("dst 10.0.0.0/8:443", "dst 10.0.0.0/8:443"),
    ("dst 10.1.2.3/8", "dst 10.0.0.0/8"),
    ("dst 193.233.7/24", "dst 193.233.7.0/24"),
    ("dst 10/8", "dst 10.0.0.0/8"),
    ("dst 0/0", "dst 0.0.0.0/0"),
    ("dst ::1", "dst [::1]"),
    ("dst ::", "dst [::]"),
    ("dst [::1]", "dst [::1]"),
    ("dst [::1]:443", "dst [::1]:443"),
    ("dst ::1:http", "dst [::1]:80"),
    ("dst 1:2:3:4:5:6:7:8", "dst [1:2:3:4:5:6:7:8]"),
    ("dst 1:2:3:4:5:6:7:8:9", "dst [1:2:3:4:5:6:7:8]:9"),
    ("dst ::ffff:10.0.0.1", "dst 10.0.0.1"),
    ("dst [::ffff:10.0.0.0/104]", "dst 10.0.0.0/8"),
    ("dst [fe80::/10]:22", "dst [fe80::/10]:22"),
    ("dst [fe80::]/10:22", "dst [fe80::/10]:22"),
    ("dst fe80::/10:22", "dst [fe80::/10]:22"),
    ("dst ::/0", "dst [::/0]"),
    ("( dport = :443 or sport = :22 ) src 127/8", "( dport = :443 or sport = :22 ) and src 127.0.0.0/8"),
    ("(dport=:443||sport=:22)&&!src 127/8", "( dport = :443 or sport = :22 ) and not src 127.0.0.0/8"),
    ("dport = :1 & sport = :2 | autobound", "( dport = :1 and sport = :2 ) or autobound"),
    ("( ( inet and inet6 ) and autobound )", "family inet and family inet6 and autobound"),
    ("NOT dport = :1 AND sport = :2", "not dport = :1 and sport = :2"),
    ("state close-wait dport = :80 or dport = :81", "state close-wait and ( dport = :80 or dport = :81 )"),
    ("state close-wait or dport = :81", "state close-wait or dport = :81"),
    ("not state close-wait state last-ack", "not state close-wait state last-ack"),
    ("process nginx", "process nginx"),
    ("process = nginx", "process nginx"),
    ("process != nginx", "not process nginx"),
    ("process 4711", "process = 4711"),
    ("process '4711'", "process '4711'"),
    ("process 'Web Content'", "process 'Web Content'"),
    ('process "it\'s"', "process 'it''s'"),
    ("process 'and'", "process 'and'"),
    ("unit nginx* container [ab]*", "unit nginx* and container [ab]*"),
    ("listener :8080", "listener :8080"),
    ("listener != 10.0.0.1:8080", "not listener 10.0.0.1:8080"),
    ("age > 60s", "age > 1min"),
    ("age >= 1.5h and idle lt 250ms", "age >= 90min and idle < 250ms"),
    ("age > 0s", "age > 0s"),
    ("age > 5m", "age > 5min"),
    ("recv-q > 0 send-q 5", "recv-q > 0 and send-q = 5"),
    ("timer keepalive", "timer keepalive"),
    ("timer on", "timer on"),
    ("timer TIME_WAIT", "timer timewait"),
    ("timer persist or timer probe", "timer persist or timer persist"),
    ("family ipv6 or inet", "family inet6 or family inet"),
    ("autobound", "autobound"),
]

REFUSED = [
    ("state close_wiat", "unknown state 'close_wiat': did you mean close-wait?", 6),
    ("state", "the name of a state is expected here", 5),
    ("sprt = :1", "unknown word 'sprt': did you mean sport?", 0),
    ("xyzzy", "unknown word 'xyzzy': one of state, exclude, dst, src,", 0),
    ("dport = :443 :444", "':444' of which side? Write dport = :444 or sport = :444", 13),
    ("close-wait", "'close-wait' is a state: write state close-wait", 0),
    ("dst example.com", "'example.com' is a name: names are never looked up, give an address", 4),
    ("src cafe", "'cafe' is a name", 4),
    ("dst localhost:80", "'localhost' is a name", 4),
    ("dst 443", "'443' is not an address: a port is written :443", 4),
    ("dst 10.1", "'10.1' is not an IPv4 or IPv6 address", 4),
    ("dst 10.0.0.256", "'10.0.0.256' is not an IPv4 or IPv6 address", 4),
    ("dst 10.0.0.0/33", "'/33' is not a prefix length: it goes from /0 to /32", 4),
    ("dst [::/129]", "'/129' is not a prefix length: it goes from /0 to /128", 4),
    ("dst 10.0.0.0/", "'/' is not a prefix length", 4),
    ("dst 10.0.0.1:", "a port is missing after ':'", 4),
    ("dst [::/8]/9", "'/8/9' is not a prefix length", 4),
    ("dst [::1", "'[::1' is not an address: write [ADDRESS/LENGTH]:PORT", 4),
    ("dst ::1:443", "'::1:443' can be read in two ways: write [::1]:443 or [::1:443]", 4),
    ("dst inet:10.0.0.1", "'inet:' is not understood here: write family inet and ...", 4),
    ("dst > 10.0.0.1", "dst takes no '>', only = and !=", 4),
    ("dport = :99999", "'99999' is not a port: ports go from 0 to 65535", 8),
    ("dport = :no-such-service", "'no-such-service' is not a port, nor a TCP service of /etc/services", 8),
    ("dport 10.0.0.1:80", "'10.0.0.1:80' is not a port: for an address and a port write dst or src", 6),
    ("dport < :*", "'<' needs one port to compare with", 8),
    ("dport =", "a port, like :443 or :https, is expected here", 7),
    ("age 60s", "an operator is expected here, as in age > 60s", 4),
    ("age > 60", "'60' is not a duration: say the unit, as in 60s, 5min, 2h or 1d", 6),
    ("age > soon", "'soon' is not a duration: write 60s, 5min, 2h or 1d", 6),
    ("age > 9999999d", "'9999999d' is longer than 292 years", 6),
    ("recv-q > many", "'many' is not a whole number", 9),
    ("timer timwait", "unknown timer 'timwait': did you mean timewait?", 6),
    ("timer x", "unknown timer 'x': one of off, on,", 6),
    ("family unix", "unknown family 'unix': one of inet, inet6", 7),
    ("process and", "a name is expected here, not 'and'", 8),
    ("process > 5", "process takes no '>', only = and !=", 8),
    ("cgroup /x", "'cgroup' is not understood here: write unit NAME or container NAME", 0),
    ("dev eth0", "'dev' is not understood here: the interface of a connection is not read", 0),
    ("inet and", "a condition is expected here, the expression ends too early", 8),
    ("and inet", "a condition is expected here, not 'and'", 0),
    ("( )", "a condition is expected here, not ')'", 2),
    ("not ( inet", "this '(' is never closed", 4),
    ("inet )", "this ')' closes nothing", 5),
    ("process 'abc", "this quotation mark is never closed", 8),
    ("dport = :1 or dport = :2 and inet", "put parentheses: ss reads this from left to right", 25),
    ("dport = :1 or dport = :2 inet", "put parentheses: ss reads this from left to right", 25),
    ("state listen and inet or inet6", "put parentheses: the state before 'and' may hold for this or not", 22),
    ("not " * 51 + "inet", "this nests deeper than 50 levels", 0),
    ("(" * 5000, "this nests deeper than 50 levels", 100),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_an_expression_is_understood_and_written_out(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert parse(canonical) == parse(text)


@pytest.mark.parametrize(("text", "message", "at"), REFUSED)
def test_a_refusal_says_why_and_points_at_the_word(text: str, message: str, at: int) -> None:
    with pytest.raises(FilterError) as refusal:
        parse(text)
    assert str(refusal.value).startswith(message)
    assert (refusal.value.at, refusal.value.text) == (at, text)
    assert str(refusal.value).endswith(f"\n  {text}\n  {' ' * at}^")


@pytest.mark.parametrize(("operator", "spelling"), [(o, s) for o, all_of in OPERATORS.items() for s in all_of])
def test_every_spelling_of_an_operator_says_the_same(operator: str, spelling: str) -> None:
    if operator in ("and", "or"):
        assert parse(f"inet {spelling} autobound") == parse(f"inet {operator} autobound")
    elif operator == "not":
        assert parse(f"{spelling} inet") == parse("not inet")
    elif operator not in "()":
        assert parse(f"dport {spelling} :80") == parse(f"dport{operator}:80")


def test_every_state_is_known_by_the_name_that_ss_gives_it_and_by_the_rfcs() -> None:
    for state in State:
        for name in (SS_NAME[state], state.name, state.name.lower(), state.name.replace("_", "-")):
            assert parse(f"state {name}").states == bits(state)


def test_the_groups_are_those_of_ss() -> None:
    everything = bits(*State)
    assert GROUPS["all"] == everything
    assert GROUPS["connected"] == everything & ~bits(State.LISTEN, State.CLOSED)
    assert GROUPS["synchronized"] == everything & ~bits(State.LISTEN, State.CLOSED, State.SYN_SENT)
    assert GROUPS["bucket"] == bits(State.SYN_RECEIVED, State.TIME_WAIT)
    assert GROUPS["big"] == everything & ~GROUPS["bucket"]


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("", bits(*State)),
        ("dport = :80", bits(*State)),
        ("state close-wait dport = :80", bits(State.CLOSE_WAIT)),
        ("state close-wait or state last-ack", bits(State.CLOSE_WAIT, State.LAST_ACK)),
        ("state close-wait or dport = :80", bits(*State)),
        ("not state close-wait", bits(*State) & ~bits(State.CLOSE_WAIT)),
        ("not ( state close-wait and dport = :80 )", bits(*State)),
        ("not ( state close-wait or dport = :80 )", bits(*State) & ~bits(State.CLOSE_WAIT)),
        ("state listen and not state listen", 0),
    ],
)
def test_the_mask_of_possible_states_is_as_narrow_as_the_text_allows(text: str, states: int) -> None:
    assert parse(text).states == states


def test_the_words_of_a_command_line_may_be_one_or_many() -> None:
    expected = parse("state close-wait ( dport = :443 or dport = :80 )")
    assert parse(["state", "close-wait", "(", "dport", "=", ":443", "or", "dport", "=", ":80", ")"]) == expected
    assert parse(["state", "close-wait", "( dport = :443 or dport = :80 )"]) == expected


def test_a_name_that_the_shell_had_quoted_is_one_name() -> None:
    assert str(parse(["process", "Web Content", "and", "inet"])) == "process 'Web Content' and family inet"


def test_one_condition_takes_its_value_as_it_is() -> None:
    assert str(condition("process", "=", "tmux: server")) == "process 'tmux: server'"
    assert str(condition("process", "=", "a 'b' \"c\"")) == "process 'a ''b'' \"c\"'"
    assert condition("process", "=", "4711") == parse("process 4711")
    assert condition("age", ">=", "60s") == parse("age >= 60s")
    assert parse(str(condition("unit", "!=", "or"))) == condition("unit", "!=", "or")
    with pytest.raises(FilterError, match="not a duration"):
        condition("age", ">=", "soon")


def test_two_filters_can_be_joined() -> None:
    both = parse("inet or inet6") & condition("process", "=", "nginx")
    assert str(both) == "( family inet or family inet6 ) and process nginx"
    assert Filter() & parse("inet") == parse("inet") & Filter() == parse("inet")
    assert Filter() & Filter() == Filter()


def test_no_control_character_reaches_a_message() -> None:
    with pytest.raises(FilterError) as in_a_text:
        parse("state \x1b[31mred\x07")
    with pytest.raises(FilterError) as in_a_value:
        condition("age", ">", "\x1b]0;x\x07")
    for refusal in (in_a_text, in_a_value):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", str(refusal.value))


def doc_lines() -> list[str]:
    """Every expression of the reference: the lines of its plain code blocks, and the filters of its commands."""
    found = []
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", DOC.read_text(), re.MULTILINE | re.DOTALL):
        lines = [line.split("  #")[0].strip() for line in block.splitlines()]
        found += [shlex.split(line)[-1] if kind == "sh" else line for line in lines if line]
    return found


@pytest.mark.parametrize("line", doc_lines())
def test_every_expression_of_the_reference_is_understood(line: str) -> None:
    assert parse(str(parse(line))) == parse(line)


def test_the_reference_names_every_word_of_the_language() -> None:
    from lastack.model.filters.grammar import PREDICATES

    text = DOC.read_text()
    assert [
        word for word in (*PREDICATES, "state", "exclude", *SS_NAME.values(), *GROUPS) if f"`{word}" not in text
    ] == []


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("", False),
        ("state close-wait and not ( dport = :443 or age > 5min )", False),
        ("process nginx", True),
        ("process = 7", True),
        ("dport = :443 and not ( timer keepalive or unit nginx )", True),
        ("autobound", True),
    ],
)
def test_a_filter_says_whether_the_facts_of_the_host_have_a_say(text: str, asked: bool) -> None:
    assert parse(text).of_host is asked
