"""Damages scripts without end and holds the parser and the runner to their promises, on the engine.

python fuzz/scripts.py [--minutes N] [--seed N] [--keep FILE]

Any text at all ends soon, raises nothing but LastackError, and what is wrong is said with its line. What breaks that is
kept as FILE, and said with its seed. The same checks run for seconds in the tests.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.scripts.hostile import damage, try_script


def main() -> int:
    """1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFF_FFFF)
    parser.add_argument("--keep", type=Path, default=Path("broken-script.pkt"))
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    slowest, ran, seed = 0.0, 0, arguments.seed
    for seed, text in damage(arguments.seed):
        start = time.process_time()
        try:
            ran += try_script(text)
        except Exception:
            traceback.print_exc()
            arguments.keep.write_text(text)
            print(f"seed {seed} breaks a promise; the script is in {arguments.keep}")
            return 1
        slowest = max(slowest, time.process_time() - start)
        if time.monotonic() > end:
            break
    count = seed - arguments.seed + 1
    print(f"{count} scripts, {ran} of which ran, seeds {arguments.seed} to {seed}; the slowest took {slowest:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
