"""Damages captures without end and holds the reader to its promises: python fuzz/captures.py [--minutes N] [--seed N].

What breaks a promise is kept as FILE (`--keep`), and said with its seed. The same checks run for seconds in the tests.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.captures.hostile import damage, try_capture


def main() -> int:
    """1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFF_FFFF)
    parser.add_argument("--plain", action="store_true", help="without the compiled kernels")
    parser.add_argument("--keep", type=Path, default=Path("broken-capture"))
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    slowest, seed = 0.0, arguments.seed
    with tempfile.TemporaryDirectory() as directory:
        for seed, octets in damage(arguments.seed):
            start = time.process_time()
            try:
                try_capture(Path(directory) / "damaged", octets, fast=not arguments.plain)
            except Exception:
                traceback.print_exc()
                arguments.keep.write_bytes(octets)
                print(f"seed {seed} breaks a promise; the capture is in {arguments.keep}")
                return 1
            slowest = max(slowest, time.process_time() - start)
            if time.monotonic() > end:
                break
    print(f"{seed - arguments.seed + 1} captures, seeds {arguments.seed} to {seed}; the slowest took {slowest:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
