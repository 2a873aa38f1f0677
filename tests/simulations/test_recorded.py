"""Recorded runs: their traces' digests are the same interpreted and compiled, today and tomorrow.

A digest covers every packet and every change of state with its time and cause. Where one changes, so has what the
engine does on the wire: then say why in the commit, and put in what `python tests/simulations/test_recorded.py` prints.
"""

from __future__ import annotations

import pytest

from lastack.drive import Simulator
from lastack.model.time import MILLISECOND, SECOND

RECORDED = {
    1: "1219055e328a65c65b2fee9e425030e01be0c2cc6e12c559c16a9bde55a336a4",
    2: "ac21babfb44075f487dd1fa3cd8c3e3740f1756dba5c7451c4d5383d37f21c25",
    3: "d5d651addbfb8ffc02f10fda38ef79b311eca77f6610f8b44421bdeec046ed0a",
    4: "db9ce99c1e6064d4f0c9e757490df13d46d08f762f87c87ed7ce980e25ab69d1",
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
