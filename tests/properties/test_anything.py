"""Owners that do anything at any moment, on a network that does the same: nothing breaks, and everything ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.drive import SimSocket, Simulator
from lastack.errors import CallError
from lastack.model.state import lawful
from lastack.model.time import MILLISECOND, SECOND
from lastack.tcp import Settings, SocketOptions

ACTIONS = (
    *("send", "send much", "receive", "receive a little", "shut write", "shut read", "close", "abort", "keepalive"),
    *("cut", "mend", "reboot client", "reboot server", "narrow", "widen", "zero linger", "linger", "user timeout"),
)
steps = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.booleans(), st.sampled_from([0, 1, 15, 50, 300, 5000])), max_size=25
)


CALLS: dict[str, Callable[[SimSocket], object]] = {
    "send": lambda end: end.send(b"x" * 100),
    "send much": lambda end: end.send(bytes(200_000)),
    "receive": lambda end: end.receive(),
    "receive a little": lambda end: end.receive(700),
    "shut write": lambda end: end.shutdown("write"),
    "shut read": lambda end: end.shutdown("read"),
    "close": lambda end: end.close(),
    "abort": lambda end: end.abort(),
    "keepalive": lambda end: end.set_keepalive(),
    "zero linger": lambda end: setattr(end.options, "so_linger", 0),
    "linger": lambda end: setattr(end.options, "so_linger", 3),
    "user timeout": lambda end: setattr(end.options, "tcp_user_timeout", 4000),
}


def act(action: str, end: SimSocket) -> None:
    """One call of an owner; the errors that a socket gives are no surprise."""
    end.options.tcp_keepidle, end.options.tcp_keepintvl = 2, 1
    with contextlib.suppress(CallError):
        CALLS[action](end)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    small=st.booleans(),
    fin_timeout=st.sampled_from([5, 60, 100]),
    script=steps,
)
def test_whatever_is_done_nothing_breaks_and_everything_ends(
    seed: int, loss: float, small: bool, fin_timeout: int, script: list[tuple[str, bool, int]]
) -> None:
    host = Settings.linux()
    host.tcp_fin_timeout = fin_timeout
    sim = Simulator(seed)
    client = sim.host("client", "10.0.0.1", settings=host)
    router = sim.router("router", "10.0.1.1")
    server = sim.host("server", "10.0.2.1", settings=host)
    near = sim.link(client, router, delay=5 * MILLISECOND, loss=loss)
    far = sim.link(router, server, delay=5 * MILLISECOND)
    near.back.fate.reorder, near.back.fate.reorder_by = 0.1, 20 * MILLISECOND
    changes: dict[str, Callable[[], object]] = {
        "cut": near.cut,
        "mend": near.mend,
        "narrow": lambda: setattr(far.forth.fate, "mtu", 700),
        "widen": lambda: setattr(far.forth.fate, "mtu", 1500),
    }
    options = SocketOptions()
    options.so_rcvbuf = 5000 if small else 0
    listener = server.listen(80, options=options)
    ends = [client.connect("10.0.2.1", 80, options=options.copy())]
    for action, first, pause in script:
        accepted = listener.accept() if action != "reboot server" else None
        if accepted is not None:
            ends.append(accepted)
        if action in changes:
            changes[action]()
        elif action == "reboot client":
            client.reboot()
            ends = [end for end in ends if end.remote.port != 80]
        elif action == "reboot server":
            server.reboot()
            ends = [end for end in ends if end.remote.port == 80]
            listener = server.listen(80, options=options)
        elif ends:
            act(action, ends[0] if first else ends[-1])
        sim.run(at_most=pause * MILLISECOND)
    near.mend()
    for end in ends:
        end.options.so_linger = None
        act("close", end)
    listener.close()
    sim.run(at_most=30_000 * SECOND)
    for change in sim.trace.changes:
        assert lawful(change.before, change.after), change
    for node in (client, server):
        left = [str(row) for row in node.stack.connections(sim.now).rows()]
        assert not left, left
        assert node.stack.host.orphans == 0
        assert node.stack.next_timeout() is None
    assert listener.listener.requests == 0
