"""Who uses a port, counted in the packed way, against a plain list of the users."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastack.stack import Dice
from lastack.stack.isn import Secrets
from lastack.stack.ports import Ports

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
