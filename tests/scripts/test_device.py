"""Somebody else's stack behind a device, which is played by our own: nothing but the device's methods leads to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lastack.drive.blocking import Driver
from lastack.drive.pump import Device, soonest
from lastack.drive.services.plain import Echo
from lastack.drive.station import Station
from lastack.drive.tun import TunDevice
from lastack.errors import CallError
from lastack.linux.namespaces import Namespace
from lastack.linux.tun import Tun
from lastack.model.time import SECOND, Nanos
from lastack.script.device import Blocks, DeviceTarget
from lastack.script.engine_sockets import EngineSockets
from lastack.script.play import How, play
from lastack.script.target import Pending, Sockets
from lastack.stack.dice import Dice
from lastack.stack.stack import Stack
from lastack.wire.flags import SYN
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet, decode_packet
from lastack.wire.segment import Segment

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.rglob("*.pkt"))
LOCAL = "192.168.0.1"
ECHO = """\
0 < S 0:0(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+0 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4
+.05 < P. 1:6(5) ack 1 win 1000
+0 > P. 1:6(5) ack 6
+0 read(4, ..., 5) = 77
+0 %{ assert tcpi_state == 99 }%
+0 < F. 6:6(0) ack 6 win 1000
+0 > F. 6:6(0) ack 7
+0 < . 7:7(0) ack 7 win 1000
"""


class Virtual(Device):
    """A stack with a clock of its own."""

    def __init__(self) -> None:
        self.now: Nanos = 3600 * SECOND
        self.stack = Stack([LOCAL], None, Dice(1))
        self.sockets = EngineSockets(self.stack, lambda: self.now)
        self.calls = {name: self.call(getattr(self.sockets, name)) for name in Sockets.__abstractmethods__}

    def call(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A system call, which waits for nothing any more once it has ended."""

        def made(*given: Any) -> Any:
            self.sockets.wake = None
            try:
                result = method(*given)
            except OSError:
                self.over()
                raise
            self.over()
            return result

        return made

    def over(self) -> None:
        self.sockets.current, self.sockets.wake = Pending(), None

    def receive(self, limit: int) -> list[Packet]:
        found: list[Packet] = []
        while len(found) < limit and (packet := self.stack.poll(self.now)) is not None:
            # Octets alone go over, as they would to a stack in another language.
            found.append(decode_packet(packet.encode()))
        return found

    def transmit(self, packet: Packet) -> None:
        self.stack.on_packet(decode_packet(packet.encode()), self.now)

    def wait(self, left: Nanos) -> None:
        due = soonest(self.stack.next_timeout(), self.sockets.wake)
        self.now = self.now + left if due is None else max(self.now, min(due, self.now + left))
        self.stack.on_timeout(self.now)

    def set_sysctl(self, name: str, value: str) -> None:
        leaf = name.rpartition(".")[2]
        present = getattr(self.stack.settings, leaf)
        numbers = tuple(int(word) for word in value.split())
        setattr(self.stack.settings, leaf, numbers if isinstance(present, tuple) else numbers[0])

    def target(self, calls: dict[str, Callable[..., Any]] | None) -> DeviceTarget:
        return DeviceTarget(self, calls, clock=lambda: self.now, wait=self.wait)


@pytest.mark.parametrize(
    "path", [path for path in SCRIPTS if "Only on the kernel" not in path.read_text()], ids=lambda path: path.stem
)
def test_a_stack_behind_a_device_passes_what_it_passes_itself(path: Path) -> None:
    device = Virtual()
    run = play(path, How(exact=True), device.target(device.calls | {"set_sysctl": device.set_sysctl}))
    assert run.passed, str(run.failure)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "echo.pkt"
    path.write_text(ECHO)
    return path


class Queue(Device):
    """The other end of a device: what was transmitted to the stack, and what it has sent."""

    def __init__(self) -> None:
        self.arrived: list[Packet] = []
        self.sent: list[Packet] = []

    def receive(self, limit: int) -> list[Packet]:
        found, self.arrived = self.arrived[:limit], self.arrived[limit:]
        return found

    def transmit(self, packet: Packet) -> None:
        self.sent.append(packet)


class Echoing(Virtual):
    """The same with somebody on the stack who accepts, and sends back what comes."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.station = Station(self.stack, self.queue)
        self.station.serve(8080, Echo)

    def receive(self, limit: int) -> list[Packet]:
        self.station.advance(self.now)
        found, self.queue.sent = self.queue.sent[:limit], self.queue.sent[limit:]
        return found

    def transmit(self, packet: Packet) -> None:
        self.queue.arrived.append(packet)


def test_without_calls_the_packet_lines_alone_decide(script: Path) -> None:
    device = Echoing()
    run = play(script, target=device.target(None))
    assert run.passed, str(run.failure)


def test_what_a_call_gives_is_looked_at_where_there_is_one(script: Path) -> None:
    asked: list[int] = []

    def receive(fd: int, limit: int, flags: int) -> bytes:
        asked.append(fd)
        return b"12345"

    run = play(script, target=Echoing().target({"receive": receive}))
    # accept() was passed over: its descriptor is what the script calls it.
    assert asked == [4]
    assert "read() = 77 expected, 5 came" in str(run.failure)


def test_a_call_that_waits_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "waits.pkt"
    path.write_text("0...0.1 read(3, ..., 10) = 4\n")
    device = Virtual()

    def receive(fd: int, limit: int, flags: int) -> bytes:
        if device.now < 3600 * SECOND + SECOND // 10:
            raise Blocks
        return b"four"

    run = play(path, target=device.target({"receive": receive}))
    assert run.passed, str(run.failure)
    assert "has not returned" in str(play(path, target=Virtual().target({"receive": blocked})).failure)


def blocked(*given: object) -> None:
    raise Blocks


def test_a_call_that_fails_has_its_errno(tmp_path: Path) -> None:
    path = tmp_path / "refused.pkt"
    path.write_text("0 connect(3, ..., ...) = -1 ECONNREFUSED\n")
    calls: list[tuple[str, int]] = []

    def connect(fd: int, address: tuple[str, int]) -> int:
        calls.append(address)
        raise ConnectionRefusedError(111, "refused")

    assert play(path, target=Virtual().target({"connect": connect})).passed
    assert calls == [("192.0.2.1", 8080)]


def test_in_real_time_it_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "closed.pkt"
    path.write_text("0 < S 0:0(0) win 1000\n+0 > R. 0:0(0) ack 1\n+.05 < S 0:0(0) win 1000\n+0 > R. 0:0(0) ack 1\n")
    run = play(path, How(tolerance=SECOND // 2), DeviceTarget(Virtual()))
    assert run.passed, str(run.failure)
    assert run.length >= 50_000_000


def test_a_clock_that_stands_still_ends_the_script(tmp_path: Path) -> None:
    path = tmp_path / "waits.pkt"
    path.write_text("1 > S 0:0(0)\n")
    target = DeviceTarget(Virtual(), clock=lambda: 0, wait=lambda left: None)
    assert "the clock stands still" in str(play(path, target=target).failure)


def test_a_device_that_never_ends_hangs_nobody(tmp_path: Path) -> None:
    path = tmp_path / "flood.pkt"
    path.write_text("0 < S 0:0(0) win 1000\n+0 > S. 0:0(0) ack 1\n")
    device = Virtual()
    device.transmit(device_syn())
    reset = device.receive(1)
    device.receive = lambda limit: list(reset)  # type: ignore[method-assign]
    assert "flags" in str(play(path, target=device.target(None)).failure)


def test_a_name_that_is_no_call_is_refused() -> None:
    with pytest.raises(CallError, match="no call is 'fork'"):
        DeviceTarget(Virtual(), {"fork": blocked})


def device_syn() -> Packet:
    """A SYN that nobody listens for."""
    script, local = address_bytes("192.0.2.1"), address_bytes(LOCAL)
    return Packet(script, local, Segment(40_000, 8080, 0, 0, SYN, 1000, b""))


@contextmanager
def serving(name: str) -> Iterator[None]:
    """A stack that has a TUN device open, and somebody on it who sends back what comes."""
    with TunDevice(Tun(["10.99.0.1/24"], name=name)) as device:
        driver = Driver(Stack(["10.99.0.2", "10.99.0.3"]), device)
        driver.serve(8080, Echo)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                # What it does as somebody else is none of the script's business.
                driver.stack.connect(("192.0.2.1", 9), driver.now(), None, ("10.99.0.3", 0))
                driver.run(0.02)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@pytest.mark.root
def test_a_stack_that_has_a_tun_device_open_is_driven_beside_it(private_network: Namespace, script: Path) -> None:
    how = How(on="tun:their0", options=(("local_ip", "10.99.0.2"),), tolerance=SECOND // 2)
    with serving("their0"):
        wrong = script.with_name("wrong.pkt")
        wrong.write_text(ECHO.replace("> F. 6:6(0)", "> F. 7:7(0)"))
        assert "sequence number: 7 expected, 6 came" in str(play(wrong, how).failure)
        # Its connection has been left open and repeats its FIN, which is in nobody's way.
        script.write_text(ECHO.replace("+.05 <", "+.5 <"))
        for _ in range(3):
            run = play(script, how)
            assert run.passed, str(run.failure)


@pytest.mark.root
def test_a_device_that_is_not_there_or_no_tun_is_refused(private_network: Namespace, script: Path) -> None:
    assert "No such device" in str(play(script, How(on="tun:none0")).failure)
    assert "no TUN device" in str(play(script, How(on="tun:lo")).failure)


@pytest.mark.parametrize("on", ["tun:", "windows", ""])
def test_other_sides_are_refused(on: str) -> None:
    with pytest.raises(CallError, match="neither sim, kernel nor tun:"):
        How(on=on)


def test_a_device_that_breaks_is_a_failure_of_the_script(script: Path) -> None:
    class Broken(Virtual):
        def transmit(self, packet: Packet) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    assert "cannot be run: Broken pipe" in str(play(script, target=Broken().target(None)).failure)
