"""`lastack lab`: the experiments, and running them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lastack.errors import CallError

from .options import out, output, pairs, paper

if TYPE_CHECKING:
    from lastack.lab.experiment import Experiment
    from lastack.model.lab import Row

_LANGUAGES: Final = click.Choice(("en", "zh"))


@click.group()
def lab() -> None:
    """What people say about closing TCP connections, as experiments: on the engine, on this kernel, side by side."""


@lab.command(
    "list",
    short_help="The claims, and what became of them.",
    epilog="Example: lastack lab list CLOSE_WAIT; lastack lab list old-duplicate; lastack lab list --lang zh",
)
@click.argument("names", nargs=-1, metavar="[NAME|WORD...]")
@click.option("--lang", "language", type=_LANGUAGES, default="en", show_default=True, help="English or Chinese.")
@out("table", "json")
def list_(names: tuple[str, ...], language: str, form: str, file: Path | None, no_color: bool) -> None:
    """List the claims with their verdicts on Linux: all, or those with these words (CLOSE_WAIT, 2MSL).

    The words may be Chinese. Of experiments that are named it tells the lesson too, the knobs that --set turns, and
    what flips the verdict.
    """
    from lastack.lab.catalog import CHAPTERS

    chosen, named = _chosen(names)
    with output(file) as page:
        if form == "json":
            import json

            json.dump([_plain(one, language) for one in chosen], page, indent=1)
            page.write("\n")
            return
        from lastack.report.lab.text import render_about, render_list

        width, color = paper(page, no_color)
        if not named:
            listed = [(CHAPTERS[one.chapter].said(language), one.about) for one in chosen]
            render_list(listed, page, width, color, language)
        for number, one in enumerate(chosen if named else ()):
            page.write("\n" if number else "")
            knobs = [(knob.name, str(knob.default).lower(), knob.meaning) for knob in one.knobs]
            counter = " ".join(f"--set {name}={str(value).lower()}" for name, value in one.counter.items())
            counter += " --on sim" if one.flips_on_engine_alone else ""
            render_about(one.about, knobs, (counter, one.flips_to), page, width, color, language)


def _chosen(names: tuple[str, ...]) -> tuple[list[Experiment], bool]:
    """The experiments of these names, and True; those that speak of these words, and False; all where there is none."""
    from lastack.lab.catalog import EXPERIMENTS, about, named

    if not names:
        return list(EXPERIMENTS), False
    try:
        return [named(name) for name in dict.fromkeys(names)], True
    except CallError as error:
        found = [] if any(name.endswith(".py") for name in names) else about(names)
        if not found:
            said = f"no claim speaks of {' and '.join(names)}" if len(names) > 1 else str(error)
            raise CallError(said) from None
        return found, False


def _plain(one: Experiment, language: str) -> dict[str, object]:
    from lastack.report.lab.words import word

    condition = one.condition
    return {
        "name": one.name,
        "chapter": one.chapter,
        "claim": one.claim.said(language),
        "source": one.source.said(language),
        "verdict": one.expected.value,
        "condition": None if condition is None else condition.said(language),
        "lesson": one.lesson.said(language),
        "on": one.side,
        "knobs": {knob.name: {"default": knob.default, "meaning": word(knob.meaning, language)} for knob in one.knobs},
        "counter": dict(one.counter),
    }


@lab.command(
    short_help="Run experiments.",
    epilog="Example: lastack lab run three-segment-close; lastack lab run --all --on both -o results",
)
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--on", type=click.Choice(("sim", "kernel", "both")),
              help="Where: both where that can be (root on Linux), else the engine alone.")  # fmt: skip
@click.option("--set", "settings", multiple=True, callback=pairs, metavar="KEY=VALUE",
              help="A knob of the experiment, or a sysctl of both hosts.")  # fmt: skip
@click.option("--seed", default=1, show_default=True, help="What the engine's and the wire's chance comes from.")
@click.option("--step", is_flag=True, help="Line by line: Enter goes on.")
@click.option("--lang", "language", type=_LANGUAGES, default="en", show_default=True, help="English or Chinese.")
@click.option("--format", "form", type=click.Choice(("table", "json", "jsonl")), default="table", show_default=True)
@click.option("-o", "--output", "directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Write packets (pcapng), JSON and an HTML page of each to DIR.")  # fmt: skip
@click.option("--no-color", is_flag=True, help="No colour; NO_COLOR in the environment does the same.")
def run(
    names: tuple[str, ...],
    everything: bool,
    on: str | None,
    settings: tuple[tuple[str, str], ...],
    seed: int,
    step: bool,
    language: str,
    form: str,
    directory: Path | None,
    no_color: bool,
) -> None:
    """Run experiments: the ladder of segments and states, what moved, the verdict, and what to learn from it.

    NAME is one of `lastack lab list`, or a file of your own that defines EXPERIMENT. Exits with 1 where an experiment
    fails or cannot run at all, where engine and kernel differ for no known reason, or where, with nothing set, a
    verdict is not the one that `lastack lab list` tells.
    """
    from lastack.lab.catalog import EXPERIMENTS, named
    from lastack.lab.settings import read
    from lastack.lab.together import BOTH, SIM, about_s, kernel_missing, rows

    from .progress import steps

    if step and form != "table":
        raise CallError("--step is for people: it goes with no --format")
    if bool(names) == everything:
        both = "name experiments or say --all, not both"
        raise CallError(both if names else "name experiments (see lastack lab list), or say --all")
    chosen = list(EXPERIMENTS) if everything else [named(name) for name in dict.fromkeys(names)]
    given = read(settings, chosen)
    lacks = kernel_missing()
    if on is None:
        on = SIM if lacks else BOTH
        if lacks:
            from lastack.report.lab.words import word

            print(f"lastack: {word(f'on the engine alone: {lacks}', language)}", file=sys.stderr)
    elif on != SIM and lacks and on != BOTH:
        raise CallError(lacks)
    with steps("runs", 0.0 if given else about_s(chosen, on)) as told:
        found = rows(chosen, on, given, seed, told)
    if directory is not None:
        from .lab_files import write_all

        write_all(found, directory, language)
    _show(found, form, step, language, no_color)
    if any(_wrong(row) for row in found) or not any(row.sim or row.kernel for row in found):
        sys.exit(1)


def _wrong(row: Row) -> bool:
    if row.failed or (row.differences and not row.reason):
        return True
    runs = [run for run in (row.sim, row.kernel, row.full) if run is not None]
    return not row.given and any(run.outcome.verdict is not row.about.expected for run in runs)


def _show(found: list[Row], form: str, step: bool, language: str, no_color: bool) -> None:
    from lastack.report.lab.text import render_row, render_table
    from lastack.report.lab.words import word

    if step and sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None:
        print(word("lastack: Enter shows the next line", language), file=sys.stderr)
    with output(None) as page:
        if form != "table":
            from lastack.report.lab.machine import write_rows

            write_rows(found, form, page, language)
            return
        width, color = paper(page, no_color)
        if len(found) > _PAGES and not step:
            render_table(found, page, width, color, language)
            return
        for number, row in enumerate(found):
            if number:
                page.write("\n" + "=" * min(width, shutil.get_terminal_size((80, 24)).columns) + "\n\n")
            render_row(row, page, width, color, language, _key if step else None)


def _key() -> None:
    """Wait for Enter, which ends the line on a terminal; at the end of the input go on without."""
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if not terminal:
        print(flush=True)
    if sys.stdin is not None and not sys.stdin.readline() and terminal:
        print()


_PAGES: Final = 4
"""More experiments than this are shown as a table."""
