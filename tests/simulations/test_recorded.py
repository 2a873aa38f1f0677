"""Recorded runs: their traces' digests are the same interpreted and compiled, today and tomorrow.

A digest covers every packet and every change of state with its time and cause. Where one changes, so has what the
engine does on the wire: then say why in the commit, and put in what `python tests/simulations/test_recorded.py` prints.
"""

from __future__ import annotations

import pytest

from lastack.drive import Simulator
from lastack.model.time import MILLISECOND, SECOND

RECORDED = {
    1: "ed3dafc8fcce6afbeb7d8ba437ca031b1143f59b5b460a1824386b76297e55b7",
    2: "dbc301180b90057c2e378054f1bc62005a0bbecdda3df9e6d73e7b59c2f24ef0",
    3: "191497fd5a3e730d4e7f11de4d719f9d63c8c186af471f9661288f02e7b3f971",
    4: "9d4f2a1e66855365a374ab38d24b368d94feff47333ccbbb4f9213de55bed8f4",
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
