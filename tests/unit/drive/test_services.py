"""The small servers and the client, in virtual time: two stacks of ours, no kernel."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.drive import Application, SimSocket, Simulator
from lastack.drive.services import Chargen, Discard, Echo, Fetch, Files, FileServer, Relay
from lastack.drive.services.client import Address
from lastack.drive.services.message import MOST_HEAD
from lastack.errors import CallError
from lastack.model.time import MILLISECOND, SECOND

SECRET = b"not for everybody"


class Net:
    """A server with one service on port 80, and a client that speaks octets to it."""

    def __init__(self, make: Callable[[], Application], **link: Any) -> None:
        self.sim = Simulator(seed=7)
        self.client = self.sim.host("client", "10.0.0.1")
        self.server = self.sim.host("server", "10.0.0.2")
        self.link = self.sim.link(self.client, self.server, delay=MILLISECOND, **link)
        self.server.serve(80, make)

    def connect(self) -> SimSocket:
        return self.client.connect("10.0.0.2", 80)

    def say(self, *parts: bytes, shut: bool = True) -> bytes:
        """Say so much, each part a while after the one before, and hear everything until the end."""
        socket = self.connect()
        heard = bytearray()
        for part in parts:
            rest = part
            while rest:
                self.sim.run(at_most=20 * MILLISECOND)
                rest = rest[socket.send(rest) :]
                heard += socket.receive() or b""
        if shut:
            socket.shutdown()
        while True:
            data = self.sim.run_until(lambda: [found] if (found := socket.receive()) is not None else None)[0]
            if not data:
                break
            heard += data
        socket.close()
        return bytes(heard)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "docs").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "file.txt").write_bytes(bytes(range(256)) * 1000)
    (root / "none.bin").write_bytes(b"")
    (root / "docs" / "index.html").write_text("<p>welcome")
    (root / "empty" / "a <b> & 100%.txt").write_text("x")
    (tmp_path / "secret").write_bytes(SECRET)
    (root / "way-out").symlink_to(tmp_path / "secret")
    (root / "way-in").symlink_to(root / "file.txt")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def net(site: Path) -> Net:
    files = Files(site)
    return Net(lambda: FileServer(files))


def get(target: str, *fields: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join((f"{method} {target} {version}", "Host: x", *fields, "", "")).encode("latin-1")


def split(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").split("\r\n")
    return int(start.split()[1]), dict(line.split(": ", 1) for line in lines), body


def statuses(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1.1 ([0-9]{3}) ", answers)]


# -- HTTP


def test_a_file_comes_whole_with_its_length_and_type(net: Net, site: Path) -> None:
    status, fields, body = split(net.say(get("/file.txt")))
    assert status == 200
    assert body == (site / "file.txt").read_bytes()
    assert (fields["Content-Length"], fields["Content-Type"]) == ("256000", "text/plain")


def test_a_head_has_the_fields_and_no_body(net: Net) -> None:
    status, fields, body = split(net.say(get("/file.txt", method="HEAD")))
    assert (status, fields["Content-Length"], body) == (200, "256000", b"")


@pytest.mark.parametrize(
    ("asked", "status", "octets"),
    [
        ("bytes=0-0", 206, b"\x00"),
        ("bytes=255999-", 206, b"\xff"),
        ("bytes=-2", 206, b"\xfe\xff"),
        ("bytes=255998-999999", 206, b"\xfe\xff"),
        ("bytes=256000-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-2", 200, None),
        ("bytes=0-1,5-6", 200, None),
        ("lines=1-2", 200, None),
        ("bytes=-", 200, None),
    ],
)
def test_a_range_is_answered_with_that_part(net: Net, asked: str, status: int, octets: bytes | None) -> None:
    found, fields, body = split(net.say(get("/file.txt", f"Range: {asked}")))
    assert found == status
    assert int(fields["Content-Length"]) == len(body)
    if octets is not None:
        assert body == octets
    if status == 416:
        assert fields["Content-Range"] == "bytes */256000"


def test_a_range_of_another_version_of_the_file_is_the_whole(net: Net) -> None:
    _, fields, _ = split(net.say(get("/file.txt")))
    part = ("Range: bytes=0-0", f"If-Range: {fields['Last-Modified']}")
    assert split(net.say(get("/file.txt", *part)))[0] == 206
    assert split(net.say(get("/file.txt", part[0], "If-Range: Thu, 01 Jan 1970 00:00:00 GMT")))[0] == 200
    assert split(net.say(get("/file.txt", f"If-Modified-Since: {fields['Last-Modified']}")))[0] == 304


def test_requests_on_one_connection_are_answered_in_their_order(net: Net) -> None:
    answers = net.say(get("/file.txt") + get("/none.bin") + get("/missing") + get("/docs/"))
    assert statuses(answers) == [200, 200, 404, 200]
    assert answers.endswith(b"<p>welcome")


def test_a_thousand_requests_in_one_piece_are_answered(net: Net) -> None:
    assert statuses(net.say(get("/none.bin") * 1000)) == [200] * 1000


def test_a_request_may_come_octet_by_octet(net: Net) -> None:
    assert statuses(net.say(*(bytes((octet,)) for octet in get("/none.bin")))) == [200]


def test_who_does_not_keep_the_connection_is_closed_by_the_server(net: Net) -> None:
    for request in (get("/none.bin", "Connection: close"), get("/none.bin", version="HTTP/1.0")):
        status, fields, _ = split(net.say(request, shut=False))
        assert (status, fields["Connection"]) == (200, "close")
    assert "TIME_WAIT" in [state.name for state in net.sim.trace.states("server", 1)]


def test_http_1_0_may_ask_to_be_kept(net: Net) -> None:
    request = get("/none.bin", "Connection: Keep-Alive", version="HTTP/1.0")
    assert statuses(net.say(request * 2)) == [200, 200]


@pytest.mark.parametrize(
    "target",
    [
        "/../secret",
        "/docs/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "//../secret",
        "/way-out",
        "/pipe",
        "/file.txt%00.html",
        "/file.txt/",
        "/docs/%2e%2e/file.txt",
        "secret",
        "/" + "a" * 5000,
        "/" + "%ff" * 300,
    ],
)
def test_what_is_not_below_the_root_is_not_there(net: Net, target: str) -> None:
    status, _, body = split(net.say(get(target)))
    assert status == 404
    assert SECRET not in body


def test_a_link_within_the_root_is_followed(net: Net) -> None:
    assert len(split(net.say(get("/way-in")))[2]) == 256_000


def test_a_directory_is_its_index_or_a_list_of_its_files(net: Net) -> None:
    assert split(net.say(get("/docs/")))[2] == b"<p>welcome"
    status, fields, _ = split(net.say(get("/docs")))
    assert (status, fields["Location"]) == (301, "/docs/")
    status, _, page = split(net.say(get("/empty/?sort=name")))
    assert status == 200
    assert b'<a href="a%20%3Cb%3E%20%26%20100%25.txt">a &lt;b&gt; &amp; 100%.txt</a>' in page


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET /none.bin HTTP/1.1\r\n\r\n", 400),
        (get("/none.bin", "no colon"), 400),
        (get("/none.bin", "Na me: x"), 400),
        (get("/none.bin", "Content-Length: one"), 400),
        (get("/none.bin", "Content-Length: 1", "Content-Length: 2"), 400),
        (get("/none.bin", "Transfer-Encoding: chunked"), 501),
        (get("/none.bin", method="POST"), 405),
        (b"GET /" + b"a" * MOST_HEAD, 431),
        (b"HTTP/1.1 200 OK\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(net: Net, request_: bytes, status: int) -> None:
    answer = net.say(request_ + b"more" * 1000, shut=False)
    assert statuses(answer) == [status]
    assert split(answer)[1]["Connection"] == "close"


def test_the_body_of_a_request_is_passed_over(net: Net) -> None:
    body = b"GET /missing HTTP/1.1\r\n\r\n" * 100
    answers = net.say(get("/none.bin", f"Content-Length: {len(body)}") + body + get("/docs/"))
    assert statuses(answers) == [200, 200]


def test_who_goes_on_talking_after_the_last_answer_is_cut_off(net: Net) -> None:
    socket = net.connect()
    net.sim.run(at_most=SECOND)
    with pytest.raises(CallError):
        for _ in range(1000):
            socket.send(b"POST / HTTP/1.1\r\n\r\n" * 10_000)
            net.sim.run(at_most=SECOND)
    assert not net.server.stack.host.sockets


def test_a_file_that_shrinks_meanwhile_ends_in_a_reset(net: Net, site: Path) -> None:
    (site / "large").write_bytes(bytes(20_000_000))
    socket = net.connect()
    socket.send(get("/large"))
    net.sim.run_until(socket.receive)
    os.truncate(site / "large", 0)
    with pytest.raises(CallError, match="ECONNRESET"):
        net.sim.run_until(lambda: socket.receive() and None)


def test_a_client_that_reads_nothing_costs_the_server_little(net: Net, site: Path) -> None:
    (site / "large").write_bytes(bytes(50_000_000))
    descriptors = Path("/proc/self/fd")
    open_before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    sockets = [net.connect() for _ in range(20)]
    for socket in sockets:
        socket.send(get("/large") * 50)
    net.sim.run(at_most=10 * SECOND)
    held = sum(len(one.connection.sender.buffer) for one in net.server.stack.host.sockets.values())
    assert held < 20 * 4_194_304
    for socket in sockets:
        socket.abort()
    net.sim.run(at_most=10 * SECOND)
    if open_before:
        assert len(list(descriptors.iterdir())) == open_before


WORDS = (
    *(b"GET ", b"HEAD ", b"POST ", b"/ ", b"/conftest.py ", b"/%2e%2e/ ", b"* ", b"/%zz\xff ", b"http://x/ "),
    *(b"HTTP/1.1\r\n", b"HTTP/1.0\r\n", b"HTTP/1.9\n", b"Host: x\r\n", b"\r\n", b"\n", b": ", b"\0", b"\xff"),
    *(b"Range: ", b"bytes=1-2", b"bytes=-9,", b"If-Range: ", b"If-Modified-Since: ", b"Thu, 1 Jan 99999", b"Jan "),
    *(b"Content-Length: ", b"7", b"99999999999999", b"Connection: ", b"close", b"Transfer-Encoding: chunked\r\n"),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_whatever_is_asked_the_server_stands_and_lets_go(words: list[bytes]) -> None:
    files = Files(Path(__file__).parent)
    net = Net(lambda: FileServer(files))
    socket = net.connect()
    net.sim.run(at_most=10 * MILLISECOND)
    socket.send(b"".join(words))
    socket.shutdown()
    net.sim.run(at_most=10 * SECOND)
    assert not net.server.stack.host.sockets


# -- the client


def fetch(net: Net, target: str = "/file.txt") -> tuple[Fetch, bytes]:
    heard = bytearray()
    asking = Fetch(Address(f"10.0.0.2{target}"), heard.extend)
    net.client.connect("10.0.0.2", 80, asking)
    net.sim.run_until(lambda: asking.done)
    return asking, bytes(heard)


@pytest.mark.parametrize("link", [{}, {"loss": 0.05}])
def test_what_is_fetched_is_what_is_served(site: Path, link: dict[str, Any]) -> None:
    files = Files(site)
    asking, heard = fetch(Net(lambda: FileServer(files), **link))
    assert (asking.error, asking.status) == (None, 200)
    assert hashlib.sha256(heard).digest() == hashlib.sha256((site / "file.txt").read_bytes()).digest()


class Canned(Application):
    """Answers anything with fixed octets and closes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def on_readable(self, socket: Any, now: int) -> None:
        if socket.receive(1 << 16, now):
            socket.send(self.answer, now)
            socket.close(now)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200\r\nContent-Length: 2\r\n\r\nokjunk", b"ok"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: t\r\n\r\n",
         b"abc0123456789"),
    ],
)  # fmt: skip
def test_every_way_to_end_a_body_is_understood(answer: bytes, body: bytes) -> None:
    asking, heard = fetch(Net(lambda: Canned(answer)))
    assert (asking.error, heard) == (None, body)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "cannot be read"),
        (b"GET / HTTP/1.1\r\n\r\n", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\n", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "in the middle, after 5 octets"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000, "cannot be read"),
        (b"a" * 40_000, "cannot be read"),
    ],
)
def test_an_answer_that_is_none_is_an_error_that_says_so(answer: bytes, says: str) -> None:
    asking, _ = fetch(Net(lambda: Canned(answer)))
    assert asking.error is not None
    assert says in asking.error


def test_nobody_there_is_an_error_that_says_so() -> None:
    net = Net(Echo)
    asking = Fetch(Address("10.0.0.2:81"), lambda _: None)
    net.client.connect("10.0.0.2", 81, asking)
    net.sim.run_until(lambda: asking.done)
    assert asking.error == "the connection failed: ECONNREFUSED"


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "http://x:port/", "https://x/", "http://[::1"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(CallError, match="URL"):
        Address(url)


def test_a_url_is_taken_apart() -> None:
    address = Address("http://user:word@[fd09::1]:8080/a b?q=1#part")
    assert (address.host, address.port, address.target, address.name) == (
        "fd09::1",
        8080,
        "/a%20b?q=1",
        "[fd09::1]:8080",
    )


# -- the small ones


def test_an_echo_is_what_was_said_however_much_and_however_slowly_it_is_read() -> None:
    said = os.urandom(3_000_000)
    assert Net(Echo).say(said) == said


def test_an_echo_holds_no_more_than_its_buffers_when_nobody_listens() -> None:
    net = Net(Echo)
    socket = net.connect()
    sent = 0
    for _ in range(300):
        net.sim.run(at_most=100 * MILLISECOND)
        sent += socket.send(bytes(1 << 20))
    held = net.server.stack.host.sockets.values()
    tcbs = [one.connection for one in held]
    assert sum(len(tcb.sender.buffer) + tcb.receiver.unread for tcb in tcbs) < 40_000_000
    assert sent < 100_000_000


def test_discard_says_nothing_and_closes_after_us() -> None:
    assert Net(Discard).say(bytes(1_000_000)) == b""


def test_chargen_goes_round_the_printable_characters_until_it_is_left() -> None:
    net = Net(Chargen)
    socket = net.connect()
    heard = b""
    while len(heard) < 200_000:
        heard += net.sim.run_until(socket.receive)
    lines = heard.split(b"\r\n")
    assert lines[0] == bytes(range(0x20, 0x68))
    assert lines[1] == bytes(range(0x21, 0x69))
    assert lines[95] == lines[0]
    socket.abort()
    net.sim.run(at_most=SECOND)
    assert not net.server.stack.host.sockets


# -- the relay


class Way:
    """A client, a relay, and a server behind it, a while away from each other."""

    def __init__(self) -> None:
        self.sim = Simulator(seed=9)
        self.client = self.sim.host("client", "10.0.0.1")
        self.relay = self.sim.host("relay", "10.0.0.2")
        self.server = self.sim.host("server", "10.0.0.3")
        self.sim.link(self.client, self.relay, delay=MILLISECOND)
        self.sim.link(self.relay, self.server, delay=50 * MILLISECOND)
        self.relay.serve(80, lambda: Relay(self.relay.stack, ("10.0.0.3", 80)))
        self.listener = self.server.listen(80)
        self.here = self.client.connect("10.0.0.2", 80)

    def is_over(self) -> bool:
        self.sim.run(at_most=300 * SECOND)
        return not self.relay.stack.host.sockets and not self.relay.stack.waiting()


def test_a_relay_passes_everything_on_both_ways_and_both_ends() -> None:
    way = Way()
    said = os.urandom(1_000_000)
    way.here.send(said[:1000])
    there = way.sim.run_until(way.listener.accept)
    assert way.sim.run_until(there.receive) == said[:1000]
    way.here.shutdown()
    way.sim.run(at_most=SECOND)
    assert there.receive() == b""
    rest, heard = said, b""
    while len(heard) < len(said):
        rest = rest[there.send(rest) :]
        way.sim.run(at_most=100 * MILLISECOND)
        heard += way.here.receive() or b""
    assert heard == said
    there.close()
    way.sim.run(at_most=SECOND)
    assert way.here.receive() == b""
    way.here.close()
    assert way.is_over()


@pytest.mark.parametrize("when", [0, 5, 60, 110, 1000])
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_relay_passes_a_reset_on_whenever_it_comes(side: str, when: int) -> None:
    way = Way()
    way.sim.run(at_most=when * MILLISECOND)
    if side == "client":
        way.here.abort()
    else:
        way.listener.close()
    assert way.is_over()
    assert not way.client.stack.host.sockets
    assert not [one for one in way.server.stack.host.sockets.values() if one.accepted]


def test_a_relay_reads_no_more_than_is_taken_at_the_other_end() -> None:
    way = Way()
    sent = 0
    for _ in range(200):
        way.sim.run(at_most=100 * MILLISECOND)
        sent += way.here.send(bytes(1 << 20))
    assert way.listener.accept() is not None
    assert sent < 50_000_000
