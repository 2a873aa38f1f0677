"""Runs every experiment on the kernel with its counter-setting; prints its verdicts as JSON, by name."""

from __future__ import annotations

import json
from functools import partial

from lastack.lab.catalog import EXPERIMENTS
from lastack.lab.processes import Broken, each
from lastack.lab.run import run
from lastack.lab.together import KERNEL


def main() -> None:
    flipped = [one for one in EXPERIMENTS if one.side != "sim" and not one.flips_on_engine_alone]
    flipped.sort(key=lambda one: -one.kernel_s)
    found = each([partial(run, one, KERNEL, one.counter) for one in flipped], 12)
    print(
        json.dumps(
            {
                flipped[index].name: result.why if isinstance(result, Broken) else result.outcome.verdict.value
                for index, result in found
            }
        )
    )


if __name__ == "__main__":
    main()
