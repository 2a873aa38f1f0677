from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lastack.script.play import How, play, play_all
from lastack.script.runner import Run
from lastack.wire.pcapng import decode_blocks

Play = Callable[..., Run]

OPEN = """\
0 `sysctl -w net.ipv4.tcp_timestamps=0`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
"""


@pytest.fixture
def played(tmp_path: Path) -> Play:
    def go(text: str, how: How | None = None) -> Run:
        path = tmp_path / "close.pkt"
        path.write_text(text)
        return play(path, how or How())

    return go


def failure(run: Run) -> str:
    assert run.failure is not None
    return str(run.failure)


@pytest.mark.parametrize(
    "rest",
    [
        "+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+.1 < F. 1:1(0) ack 2 win 257\n+0 > . 2:2(0) ack 2",
        "+0 write(4, ..., 2000) = 2000\n+0 > P. 1:2001(2000) ack 1",
        "+0...0.2 read(4, ..., 1000) = 500\n+.2 < P. 1:501(500) ack 1 win 257\n+0 > . 1:1(0) ack 501",
        "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 read(4, ..., 10) = -1 EAGAIN",
        "+0 %{ assert tcpi_state == 1 and tcpi_snd_cwnd == 10 }%",
        "+0 < P. 1:6(5) ack 1 win 257\n+0 > . 1:1(0) ack 6\n+0 ioctl(4, SIOCINQ, [5]) = 0",
        "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1",
        "+0...0.5 poll([{fd=4, events=POLLIN, revents=0}], 1, 500) = 0",
        "+0 < R. 1:1(0) ack 1 win 0\n+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [ECONNRESET], [4]) = 0".replace(
            "ECONNRESET", "104"
        ),
        "+0 < R. 1:1(0) ack 1 win 0\n+0 write(4, ..., 10) = -1 ECONNRESET",
        "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0\n+0 close(4) = 0\n+0 > R. 1:1(0) ack 1",
        "+0 < icmp unreachable frag_needed mtu 1200 [1:1(0)]",
    ],
)
def test_what_goes_as_the_script_says_passes(played: Play, rest: str) -> None:
    run = played(OPEN + rest)
    assert run.passed, failure(run)


@pytest.mark.parametrize(
    ("rest", "line", "words"),
    [
        ("+0 close(4) = 0\n+0 > F. 1:1(0) ack 2", 11, "ACK number: 2 expected, 1 came"),
        ("+0 close(4) = 0\n+0 > . 1:1(0) ack 1", 11, "flags: ACK expected, FIN,ACK came"),
        ("+0 close(4) = 0\n+0 > F. 2:2(0) ack 1", 11, "sequence number: 2 expected, 1 came"),
        ("+0 close(4) = 0\n+0 > F. 1:1(0) ack 1 win 1", 11, "window: 1 expected"),
        ("+0 close(4) = 0\n+0 > F. 1:1(0) ack 1 <nop,nop,TS val 1 ecr 1>", 11, "option TS"),
        ("+0 close(4) = 0\n+.05 > F. 1:1(0) ack 1", 11, "its time is not"),
        ("+0 > . 1:1(0) ack 1", 10, "no packet came"),
        ("+0 read(4, ..., 10) = 10", 10, "has not returned"),
        ("+0...0.2 read(4, ..., 10) = 5\n+.1 < P. 1:6(5) ack 1 win 9", 10, "returned at 0.2"),
        ("+0 write(4, ..., 10) = 11", 10, "11 expected, 10 came"),
        ("+0 write(5, ..., 10) = 10", 10, "EBADF"),
        ("+0 connect(3, ..., ...) = -1 EALREADY", 10, "EISCONN came"),
        ("+0 %{ assert tcpi_snd_cwnd == 11 }%", 10, "tcpi_snd_cwnd is 10"),
        ("+0 fork() = 3", 10, "fork() is not understood"),
        ("+0 write(4, ...) = 3", 10, "more arguments"),
        ("+0 setsockopt(4, SOL_TCP, TCP_WRONG, [1], 4) = 0", 10, "TCP_WRONG is not known"),
        ("+0 send(4, ..., 10, MSG_OOB) = 10", 10, "MSG_DONTWAIT and MSG_NOSIGNAL are"),
        ("+0 recv(4, ..., 10, MSG_WAITALL) = 10", 10, "MSG_PEEK and MSG_OOB are"),
        ("+0 `reboot`", 10, "not understood"),
        ("+0 `sysctl -w net.ipv4.tcp_rmem=0`", 10, "cannot be set to '0'"),
        ("+0 `sysctl -w net.ipv4.tcp_fin_timeout=x`", 10, "cannot be set to 'x'"),
        ("+0 `sysctl -w net.ipv4.tcp_congestion_control=bbr`", 10, "cannot be set to 'bbr'"),
        ("+0 `sysctl -w net.ipv4.tcp_nothing=1`", 10, "no setting"),
        ("+0 < icmp unreachable nonsense [1:1(0)]", 10, "not understood"),
    ],
)
def test_what_does_not_says_the_line_and_the_difference(played: Play, rest: str, line: int, words: str) -> None:
    text = failure(played(OPEN + rest))
    assert f"close.pkt:{line}: " in text
    assert words in text


def test_a_failure_shows_the_packets_before_it(played: Play) -> None:
    text = failure(played(OPEN + "+0 close(4) = 0\n+0 > F. 1:1(0) ack 2"))
    assert "0.100000 < . 1:1(0) ack 1 win 257" in text
    assert "> S. 0:0(0) ack 1" in text


def test_two_runs_are_the_same_octet_for_octet(played: Play) -> None:
    text = OPEN + "+0 write(4, ..., 2000) = 2000\n+0 > P. 1:2001(2000) ack 1"
    first, second = played(text), played(text)
    assert [(p.at, p.packet.encode()) for p in first.packets] == [(p.at, p.packet.encode()) for p in second.packets]


def test_another_seed_is_another_initial_sequence_number(played: Play) -> None:
    first, second = played(OPEN), played(OPEN, How(seed=2))
    assert first.passed and second.passed
    assert first.packets[1].packet.encode() != second.packets[1].packet.encode()


def test_a_relative_time_after_a_range_counts_from_when_the_packet_came(played: Play) -> None:
    rest = (
        "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n"
        "+.1~+.5 > P. 1:101(100) ack 1\n+.01 < . 1:1(0) ack 101 win 9"
    )
    run = played(OPEN + rest)
    assert run.passed, failure(run)
    assert run.packets[-1].at == run.packets[-2].at + 10_000_000


def test_ports_keep_two_connections_apart(played: Play) -> None:
    rest = (
        "+0 < 41000 > 8080 S 9:9(0) win 1000 <mss 1000>\n+0 > 8080 > 41000 S. 0:0(0) ack 10 <mss 1460>\n"
        "+0 < 41000 > 8080 . 10:10(0) ack 1 win 1000\n+0 accept(3, ..., ...) = 5\n"
        "+0 write(5, ..., 7) = 7\n+0 > 8080 > 41000 P. 1:8(7) ack 10"
    )
    run = played(OPEN + rest)
    assert run.passed, failure(run)


def test_the_first_of_several_numbers_may_be_set_alone(played: Play) -> None:
    sysctl = "0 `sysctl -w net.ipv4.tcp_wmem=5000 net.ipv4.ip_local_reserved_ports=8080-8090,9000`\n"
    assert played(sysctl + OPEN).passed


def test_ipv6_has_addresses_of_its_own(played: Play) -> None:
    text = "--ip_version=ipv6\n" + OPEN.replace(
        "+0 > S. 0:0(0) ack 1 <...>", "+0 > S. 0:0(0) ack 1 <mss 1440,nop,nop,sackOK,nop,wscale 10>"
    )
    run = played(text)
    assert run.passed, failure(run)
    assert len(run.packets[0].packet.source) == 16


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\0rubbish", b"--mtu=abc\n0 `x`", b"--mtu=7\n0 `x`", b"--unknown=3\n0 `x`", b"\0" * 100]
)
def test_a_file_that_is_no_script_fails_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rubbish.pkt"
    path.write_bytes(content)
    assert str(play(path).failure).startswith(str(path))


def test_a_missing_file_fails_with_its_name(tmp_path: Path) -> None:
    assert "No such file" in failure(play(tmp_path / "gone.pkt"))


def test_the_script_on_the_page_passes(played: Play) -> None:
    page = Path(__file__).parents[3] / "docs" / "scripts.md"
    script = next(block for block in page.read_text().split("```")[1::2] if block.startswith("\n//"))
    assert played(script, How(exact=True)).passed


def test_a_shell_is_asked_only_where_that_is_allowed(played: Play, tmp_path: Path) -> None:
    made = tmp_path / "made"
    text = OPEN + f"+0 `touch {made}`"
    assert not played(text).passed
    assert not made.exists()
    assert played(text, How(shell=True)).passed
    assert made.exists()


def test_python_is_run_only_where_that_is_allowed(played: Play) -> None:
    text = OPEN + "+0 %{\nimport sys\nassert tcpi_snd_cwnd == 10\n}%"
    assert not played(text).passed
    assert played(text, How(python=True)).passed


def test_many_scripts_run_in_parallel_and_are_told_in_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n:02}.pkt" for n in range(20)]
    for number, path in enumerate(paths):
        path.write_text(OPEN if number % 2 else OPEN + "+0 > . 1:1(0) ack 1")
    runs = list(play_all(paths, jobs=2))
    assert [run.path for run in runs] == [str(path) for path in paths]
    assert [run.passed for run in runs] == [bool(n % 2) for n in range(20)]


def test_the_trace_is_a_capture_with_the_lines_as_comments(played: Play, tmp_path: Path) -> None:
    from lastack.script.report import write_pcapng

    write_pcapng(played(OPEN), str(tmp_path / "x.pcapng"))
    blocks = list(decode_blocks((tmp_path / "x.pcapng").read_bytes()))
    assert len(blocks) == 2 + 3
    assert b"> S. 0:0(0) ack 1" in blocks[3].body
