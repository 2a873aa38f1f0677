"""Recorded runs: their traces' digests are the same interpreted and compiled, today and tomorrow.

A digest covers every packet and every change of state with its time and cause. Where one changes, so has what the
engine does on the wire: then say why in the commit, and put in what `python tests/simulations/test_recorded.py` prints.
"""

from __future__ import annotations

import pytest

from lastack.drive import Simulator
from lastack.model.time import MILLISECOND, SECOND

RECORDED = {
    1: "94ab06e34126f6afbc96e3c9bec815a8efd2002576522ef2e22e7ae148568f53",
    2: "fb87b83de8dc8dfaea52222aa8753f0f6c36b89041686a785b71329a365bd951",
    3: "0a1864931c67180a15ceb7019205bde5fb0294ad6d583e0e683c1983d74d8e22",
    4: "39398f30f94d8a2c904fea48dab27be18d0d4ebd3c98e7476ed5764ca1fb06e9",
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
