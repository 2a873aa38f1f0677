"""Blocking sockets of ours and the kernel's at either end of a TUN device: what a Python programmer expects of them."""

from __future__ import annotations

import errno
import hashlib
import http.client
import http.server
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lastack.drive.blocking import BlockingSocket, Driver, real_stack
from lastack.drive.services import Echo
from lastack.drive.tun import TunDevice
from lastack.errors import KernelError
from lastack.linux.namespaces import Namespace
from lastack.linux.tun import Tun
from lastack.model.state import State
from lastack.tcp import SocketOptions
from lastack.wire import Packet

pytestmark = pytest.mark.root

KERNEL, OURS = {4: "10.9.0.1", 6: "fd09::1"}, {4: "10.9.0.2", 6: "fd09::2"}
PATIENCE = 20


@pytest.fixture
def driver(private_network: Namespace, request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Ours on a device with offload, unless a test asks for another."""
    offload = getattr(request, "param", True)
    with TunDevice(Tun([f"{KERNEL[4]}/24", f"{KERNEL[6]}/64"], offload=offload)) as device:
        yield Driver(real_stack([OURS[4], OURS[6]]), device)


@pytest.fixture
def pair(driver: Driver) -> Iterator[tuple[BlockingSocket, socket.socket]]:
    """A connection that we opened, and the kernel's end of it."""
    with socket.create_server((KERNEL[4], 80)) as listener:
        ours = driver.connect((KERNEL[4], 80), timeout=PATIENCE)
        theirs, _ = listener.accept()
    with theirs:
        theirs.settimeout(PATIENCE)
        yield ours, theirs


def beside(driver: Driver, task: Callable[[], None]) -> None:
    """Do something with the kernel's sockets, in a thread, and drive ours meanwhile."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            task()
        except BaseException as error:  # handed on to the test
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    end = time.monotonic() + PATIENCE
    while thread.is_alive():
        assert time.monotonic() < end
        driver.step(0.01)
    if errors:
        raise errors[0]


# -- octets


@pytest.mark.parametrize("driver", [False, True], indirect=True, ids=["plain", "offload"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_large_transfer_arrives_whole_both_ways(driver: Driver, family: int) -> None:
    driver.serve(7, Echo)
    sent, got = os.urandom(3_000_000), hashlib.sha256()

    def talk() -> None:
        with socket.create_connection((OURS[family], 7), timeout=PATIENCE) as theirs:

            def speak() -> None:
                theirs.sendall(sent)
                theirs.shutdown(socket.SHUT_WR)

            threading.Thread(target=speak).start()
            while data := theirs.recv(1 << 16):
                got.update(data)

    beside(driver, talk)
    assert got.digest() == hashlib.sha256(sent).digest()
    assert isinstance(driver.device, TunDevice)
    assert driver.device.lost == 0


def test_with_offload_64_kib_go_through_at_once(driver: Driver) -> None:
    driver.serve(7, Echo)
    sizes: list[int] = []
    assert isinstance(driver.device, TunDevice)
    receive, transmit = driver.device.receive, driver.device.transmit
    driver.device.receive = lambda limit: [note(packet) for packet in receive(limit)]  # type: ignore[method-assign]
    driver.device.transmit = lambda packet: transmit(note(packet))  # type: ignore[method-assign]

    def note(packet: Packet) -> Packet:
        if packet.segment is not None:
            sizes.append((1 if packet.destination[-1] == 1 else -1) * len(packet.segment.payload))
        return packet

    def talk() -> None:
        with socket.create_connection((OURS[4], 7), timeout=PATIENCE) as theirs:
            threading.Thread(target=lambda: theirs.sendall(bytes(5_000_000))).start()
            left = 5_000_000
            while left:
                left -= len(theirs.recv(1 << 20))

    beside(driver, talk)
    assert max(sizes) > 60_000
    assert min(sizes) < -60_000


def test_each_half_is_closed_by_itself(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.sendall(b"the last of ours")
    ours.shutdown(socket.SHUT_WR)
    assert theirs.recv(100) == b"the last of ours"
    assert theirs.recv(100) == b""
    theirs.sendall(b"the last of theirs")
    assert ours.recv(8) == b"the last"
    room = bytearray(20)
    assert ours.recv_into(room) == 10
    assert bytes(room[:10]) == b" of theirs"
    theirs.close()
    assert ours.recv() == b""
    assert ours.recv() == b""
    assert ours.state is State.TIME_WAIT


def test_names_are_those_of_both_ends(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    assert (ours.getsockname().addr, ours.getsockname().port) == theirs.getpeername()
    assert (ours.getpeername().addr, ours.getpeername().port) == theirs.getsockname()
    assert ours.info().state is State.ESTABLISHED


def test_we_accept_too(driver: Driver) -> None:
    with driver.listen((OURS[4], 80)) as listener, socket.socket() as theirs:
        theirs.setblocking(False)
        assert theirs.connect_ex((OURS[4], 80)) == errno.EINPROGRESS
        with listener.accept(PATIENCE) as ours:
            ours.sendall(b"welcome")
            assert theirs.recv(100) == b"welcome"
            assert ours.getsockname().port == listener.getsockname().port == 80
        with pytest.raises(TimeoutError):
            listener.accept(0.01)
        with pytest.raises(OSError, match="in use") as refused:
            driver.listen(80)
        assert refused.value.errno == errno.EADDRINUSE
    driver.listen(81).close()
    driver.listen(81).close()


def test_who_waits_drives_everybody_else(driver: Driver) -> None:
    driver.serve(7, Echo)
    with socket.create_server((KERNEL[4], 80)) as listener:
        ours = driver.connect((KERNEL[4], 80), timeout=PATIENCE)
        theirs, _ = listener.accept()

    def relay() -> None:
        with socket.create_connection((OURS[4], 7), timeout=PATIENCE) as other, theirs:
            other.sendall(b"by way of the echo")
            theirs.sendall(other.recv(100))

    thread = threading.Thread(target=relay)
    thread.start()
    assert ours.recv(100) == b"by way of the echo"
    thread.join()


def test_http_client_takes_it_for_a_socket(driver: Driver) -> None:
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello " * 10_000)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer((KERNEL[4], 80), Hello) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client = http.client.HTTPConnection(KERNEL[4], 80)
        client.sock = driver.connect((KERNEL[4], 80), timeout=PATIENCE)
        client.request("GET", "/")
        answer = client.getresponse()
        # HTTP/1.0: the connection was given up already, and is read to its end all the same.
        assert answer.read() == b"hello " * 10_000
        answer.close()
        server.shutdown()
        thread.join()


def test_files_read_and_write(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    with ours.makefile("rw", newline="\n") as lines:
        lines.write("one\ntwo\n")
        lines.flush()
        assert theirs.recv(100) == b"one\ntwo\n"
        theirs.sendall(b"three\nfo")
        assert lines.readline() == "three\n"
        ours.close()
        theirs.sendall(b"ur\n")
        assert lines.readline() == "four\n"
    assert theirs.recv(100) == b""
    with pytest.raises(OSError, match="Bad file descriptor"):
        ours.recv()


# -- errors


def test_nobody_listens(driver: Driver) -> None:
    with pytest.raises(ConnectionRefusedError):
        driver.connect((KERNEL[4], 81), timeout=PATIENCE)


def test_nobody_answers(driver: Driver) -> None:
    # What we send to an address that the kernel has not is not forwarded.
    with pytest.raises(TimeoutError):
        driver.connect(("10.9.0.77", 80), timeout=0.05)


def test_the_peer_resets(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(ConnectionResetError):
        ours.recv()
    with pytest.raises(BrokenPipeError):
        ours.sendall(b"too late")


def test_patience_is_what_was_set(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    assert ours.gettimeout() == PATIENCE
    ours.settimeout(0.05)
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        ours.recv()
    assert time.monotonic() - before >= 0.05
    ours.settimeout(0)
    with pytest.raises(BlockingIOError):
        ours.recv()
    with pytest.raises(BlockingIOError):
        for _ in range(1000):
            ours.send(bytes(1 << 20))
    theirs.sendall(b"here")
    ours.settimeout(PATIENCE)
    assert ours.recv() == b"here"


def test_a_writer_waits_for_a_slow_reader(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    octets = 30_000_000
    counted: list[int] = []

    def read() -> None:
        left = octets
        while left:
            left -= len(theirs.recv(100_000))
        counted.append(octets)

    thread = threading.Thread(target=read)
    thread.start()
    ours.sendall(bytes(octets))
    ours.shutdown("write")
    # What is queued leaves while somebody waits.
    theirs_done = time.monotonic() + PATIENCE
    while thread.is_alive():
        assert time.monotonic() < theirs_done
        ours._driver.step(0.01)
    assert counted == [octets]


def test_a_socket_that_was_closed_is_none(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.close()
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        ours.send(b"x")
    assert theirs.recv(1) == b""


def test_shutting_down_what_is_gone_is_refused(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.abort()
    with pytest.raises(ConnectionResetError):
        theirs.recv(1)
    with pytest.raises(OSError, match="not connected"):
        ours.shutdown("both")


def test_options_are_taken(driver: Driver) -> None:
    with socket.create_server((KERNEL[4], 80)):
        options = SocketOptions(tcp_nodelay=True)
        ours = driver.connect((KERNEL[4], 80), PATIENCE, options=options, local=(OURS[4], 4321))
        assert ours.options.tcp_nodelay
        assert ours.getsockname().port == 4321
        with pytest.raises(OSError, match=r"assign requested address|in use"):
            driver.connect((KERNEL[4], 80), PATIENCE, local=(OURS[4], 4321))


# -- the driver


def test_time_out_and_timers_end_a_wait(driver: Driver) -> None:
    assert driver.step(0.01) in (False, True)
    driver.run(0.02)
    assert not driver.step(0)
    driver.stack.connect(("10.9.0.77", 80), driver.now())
    driver.flush()
    # Nothing can come but the SYN's own timer.
    while not driver.step(None):
        pass
    assert driver.stack.counters.TcpRetransSegs <= 1


def test_other_descriptors_are_watched(driver: Driver) -> None:
    here, there = socket.socketpair()
    heard: list[bytes] = []
    with here, there:
        driver.watch(here.fileno(), lambda: heard.append(here.recv(10)))
        there.send(b"key")
        driver.run_until(lambda: heard, PATIENCE)
        driver.unwatch(here.fileno())
        there.send(b"unheard")
        driver.run(0.01)
    assert heard == [b"key"]


def test_chance_is_not_the_same_twice() -> None:
    first, second = real_stack(["10.0.0.1"]), real_stack(["10.0.0.1"])
    one, two = (stack.connect(("10.0.0.2", 80), 0).connection.sender.iss for stack in (first, second))
    assert one != two


def test_a_device_that_went_down_loses_packets_and_ends_nothing(driver: Driver) -> None:
    assert isinstance(driver.device, TunDevice)
    with socket.create_server((KERNEL[4], 80)) as listener:
        ours = driver.connect((KERNEL[4], 80), timeout=PATIENCE)
        theirs, _ = listener.accept()
        with theirs:
            subprocess.run(["ip", "link", "set", driver.device.tun.name, "down"], check=True, timeout=10)
            ours.sendall(b"through")
            driver.run(0.01)
            assert driver.device.lost > 0
            subprocess.run(["ip", "link", "set", driver.device.tun.name, "up"], check=True, timeout=10)
            theirs.setblocking(False)

            def heard() -> bytes | None:
                try:
                    return theirs.recv(100)
                except BlockingIOError:
                    return None

            assert driver.run_until(heard, PATIENCE) == b"through"


def test_a_device_that_was_deleted_is_an_error_and_no_endless_loop(driver: Driver) -> None:
    assert isinstance(driver.device, TunDevice)
    subprocess.run(["ip", "link", "delete", driver.device.tun.name], check=True, timeout=10)
    with pytest.raises(KernelError, match="gives no packets"):
        driver.run(1)
    with pytest.raises(KernelError, match="does not take a packet"):
        driver.connect((KERNEL[4], 80), timeout=1)


def test_what_is_neither_tcp_nor_icmp_is_dropped(driver: Driver) -> None:
    assert isinstance(driver.device, TunDevice)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"UDP", (OURS[4], 9))
    driver.run(0.01)
    assert driver.device.strange >= 1
