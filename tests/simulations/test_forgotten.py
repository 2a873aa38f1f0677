"""What is let go of goes, and takes nothing else with it: a compiled object is freed by C."""

from __future__ import annotations

import gc

from lastack.model.time import SECOND
from lastack.stack import Stack


def test_stacks_with_many_sockets_are_freed_whole() -> None:
    for _ in range(20):
        others = [{"number": number} for number in range(500)]
        stack = Stack(["10.0.0.1"])
        sockets = [stack.connect(("10.0.0.9", 80), number * SECOND) for number in range(300)]
        del stack, sockets
        gc.collect()
        assert [other["number"] for other in others] == list(range(500))
