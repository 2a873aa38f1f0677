"""Whatever the network does, the octets arrive as they were sent, and both ends reach CLOSED."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lastack.drive import Application, Simulator
from lastack.model.state import State, lawful
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack import Socket
from lastack.tcp import Settings

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Sender(Application):
    """Sends octets as fast as it may, closes, and keeps what it gets."""

    def __init__(self, data: bytes, reads: int = 1 << 20) -> None:
        self.left = data
        self.got = bytearray()
        self.reads = reads
        self.ended = False
        self.failed = False
        self.closed = False

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        self.push(socket, now)

    def on_writable(self, socket: Socket, now: Nanos) -> None:
        self.push(socket, now)

    def push(self, socket: Socket, now: Nanos) -> None:
        while self.left:
            taken = socket.send(self.left[:5000], now)
            if not taken:
                return
            self.left = self.left[taken:]
        if not self.closed:
            self.closed = True
            socket.shutdown("write", now)

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        while data := socket.receive(self.reads, now):
            self.got += data

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        self.on_readable(socket, now)
        self.ended = True

    def on_error(self, socket: Socket, now: Nanos) -> None:
        self.failed = True


networks = st.fixed_dictionaries(
    {
        "loss": st.sampled_from([0.0, 0.02, 0.1, 0.25]),
        "duplicate": st.sampled_from([0.0, 0.1]),
        "reorder": st.sampled_from([0.0, 0.2]),
        "reorder_by": st.sampled_from([5 * MILLISECOND, 60 * MILLISECOND]),
        "jitter": st.sampled_from([0, 3 * MILLISECOND, 50 * MILLISECOND]),
        "corrupt": st.sampled_from([0.0, 0.05]),
        "delay": st.sampled_from([0, MILLISECOND, 40 * MILLISECOND]),
        "rate": st.sampled_from([0, 2_000_000]),
    }
)
hosts = st.fixed_dictionaries(
    {
        "tcp_sack": st.sampled_from([0, 1]),
        "tcp_timestamps": st.sampled_from([0, 1]),
        "tcp_window_scaling": st.sampled_from([0, 1]),
        "tcp_congestion_control": st.sampled_from(["cubic", "newreno"]),
        "tcp_rmem": st.sampled_from([(4096, 131_072, 33_554_432), (4096, 8192, 8192)]),
        "tcp_early_retrans": st.sampled_from([0, 3]),
    }
)


def run(seed: int, network: dict[str, int | float], host: dict[str, object], there: int, back: int) -> None:
    """One transfer each way at once, and everything that must hold of it."""
    options = Settings.linux()
    # Enough patience for a quarter of all packets lost.
    options.tcp_syn_retries, options.tcp_synack_retries, options.tcp_orphan_retries = 30, 30, 30
    options.tcp_retries2, options.tcp_rto_max_ms, options.time_wait_ms = 60, 20_000, 600_000
    for name, value in host.items():
        setattr(options, name, value)
    sim = Simulator(seed)
    client = sim.host("client", "10.0.0.1", settings=options)
    server = sim.host("server", "10.0.0.2", settings=options)
    link = sim.link(client, server)
    for channel in (link.forth, link.back):
        for name, value in network.items():
            setattr(channel.fate, name, value)
    question, answer = bytes(i * 7 & 255 for i in range(there)), bytes(i * 11 & 255 for i in range(back))
    asker, answerer = Sender(question), Sender(answer)
    server.serve(80, lambda: answerer)
    here = client.connect("10.0.0.2", 80, asker)
    sim.run(at_most=100_000 * SECOND)
    for change in sim.trace.changes:
        assert lawful(change.before, change.after), change
    if asker.failed or answerer.failed:
        raise AssertionError(f"a connection failed: {here.error}")
    assert bytes(answerer.got) == question
    assert bytes(asker.got) == answer
    assert asker.ended
    assert answerer.ended
    assert here.state is State.CLOSED
    assert not client.stack.host.sockets
    assert not server.stack.host.sockets
    assert client.stack.waiting() == server.stack.waiting() == 0
    assert client.stack.next_timeout() is None


@FEW
@given(
    seed=st.integers(0, 1 << 32),
    network=networks,
    host=hosts,
    there=st.sampled_from([0, 1, 100, 3000, 60_000]),
    back=st.sampled_from([0, 1, 500, 20_000, 100_000]),
)
def test_any_network_delivers_exactly_the_octets_and_closes(
    seed: int, network: dict[str, int | float], host: dict[str, object], there: int, back: int
) -> None:
    run(seed, network, host, there, back)
