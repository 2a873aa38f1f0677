"""Recorded runs: their traces' digests are the same interpreted and compiled, today and tomorrow.

A digest covers every packet and every change of state with its time and cause. Where one changes, so has what the
engine does on the wire: then say why in the commit, and put in what `python tests/simulations/test_recorded.py` prints.
"""

from __future__ import annotations

import pytest

from lastack.drive import Simulator
from lastack.model.time import MILLISECOND, SECOND

RECORDED = {
    1: "9ce80d66e189683a771fb7e0f7f073fd669209cb2fc9b0232e0006dff16c2653",
    2: "a97f6baceb99bec3172a032d748a0930bda8a0fb138b840fb3ba0385e607b37d",
    3: "3d27cfce41821e17309e7135c06ed205919c62c3e9182a31847b3add526942a6",
    4: "f2d497b0d7b707894735ef382e4e7d4d2ddbb6a8b7f07b473c5f34bd3a22b875",
}


def digest(seed: int) -> str:
    """Twenty connections over a bad link: loss, duplication and reordering, both sides sending, all closing."""
    sim = Simulator(seed=seed, trace=True)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    link = sim.link(client, server, delay=10 * MILLISECOND)
    for channel in (link.forth, link.back):
        channel.fate.reorder_by = 30 * MILLISECOND
        channel.fate.loss, channel.fate.duplicate, channel.fate.reorder = 0.05, 0.03, 0.05
    listener = server.listen(80)
    for number in range(20):
        here = client.connect("10.0.0.2", 80)
        there = sim.run_until(listener.accept)
        here.send(bytes([number]) * 2_000 * (number + 1))
        there.send(b"answer" * 50 * number)
        sim.run(at_most=SECOND)
        first, second = (here, there) if number % 2 else (there, here)
        first.close()
        sim.run(at_most=200 * MILLISECOND)
        second.close()
    sim.run()
    return sim.trace.digest()


@pytest.mark.parametrize("seed", RECORDED)
def test_a_run_of_the_same_seed_is_the_recorded_one(seed: int) -> None:
    assert digest(seed) == RECORDED[seed]


if __name__ == "__main__":
    for each in RECORDED:
        print(f'    {each}: "{digest(each)}",')
