"""What the analyser infers from a capture is what the host did.

The capture is made at one host's interface. Of that host every change of state is inferred with its exact time, but:

- a CLOSE shows when its FIN first passes, which may wait behind text, and what comes meanwhile comes before it;
- an end that no segment brings, and for which no RST is sent, does not show: a time-out, a CLOSE or ABORT that has
  nobody to tell. The inferred states are exact until then.

That TIME_WAIT ends after 60 s is taken for granted, and holds to the nanosecond.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.capture.history import history
from lastack.drive import Simulator
from lastack.drive.handles import SimSocket
from lastack.errors import CallError
from lastack.model.history import StateChange
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.wire.flags import FIN, RST
from lastack.wire.packet import decode_packet

from ..captures.tap import batch_of, frames_at, table_of

S = State
Change = tuple[Nanos, State, State]
ADDRESSES = {"client": "10.0.0.1", "server": "10.0.0.2"}

steps = st.lists(
    st.tuples(
        st.integers(0, 300).map(lambda ms: ms * MILLISECOND),
        st.sampled_from(["client", "server"]),
        st.sampled_from(["send", "send", "read", "read", "shutdown", "close", "close", "abort"]),
        st.integers(1, 20_000),
    ),
    min_size=1,
    max_size=12,
)


@st.composite
def troubles(draw: st.DrawFn) -> dict[str, float]:
    """What a link does to packets."""
    chance = st.sampled_from([0.0, 0.0, 0.02, 0.2])
    return {name: draw(chance) for name in ("loss", "duplicate", "reorder")}


def simulate(seed: int, plan: list[tuple[Nanos, str, str, int]], troubled: dict[str, float]) -> Simulator:
    """Two hosts, one connection, and what their programs do to it."""
    sim = Simulator(seed, trace=True)
    hosts = {name: sim.host(name, address) for name, address in ADDRESSES.items()}
    link = sim.link(hosts["client"], hosts["server"], delay=10 * MILLISECOND)
    for channel in (link.forth, link.back):
        for name, chance in troubled.items():
            setattr(channel.fate, name, chance)
        channel.fate.reorder_by = 15 * MILLISECOND
    listener = hosts["server"].listen(80)
    sockets: dict[str, SimSocket | None] = {"client": hosts["client"].connect(ADDRESSES["server"], 80), "server": None}
    given_up: set[str] = set()
    sim.run(at_most=100 * MILLISECOND)
    for delay, name, deed, size in plan:
        sim.run(at_most=delay)
        sockets["server"] = sockets["server"] or listener.accept()
        socket = sockets[name]
        if socket is None or name in given_up:
            continue
        if deed in ("close", "abort"):
            given_up.add(name)
        try:
            if deed == "send":
                socket.send(bytes(size))
            elif deed == "read":
                socket.receive()
            elif deed == "shutdown":
                socket.shutdown()
            elif deed == "close":
                socket.close()
            else:
                socket.abort()
        except CallError:
            continue
    sim.run(at_most=400 * SECOND)
    return sim


def shown(sim: Simulator, host: str) -> list[Change]:
    """A host's own record, as far as packets can show it: see the module's docstring."""
    address = bytes(int(part) for part in ADDRESSES[host].split("."))
    fins = []
    for at, data in frames_at(sim, host):
        packet = decode_packet(data)
        if packet.source == address and packet.segment is not None and packet.segment.flags & FIN:
            fins.append(at)
    # An application that gives up a socket of which only TIME_WAIT is left changes nothing.
    own = [c for c in sim.trace.changes if c.host == host and (c.before, c.cause) != (S.TIME_WAIT, "ABORT")]
    changes: list[Change] = [(c.at, c.before, c.after) for c in own]
    for place, (at, before, after) in enumerate(changes):
        if after not in (S.FIN_WAIT_1, S.LAST_ACK):
            continue
        sent = next((fin for fin in fins if fin >= at), None)
        rest = changes[place + 1 :]
        if sent is None:
            return [*changes[:place], *((t, before, CLOSED) for t, _, CLOSED in rest if CLOSED is S.CLOSED)]
        if rest and rest[0][2] is S.CLOSING and rest[0][0] <= sent and rest[0][0] < sent:
            # The peer's FIN came first, for all that anybody else can see.
            changes[place : place + 2] = [(rest[0][0], before, S.CLOSE_WAIT), (sent, S.CLOSE_WAIT, S.LAST_ACK)]
            changes[place + 2 :] = [(t, S.LAST_ACK, S.CLOSED) for t, _, into in rest[1:] if into is S.TIME_WAIT]
        else:
            changes[place] = (sent, before, after)
        break
    return changes


def silent(sim: Simulator, host: str) -> bool:
    """Whether nothing passed that shows why the host's connection ended when it did."""
    last = [change for change in sim.trace.changes if change.host == host][-1]
    resets = [at for at, data in frames_at(sim, host) if (s := decode_packet(data).segment) and s.flags & RST]
    return not last.cause.startswith("rcv") and last.before is not S.TIME_WAIT and last.at not in resets


def told(changes: tuple[StateChange, ...], host: str) -> list[Change]:
    """The lane of a host in a history."""
    return [(c.at, c.before, c.after) for c in changes if c.host == ADDRESSES[host]]


@settings(max_examples=150)
@given(st.integers(0, 1 << 32), steps, troubles(), st.sampled_from(["client", "server"]))
def test_the_states_of_the_host_at_the_tap_are_inferred_to_the_nanosecond(
    seed: int, plan: list[tuple[Nanos, str, str, int]], troubled: dict[str, float], host: str
) -> None:
    sim = simulate(seed, plan, troubled)
    packets, count = batch_of(frames_at(sim, host))
    if not count:
        return
    seen = history([(packets, count)], 1, until=sim.now)
    assert seen is not None
    inferred, own = told(seen.changes, host), shown(sim, host)
    if own and own[-1][2] is S.CLOSED and silent(sim, host):
        own, (ended, _, _) = own[:-1], own[-1]
        inferred = [change for place, change in enumerate(inferred) if place < len(own) or change[0] <= ended]
    assert inferred == own, [c.cause for c in sim.trace.changes if c.host == host]


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), steps, troubles(), st.sampled_from(["client", "server"]))
def test_the_table_says_what_the_ladder_shows(
    seed: int, plan: list[tuple[Nanos, str, str, int]], troubled: dict[str, float], host: str
) -> None:
    sim = simulate(seed, plan, troubled)
    packets, count = batch_of(frames_at(sim, host))
    if not count:
        return
    seen = history([(packets, count)], 1, until=sim.now)
    assert seen is not None
    row = table_of(packets, count, sim.now).row(0)
    for side, lane in zip(("local", "remote"), seen.hosts, strict=True):
        states = [change.after.name for change in seen.changes if change.host == lane]
        if row[f"{side}_state"] is not None and states:
            assert row[f"{side}_state"] == states[-1]
        for state in ("fin_wait_1", "fin_wait_2", "closing", "close_wait", "last_ack", "time_wait"):
            spent = row[f"{side}_{state}_ns"]
            if spent is not None and row["reset_cause"] is None:
                entered = [c.at for c in seen.changes if c.host == lane and c.after.name == state.upper()][-1]
                left = [c.at for c in seen.changes if c.host == lane and c.before.name == state.upper()][-1]
                assert left - entered == spent


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), steps, st.sampled_from(["client", "server"]))
def test_the_far_host_goes_through_the_same_states_as_far_as_it_shows(
    seed: int, plan: list[tuple[Nanos, str, str, int]], host: str
) -> None:
    sim = simulate(seed, plan, {"loss": 0.0})
    far = "server" if host == "client" else "client"
    packets, count = batch_of(frames_at(sim, host))
    if not count:
        return
    seen = history([(packets, count)], 1, until=sim.now)
    assert seen is not None
    if any(segment.flags & RST for segment in seen.segments):
        # What it had received when it sent a RST, nobody else can know.
        return
    inferred, own = [c[2] for c in told(seen.changes, far)], [c[2] for c in shown(sim, far)]
    assert inferred == own[: len(inferred)], own
