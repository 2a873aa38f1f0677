"""The deep run: wider bounds, for as long as is asked. `python -m tests.explorer --minutes 20 --processes 2`."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor

from .explore import HEADING, Explorer, Report, Violation
from .pairs import LAWFUL_PAIRS
from .scenarios import ALL, DEEP


def explore(number: int, seconds: float | None, deep: bool) -> Report | str:
    """One scenario, by its number; the report, or what was found broken."""
    scenario = (DEEP if deep else ALL)[number]
    try:
        return Explorer(scenario).run(seconds=seconds)
    except Violation as violation:
        return str(violation)


def main() -> int:
    """Explore the scenarios and print the table. 1 where an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    names = list(dict.fromkeys(one.name for one in DEEP + ALL))
    parser.add_argument("scenario", nargs="*", help=f"{', '.join(names)}; none: all of them")
    parser.add_argument("--minutes", type=float, default=2.0, help="of processor time for each scenario, at most")
    parser.add_argument("--processes", type=int, default=2, help="scenarios at a time")
    parser.add_argument("--quick", action="store_true", help="the bounds that the tests have, to the end")
    chosen = parser.parse_args()
    if unknown := set(chosen.scenario) - set(names):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    wanted = chosen.scenario or names
    numbers = [number for number, one in enumerate(ALL if chosen.quick else DEEP) if one.name in wanted]
    seconds = None if chosen.quick else chosen.minutes * 60
    reports: list[Report] = []
    broken = 0
    print(HEADING, flush=True)
    with ProcessPoolExecutor(chosen.processes) as pool:
        runs = [pool.submit(explore, number, seconds, not chosen.quick) for number in numbers]
        for run in runs:
            result = run.result()
            if isinstance(result, str):
                broken += 1
                print(result, flush=True)
            else:
                reports.append(result)
                print(result.row(), flush=True)
    _sum(reports)
    return 1 if broken else 0


def _sum(reports: list[Report]) -> None:
    """What all of them came to."""
    states, transitions = sum(one.states for one in reports), sum(one.transitions for one in reports)
    pairs = {pair for one in reports for pair in one.pairs}
    moves = {(move[0], move[1]) for one in reports for move in one.moves}
    print(f"\n{states:,} states, {transitions:,} transitions")
    print(f"{len(pairs)} of {len(LAWFUL_PAIRS)} lawful pairs of states met, and no other")
    print(f"{len(moves)} transitions of the table met")
    for here, there in sorted(pairs):
        print(f"  {sum(one.pairs[here, there] for one in reports):>9,}  {here.name} and {there.name}")
    quiet: dict[str, int] = {}
    for one in reports:
        for name, count in one.quiet.items():
            quiet[name] = quiet.get(name, 0) + count
    print("quiet states:")
    for name, count in sorted(quiet.items(), key=lambda item: -item[1]):
        print(f"  {count:>9,}  {name}")


if __name__ == "__main__":
    sys.exit(main())
