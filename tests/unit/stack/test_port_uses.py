"""Who uses a port, counted in the packed way, against a plain list of the users."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastack.stack import Dice, Stack
from lastack.stack.isn import Secrets
from lastack.stack.ports import Ports, PortSet
from lastack.tcp import SocketOptions

ADDRESSES = (b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02")
users = st.tuples(st.sampled_from(ADDRESSES), st.sampled_from((0, 255, 256, 257, 65_535)), st.booleans())


@given(st.lists(st.tuples(st.booleans(), users), max_size=60))
def test_a_port_is_free_when_its_last_user_has_gone(steps: list[tuple[bool, tuple[bytes, int, bool]]]) -> None:
    dice = Dice(1)
    ports, using = Ports(Secrets(dice), dice), list[tuple[bytes, int, bool]]()
    for taken, user in steps:
        if taken:
            ports.take(*user)
            using.append(user)
        elif user in using:
            ports.release(*user)
            using.remove(user)
    for _, (_, port, _) in steps:
        for address in (*ADDRESSES, None):
            there = [reuse for at, number, reuse in using if number == port and address in (at, None)]
            assert bool(ports.used(address, port)) == bool(there)
            assert ports.may_bind(address, port, reuse=False) == (not there)
            assert ports.may_bind(address, port, reuse=True) == all(there)
    for user in using:
        ports.release(*user)
    assert not any(ports.used(address, port) for _, (address, port, _) in steps)


def test_a_port_is_given_back_as_it_was_taken_whatever_the_option_says_by_then() -> None:
    stack = Stack(["10.0.0.1"])
    options = SocketOptions(so_reuseaddr=True)
    made = [stack.connect((f"10.0.0.{end}", 80), 0, options.copy(), ("10.0.0.1", 4000)) for end in (2, 3)]
    for socket in made:
        socket.options.so_reuseaddr = False
        socket.abort(0)
    while stack.poll(0) is not None:
        pass
    assert not stack.host.ports.used(None, 4000)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 65_535)), max_size=100))
def test_a_set_of_ports_is_a_set(steps: list[tuple[bool, int]]) -> None:
    ports, known = PortSet(), set[int]()
    for added, port in [*steps, *((True, port) for port in range(59, 240, 3))]:
        if added:
            ports.add(port)
            known.add(port)
        else:
            assert ports.discard(port) == (port in known)
            known.discard(port)
    assert {port for port in range(1 << 16) if ports.has(port)} == known
