from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.errors import ScriptError
from lastack.model.time import MILLISECOND, SECOND
from lastack.script.parser import parse
from lastack.script.syntax import (
    Anything,
    CallLine,
    CodeLine,
    CommandLine,
    Either,
    Event,
    Function,
    IcmpLine,
    Option,
    SegmentLine,
    Sequence,
    Structure,
    When,
    Word,
)


def event(text: str) -> Event:
    (found,) = parse(text).events
    return found


def segment(text: str) -> SegmentLine:
    action = event(text).action
    assert isinstance(action, SegmentLine)
    return action


def call(text: str) -> CallLine:
    action = event(text).action
    assert isinstance(action, CallLine)
    return action


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("0.5", When(SECOND // 2)),
        ("+.1", When(SECOND // 10, relative=True)),
        ("7", When(7 * SECOND)),
        ("+0.000001", When(1000, relative=True)),
        ("*", When(anytime=True)),
        ("0.1~0.3", When(SECOND // 10, 3 * SECOND // 10)),
        ("+0~+.3", When(0, 300 * MILLISECOND, relative=True)),
    ],
)
def test_times_are_exact(text: str, when: When) -> None:
    assert event(f"{text} > . 1:1(0) ack 1").when == when


def test_a_segment_has_flags_numbers_window_and_options() -> None:
    line = segment("0 > FP. 1:1001(1000) ack 5 win 512 urg 3 <nop,nop,TS val 4 ecr 7,sack 1:2 3:4>")
    assert (line.outbound, line.flags, line.seq, line.length) == (True, 0x19, 1, 1000)
    assert (line.ack, line.window, line.urgent) == (5, 512, 3)
    assert line.options == (Option("nop"), Option("nop"), Option("TS", (4, 7)), Option("sack", (1, 2, 3, 4)))


@pytest.mark.parametrize(
    ("spelling", "flags"), [("S", 2), ("S.", 0x12), (".", 0x10), ("-", 0), ("R", 4), ("SEW", 0xC2), ("FPU.", 0x39)]
)
def test_every_spelling_of_flags(spelling: str, flags: int) -> None:
    assert segment(f"0 < {spelling} 0:0(0) win 0").flags == flags


def test_options_that_are_not_looked_at_differ_from_none() -> None:
    assert segment("0 > . 1:1(0) ack 1 <...>").options is None
    assert segment("0 > . 1:1(0) ack 1").options == ()


def test_what_is_said_of_the_ip_header() -> None:
    assert segment("0 < [ce] . 1:1(0) ack 1").ip.ecn == "ce"
    assert segment("0 < (ttl 3) . 1:1(0) ack 1").ip.ttl == 3
    assert segment("0 > (tos 0x12, flowlabel 0x345) . 1:1(0) ack 1").ip.tos == 0x12


def test_ports_tell_connections_apart() -> None:
    assert segment("0 < 40001 > 8080 S 0:0(0) win 1000").ports == (40001, 8080)


def test_fast_open_cookies_and_md5_are_hexadecimal() -> None:
    line = segment("0 < S 0:0(0) win 1 <FO 0123456789abcdef,FOEXP,md5 00112233445566778899aabbccddeeff>")
    assert line.options is not None
    assert [option.octets.hex() for option in line.options] == [
        "0123456789abcdef", "", "00112233445566778899aabbccddeeff",
    ]  # fmt: skip


def test_an_icmp_error_quotes_a_segment() -> None:
    action = event("0 < icmp unreachable frag_needed mtu 1200 [1:1001(1000)]").action
    assert isinstance(action, IcmpLine)
    assert (action.kind, action.code, action.mtu, action.quoted) == ("unreachable", "frag_needed", 1200, (1, 1000))


def test_calls_take_names_lists_structures_and_strings() -> None:
    line = call('0 f(3, SOL_SOCKET|0x10, [1, {a=2, b=C}], {sin_addr = inet_addr("1.2.3.4")}, "x" "\\x41", ...) = -1')
    assert line.arguments[1] == Either((Word("SOL_SOCKET"), 16))
    assert line.arguments[2] == Sequence((1, Structure((("a", 2), ("b", Word("C"))))))
    assert line.arguments[3] == Structure((("sin_addr", Function("inet_addr", (b"1.2.3.4",))),))
    assert line.arguments[4:] == (b"xA", Anything())
    assert line.result == -1


def test_a_message_header_leaves_out_its_counts() -> None:
    line = call("0 sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 10}, {..., 20}], msg_flags=0}, 0) = 30")
    header = line.arguments[1]
    assert isinstance(header, Structure)
    assert header.get("msg_iov") == Sequence((Sequence((Anything(), 10)), Sequence((Anything(), 20))))


def test_an_errno_has_a_note_for_people() -> None:
    line = call("0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)")
    assert (line.result, line.error) == (-1, "EINPROGRESS")
    assert call("0 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)").result == 2


def test_a_blocking_call_says_when_it_returns() -> None:
    assert call("+0...0.3 accept(3, ..., ...) = 4").until == 300 * MILLISECOND


def test_code_and_commands() -> None:
    script = parse("--tolerance_usecs=5\n`first`\n0 `in between`\n+0 %{ assert 1 }%\n`last`")
    assert script.options == (("tolerance_usecs", "5", 1),)
    assert (script.first, script.last) == (CommandLine("first"), CommandLine("last"))
    assert [event.action for event in script.events] == [CommandLine("in between"), CodeLine("assert 1")]


def test_comments_and_conditions_are_no_events() -> None:
    text = "// a\n/* b\n c */ 0 `x`\n#ifdef NO\n0 `no`\n#else\n0 `yes`\n#endif\n# anything\n#ifdef IS\n0 `is`\n#endif"
    commands = [event.action for event in parse(text, defined={"IS": "1"}).events]
    assert commands == [CommandLine("x"), CommandLine("yes"), CommandLine("is")]
    assert [event.line for event in parse(text, defined={"IS": "1"}).events] == [3, 7, 11]


def test_defined_names_stand_for_numbers_strings_and_commands() -> None:
    text = '--define=SIZE=0x64\n--define=CC="reno"\n--define=SETUP=`x`\n0 f(SIZE, CC, OTHER) = SIZE\n0 SETUP'
    line, command = parse(text, defined={"OTHER": "WORD"}).events
    assert isinstance(line.action, CallLine)
    assert line.action.arguments == (100, b"reno", Word("WORD"))
    assert command.action == CommandLine("x")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("0 < S 0:0(0) win 99999", "1:18", "65,535 at most"),
        ("\n\n+0 > . 1:3(1) ack 1", "3:8", "is 2 octets, not 1"),
        ("0 < . 1:1(0) ack 1 <...>", "1:21", "<...>"),
        ("0 < . 1:1(0) <wscal 3>", "1:15", "no TCP option"),
        ("0 < X 1:1(0)", "1:5", "no TCP flag"),
        ("* < . 1:1(0)", "1:1", "for packets that come"),
        ("0.3~0.1 > . 1:1(0)", "1:1", "ends before it begins"),
        ("0 read(3, ..., 10 = 10", "1:19", "')' after the arguments"),
        ("0 read(3, ..., 10) 10", "1:20", "'='"),
        ("0 /* never closed", "1:3", "not closed"),
        ('0 f("abc) = 0', "1:5", "not closed"),
        ("0 `ls", "1:3", "not closed"),
        ("#ifdef A\n0 `x`", "1:1", "no #endif"),
        ("#endif", "1:1", "without #ifdef"),
        ("0 > udp (100)", "1:5", "UDP"),
        ("0 > ipv4 1.1.1.1 > 2.2.2.2: . 1:1(0)", "1:5", "packets in packets"),
        ("0 < [ect01] . 1:1(0)", "1:5", "ect01"),
        (
            "0 f([[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]) = 0",
            "1:",
            "no more than 32 lists",
        ),
        ("999999999 `x`", "1:1", "three years"),
    ],
)
def test_errors_say_where_and_what(text: str, place: str, words: str) -> None:
    with pytest.raises(ScriptError) as raised:
        parse(text, "close.pkt")
    assert str(raised.value).startswith(f"close.pkt:{place}")
    assert words in str(raised.value)


@given(st.text())
def test_no_text_does_worse_than_an_error_with_a_line(text: str) -> None:
    try:
        parse(text, "x.pkt")
    except ScriptError as error:
        assert str(error).split(":")[1].isdigit()


def test_a_hundred_thousand_lines_are_read() -> None:
    lines = "\n".join(f"+0 > . {n}:{n}(0) ack 1 win 5" for n in range(100_000))
    assert len(parse(lines).events) == 100_000
