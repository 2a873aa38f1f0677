"""Laws of the filter language, on random texts, random expressions and random tables."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.errors import FilterError
from lastack.model import SECOND, ConnectionTable, State, Timer
from lastack.model.filters import Filter, parse
from lastack.model.filters.words import OPERATORS, SS_NAME

from .tables import any_table, unhurried

Row = dict[str, Any]
Says = tuple[str, Callable[[Row], bool]]

COLUMNS_ASKED = [
    "local_state",
    "family",
    "local_addr",
    "local_port",
    "remote_addr",
    "remote_port",
    "pid",
    "command",
    "unit",
    "recv_q",
    "send_q",
    "timer",
    "age_ns",
]
WORDS = [
    *(spelling for spellings in OPERATORS.values() for spelling in spellings),
    *[
        "state",
        "exclude",
        "dst",
        "src",
        "dport",
        "sport",
        "process",
        "unit",
        "container",
        "listener",
        "age",
        "idle",
        "recv-q",
        "timer",
        "family",
    ],
    *[
        "close-wait",
        "LISTEN",
        "all",
        ":443",
        ":http",
        "*",
        "[::1]:22",
        "10/8",
        "::1",
        "10.0.0.1:80",
        "::/0",
        "60s",
        "5min",
        "0",
        "keepalive",
        "inet",
        "inet6",
    ],
    *[
        "nginx",
        "'a",
        "b'",
        '"it\'s"',
        "'",
        '"',
        "4711",
        "a[!b]*",
        "autobound",
        "[::/200]",
        "::1:2",
        "-1",
        "1e9",
        "x.example",
        "'and'",
        "0x10",
        "٣",
        "²",
        "\x1b",
    ],
]
COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def known(name: str, says: Callable[[Any], bool]) -> Callable[[Row], bool]:
    """A condition on a column, false of a null."""
    return lambda row: row.get(name) is not None and says(row[name])


@st.composite
def state_words(draw: st.DrawFn) -> Says:
    states = draw(st.lists(st.sampled_from(list(State)), min_size=1, max_size=3))
    excluded = draw(st.booleans())
    text = " ".join(f"{'exclude' if excluded else 'state'} {SS_NAME[state]}" for state in states)
    return text, known("local_state", lambda name: (State[name] in states) != excluded)


@st.composite
def compared(draw: st.DrawFn) -> Says:
    word, column, unit, values = draw(
        st.sampled_from(
            [
                ("dport", "remote_port", "", [0, 22, 80, 443, 65535]),
                ("sport", "local_port", "", [0, 22, 80, 443, 65535]),
                ("recv-q", "recv_q", "", [0, 1, 100]),
                ("send-q", "send_q", "", [0, 1, 100]),
                ("age", "age_ns", "s", [0, 60 * SECOND]),
            ]
        )
    )
    sign, number = draw(st.sampled_from(list(COMPARE))), draw(st.sampled_from(values))
    prefix = draw(st.sampled_from(["", ":"])) if word.endswith("port") else ""
    says = known(column, lambda value: bool(COMPARE[sign](value, number)))
    text = f"{word} {sign} {prefix}{number // SECOND if unit else number}{unit}"
    return text, (lambda row: not known(column, lambda value: bool(value == number))(row)) if sign == "!=" else says


@st.composite
def addressed(draw: st.DrawFn) -> Says:
    word, side = draw(st.sampled_from([("dst", "remote"), ("src", "local")]))
    base, longest = draw(st.sampled_from([("127.0.0.1", 32), ("10.0.0.1", 32), ("::1", 128), ("2001:db8::1", 128)]))
    length = draw(st.one_of(st.just(longest), st.integers(0, longest)))
    network, port = ip_network(f"{base}/{length}", strict=False), draw(st.sampled_from([None, 22, 443]))
    bare = f"{base}/{length}"
    host = bare if isinstance(network, IPv4Network) else draw(st.sampled_from([f"[{bare}]", f"[{base}]/{length}"]))

    def says(row: Row) -> bool:
        held = known(f"{side}_addr", lambda text: ip_address(text) in network)(row)
        return held and (port is None or known(f"{side}_port", lambda value: bool(value == port))(row))

    return f"{word} {host}{'' if port is None else f':{port}'}", says


@st.composite
def named(draw: st.DrawFn) -> Says:
    glob = draw(st.sampled_from(["nginx", "n*", "*d", "?shd", "[ns]*", "a", "*"]))
    if draw(st.booleans()):
        return f"process {glob}", known("command", lambda text: fnmatchcase(text, glob))
    return f"unit {glob}", known(
        "unit", lambda text: fnmatchcase(text, glob) or ("." in text and fnmatchcase(text[: text.rindex(".")], glob))
    )


LEAVES: st.SearchStrategy[Says] = st.one_of(
    state_words(),
    compared(),
    addressed(),
    named(),
    st.just(("inet", known("family", lambda value: bool(value == 4)))),
    st.just(("family inet6", known("family", lambda value: bool(value == 6)))),
    st.just(("timer keepalive", known("timer", lambda name: bool(name == Timer.KEEPALIVE.name)))),
    st.just(("process 4711", known("pid", lambda value: bool(value == 4711)))),
    st.just(("dst *", lambda row: True)),
)


@st.composite
def compound(draw: st.DrawFn, parts: st.SearchStrategy[Says]) -> Says:
    (first, says), (second, says_too) = draw(parts), draw(parts)
    shape = draw(st.sampled_from(["and", "or", "not", "side by side"]))
    if shape == "not":
        return f"{draw(st.sampled_from(['!', 'not']))} ( {first} )", lambda row: not says(row)
    if shape == "or":
        return (
            f"( {first} ) {draw(st.sampled_from(OPERATORS['or']))} ( {second} )",
            lambda row: says(row) or says_too(row),
        )
    sign = draw(st.sampled_from(OPERATORS["and"])) if shape == "and" else ""
    return f"( {first} ) {sign} ( {second} )", lambda row: says(row) and says_too(row)


EXPRESSIONS = st.recursive(LEAVES, compound, max_leaves=8)


@unhurried
@given(any_table(columns=COLUMNS_ASKED), EXPRESSIONS)
def test_a_filter_matches_what_a_row_by_row_reading_of_it_matches(table: ConnectionTable, expression: Says) -> None:
    text, says = expression
    expected = [says({name: table.value(name, row) for name in COLUMNS_ASKED}) for row in range(len(table))]
    assert parse(text).matches(table, 0).tolist() == expected


@unhurried
@given(any_table(columns=COLUMNS_ASKED, must=("local_state",)), EXPRESSIONS)
def test_every_row_that_matches_lies_in_the_mask_of_states(table: ConnectionTable, expression: Says) -> None:
    found = parse(expression[0])
    matching = found.matches(table, 0) & table.valid("local_state")
    assert all(found.states >> int(state) & 1 for state in table.values("local_state")[matching])


@unhurried
@given(any_table(columns=COLUMNS_ASKED), EXPRESSIONS, EXPRESSIONS)
def test_the_laws_of_logic_hold(table: ConnectionTable, one: Says, other: Says) -> None:
    a, b = one[0], other[0]

    def same(left: str, right: str) -> None:
        found, expected = parse(left), parse(right)
        assert found.matches(table, 0).tolist() == expected.matches(table, 0).tolist()
        assert found.states == expected.states

    same(f"not ( ( {a} ) and ( {b} ) )", f"not ( {a} ) or not ( {b} )")
    same(f"not ( ( {a} ) or ( {b} ) )", f"not ( {a} ) and not ( {b} )")
    same(f"not not ( {a} )", a)
    assert (parse(a) & parse(b)).matches(table, 0).tolist() == parse(f"( {a} ) ( {b} )").matches(table, 0).tolist()


@unhurried
@given(EXPRESSIONS)
def test_what_is_written_out_reads_back_as_the_same(expression: Says) -> None:
    found = parse(expression[0])
    assert parse(str(found)) == found
    assert str(parse(str(found))) == str(found)


@settings(deadline=None, max_examples=500)
@given(
    st.one_of(
        st.text(max_size=40),
        st.lists(st.sampled_from(WORDS)).map(" ".join),
        st.lists(st.sampled_from(WORDS)).map("".join),
    )
)
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    try:
        found = parse(text)
    except FilterError as refusal:
        assert 0 <= refusal.at <= len(text)
    else:
        assert isinstance(found, Filter)
        assert parse(str(found)) == found
        assert found.matches(ConnectionTable(1), 0).shape == (1,)


@unhurried
@given(st.text(min_size=1, max_size=40))
def test_any_glob_can_be_asked_for(glob: str) -> None:
    from lastack.model.filters import condition

    found = condition("process", "=", glob)
    assert found.matches(ConnectionTable(1), 0).tolist() == [False]
