"""A capture cut anywhere, its pieces analysed alone and put together in any grouping, is the capture."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.capture.flows import Analyser
from lastack.capture.packets import Packets
from lastack.capture.pieces import finish, join
from lastack.drive import Application, Simulator
from lastack.errors import CallError
from lastack.model.time import MILLISECOND, Nanos
from lastack.stack import Socket
from lastack.tcp import Settings, SocketOptions

from ..captures.tap import batch_of, frames_at, pieces_of


class Echo(Application):
    """Answers what it reads, and closes at the end of the file."""

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        socket.send(socket.receive(1 << 20, now) or b"", now)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        socket.close(now)


def busy(seed: int, loss: float, pauses: list[int], timestamps: int) -> tuple[Packets, int]:
    """Connections on three four-tuples again and again, and some ends of all kinds."""
    host = Settings.linux()
    host.tcp_timestamps, host.tcp_tw_reuse = timestamps, 1
    sim = Simulator(seed, trace=True)
    client, server = sim.host("client", "10.0.0.1", settings=host), sim.host("server", "10.0.0.2", settings=host)
    link = sim.link(client, server, delay=5 * MILLISECOND)
    for channel in (link.forth, link.back):
        channel.fate.loss, channel.fate.duplicate, channel.fate.reorder = loss, loss / 2, loss
        channel.fate.reorder_by = 8 * MILLISECOND
    options = SocketOptions()
    options.so_reuseaddr = True
    server.serve(80, Echo, options=options)
    for number, pause in enumerate(pauses):
        sim.run(at_most=pause * MILLISECOND)
        try:
            port = 81 if number % 7 == 6 else 80
            here = client.connect("10.0.0.2", port, options=options.copy(), local=("10.0.0.1", 5000 + number % 3))
            sim.run(at_most=30 * MILLISECOND)
            here.send(bytes(3000))
            if number % 4 == 3:
                here.abort()
            elif number % 5:
                here.close()
        except CallError:
            continue
    sim.run(at_most=100_000 * MILLISECOND)
    return batch_of(frames_at(sim, "client" if seed % 2 else "server"))


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where two rows differ."""
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}


captures = st.builds(
    busy,
    st.integers(0, 1 << 32),
    st.sampled_from([0.0, 0.05, 0.25]),
    st.lists(st.sampled_from([1, 20, 100, 900, 70_000]), min_size=2, max_size=10),
    st.sampled_from([0, 1]),
)


@settings(max_examples=100)
@given(captures, st.data())
def test_pieces_make_the_whole_in_any_grouping(capture: tuple[Packets, int], data: st.DataObject) -> None:
    packets, count = capture
    whole = Analyser()
    whole.feed(packets, count)
    cuts = data.draw(st.lists(st.integers(0, count), min_size=1, max_size=4), label="cuts")
    parts = []
    for number, (piece, some) in enumerate(pieces_of(packets, count, cuts)):
        part = Analyser(log=number > 0)
        part.feed(piece, some)
        parts.append(part)
    for _ in range(data.draw(st.integers(0, len(cuts)), label="joins")):
        left = data.draw(st.integers(0, len(parts) - 2), label="joined next")
        parts[left : left + 2] = [join(parts[left], parts[left + 1])]
    joined, straight = finish(parts), whole.finish()
    assert len(joined) == len(straight)
    assert [
        difference for pair in zip(joined.rows(), straight.rows(), strict=True) if (difference := differing(*pair))
    ] == []


def test_a_reset_of_the_connection_before_closes_nothing_of_the_next() -> None:
    packets, count = busy(448, 0.05, [70000, 100, 20, 1, 900, 100, 20, 20], 0)
    whole, first, second = Analyser(), Analyser(), Analyser(log=True)
    whole.feed(packets, count)
    for part, (piece, some) in zip((first, second), pieces_of(packets, count, [38]), strict=True):
        part.feed(piece, some)
    straight = whole.finish()
    # The third connection of its ends: FIN, FIN, and three RST before it was over.
    assert straight.row(3)["close_segments"] == 5
    assert list(finish([first, second]).rows()) == list(straight.rows())
