"""A four-tuple that is used again and again, on a network that brings much of it twice, seconds later."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.drive import Application, Simulator
from lastack.drive.faults import Where
from lastack.errors import CallError
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack import Socket
from lastack.tcp import Settings, SocketOptions
from lastack.wire import Packet


class Reader(Application):
    """Keeps what it reads, and closes at the end of the file."""

    def __init__(self, read: list[bytes]) -> None:
        self.read = read
        self.mine = b""

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        self.mine += socket.receive(1 << 20, now) or b""

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        socket.close(now)

    def on_closed(self, socket: Socket, now: Nanos) -> None:
        self.read.append(self.mine)


def every_so_many(count: int) -> Where:
    """Every so-many-th packet."""
    seen = 0

    def strikes(packet: Packet) -> bool:
        nonlocal seen
        seen += 1
        return seen % count == 0

    return strikes


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    timestamps=st.sampled_from([0, 1]),
    reuse=st.sampled_from([0, 1]),
    delays=st.lists(st.integers(1, 55_000), min_size=1, max_size=4),
    pause=st.integers(1, 20_000),
    server_closes=st.booleans(),
)
def test_no_octet_of_an_old_incarnation_is_ever_read(
    seed: int, timestamps: int, reuse: int, delays: list[int], pause: int, server_closes: bool
) -> None:
    host = Settings.linux()
    host.tcp_timestamps, host.tcp_tw_reuse = timestamps, reuse
    sim = Simulator(seed)
    client = sim.host("client", "10.0.0.1", settings=host)
    server = sim.host("server", "10.0.0.2", settings=host)
    link = sim.link(client, server, delay=5 * MILLISECOND)
    for channel in (link.forth, link.back):
        for number, delay in enumerate(delays):
            # Every so many packets are kept and come once more, all within the life of a segment.
            channel.double(every_so_many(number + 2), times=0, delay=delay * MILLISECOND)
    read: list[bytes] = []
    options = SocketOptions()
    options.so_reuseaddr = True
    server.serve(80, lambda: Reader(read), options=options)
    opened = 0
    for number in range(8):
        try:
            here = client.connect("10.0.0.2", 80, options=options.copy(), local=("10.0.0.1", 5000))
        except CallError:
            sim.run(at_most=pause * MILLISECOND)
            continue
        opened += 1
        sim.run(at_most=50 * MILLISECOND)
        if here.error is not None:
            continue
        here.send(bytes((65 + number,)) * 3000)
        if server_closes:
            sim.run(at_most=50 * MILLISECOND)
            for socket in list(server.stack.host.sockets.values()):
                socket.shutdown("write", sim.now)
                server.stack.host.schedule.touch(socket)
            sim.run(at_most=50 * MILLISECOND)
        here.close()
        sim.run(at_most=pause * MILLISECOND)
    sim.run(at_most=1000 * SECOND)
    assert opened >= 1
    for text in read:
        assert len(set(text)) <= 1
        assert len(text) <= 3000
