"""Recorded runs: their traces' digests are the same interpreted and compiled, today and tomorrow.

A digest covers every packet and every change of state with its time and cause. Where one changes, so has what the
engine does on the wire: then say why in the commit, and put in what `python tests/simulations/test_recorded.py` prints.
"""

from __future__ import annotations

import pytest

from lastack.drive import Simulator
from lastack.model.time import MILLISECOND, SECOND

RECORDED = {
    1: "33e7a98bcf34a843e35c728120613afebbc61aa92e463d990da72bf0d470a5ac",
    2: "622a3b0125e45765906940cccff9d251692ddf0a5c4fcfbc04a2549798325caf",
    3: "4b36d8601172a9b5d78664249dd8e5ed5e5ebe395636e1ada44cf4bea5005bf7",
    4: "b58b8eca9b4aad062d2236e874ba14dabc5fb2c6e340a05ea76610d9f71f4e55",
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
