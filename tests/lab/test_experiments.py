"""Every experiment comes to its verdict on the engine and on the kernel, they agree, and it can come to another."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from lastack.lab.catalog import CHAPTERS, EXPERIMENTS
from lastack.lab.experiment import Experiment
from lastack.lab.run import run
from lastack.lab.settings import read
from lastack.model.lab import Verdict
from lastack.report.lab.zh.said import chinese
from lastack.report.schema import experiment_schema

ALL = pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda one: one.name)
ON_ENGINE = pytest.mark.parametrize(
    "experiment", [one for one in EXPERIMENTS if one.side != "kernel"], ids=lambda one: one.name
)
ON_KERNEL = pytest.mark.parametrize(
    "experiment", [one for one in EXPERIMENTS if one.side != "sim"], ids=lambda one: one.name
)
FLIPS_ON_KERNEL = pytest.mark.parametrize(
    "experiment",
    [one for one in EXPERIMENTS if one.side != "sim" and not one.flips_on_engine_alone],
    ids=lambda one: one.name,
)


@pytest.fixture(scope="module")
def both() -> dict[str, dict[str, Any]]:
    """What `lastack lab run --all --on both` says."""
    command = [sys.executable, "-m", "lastack", "lab", "run", "--all", "--on", "both", "--format", "jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.stdout, done.stderr
    return {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def flipped() -> dict[str, str]:
    """The verdicts of the kernel under the counter-settings."""
    command = [sys.executable, "-m", "tests.lab.counters"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@ON_ENGINE
def test_the_engine_comes_to_the_verdict(experiment: Experiment) -> None:
    assert run(experiment, "sim", {}).outcome.verdict is experiment.expected


@ON_ENGINE
def test_on_the_engine_the_counter_setting_flips_the_verdict(experiment: Experiment) -> None:
    assert experiment.flips_to is not experiment.expected
    assert run(experiment, "sim", experiment.counter).outcome.verdict is experiment.flips_to


@pytest.mark.root
@ON_KERNEL
def test_the_kernel_comes_to_the_same_verdict(experiment: Experiment, both: dict[str, dict[str, Any]]) -> None:
    row = both[experiment.name]
    assert row["kernel"] is not None, row["reason"]
    assert row["kernel"]["verdict"] == experiment.expected.value


@pytest.mark.root
@ALL
def test_engine_and_kernel_agree(experiment: Experiment, both: dict[str, dict[str, Any]]) -> None:
    row = both[experiment.name]
    if experiment.side != "both":
        assert row["agrees"] is None
        assert row["reason"] == experiment.only
    else:
        assert row["agrees"] or experiment.reason, row["differences"]


@pytest.mark.root
@ALL
def test_what_programs_read_of_it_is_as_the_schema_says(
    experiment: Experiment, both: dict[str, dict[str, Any]]
) -> None:
    jsonschema.Draft202012Validator(experiment_schema()).validate(both[experiment.name])


@pytest.mark.root
@FLIPS_ON_KERNEL
def test_on_the_kernel_the_counter_setting_flips_the_verdict(experiment: Experiment, flipped: dict[str, str]) -> None:
    assert flipped[experiment.name] == experiment.flips_to.value


@ALL
def test_it_is_told_in_both_languages(experiment: Experiment) -> None:
    for words in filter(None, (experiment.claim, experiment.lesson, experiment.source, experiment.condition)):
        assert words.en.isascii()
        assert any("\u4e00" <= sign <= "\u9fff" for sign in words.zh)
    others = [experiment.only, experiment.reason, *(knob.meaning for knob in experiment.knobs)]
    assert [text for text in others if chinese(text) is None] == []
    assert experiment.chapter in CHAPTERS
    assert (experiment.condition is not None) == (experiment.expected is Verdict.ONLY_IF)
    assert bool(experiment.only) == (experiment.side != "both")


@ON_ENGINE
def test_its_scenes_and_facts_have_their_chinese(experiment: Experiment) -> None:
    for given in ({}, experiment.counter):
        played = run(experiment, "sim", given)
        said = [*(scene.title for scene in played.scenes), *(fact.what for fact in played.outcome.facts)]
        assert [text for text in said if chinese(text) is None] == []


@pytest.mark.root
@ON_KERNEL
def test_its_scenes_and_facts_of_the_kernel_have_their_chinese(
    experiment: Experiment, both: dict[str, dict[str, Any]]
) -> None:
    played = both[experiment.name]["kernel"]
    said = [*(scene["title"] for scene in played["scenes"]), *(fact["what"] for fact in played["facts"])]
    assert [text for text in said if chinese(text) is None] == []


@ALL
def test_what_a_lesson_says_to_set_can_be_set_as_it_is_written(experiment: Experiment) -> None:
    told = []
    for words in experiment.lesson:
        given = re.findall(r"--set ([a-z_0-9]+)=([a-z0-9.]*[a-z0-9])", words)
        read(given, [experiment])
        assert len(given) == len(re.findall(r"\w=\w", words.partition("--set")[2])), "each has its own --set"
        told.append(given)
    assert told[0] == told[1]


def test_every_name_is_given_once() -> None:
    names = [one.name for one in EXPERIMENTS]
    assert len(set(names)) == len(names)


@ON_ENGINE
def test_a_seed_makes_the_same_run(experiment: Experiment) -> None:
    first, second = (run(experiment, "sim", {}, seed=7) for _ in range(2))
    assert first.outcome == second.outcome
    assert [scene.packets for scene in first.scenes] == [scene.packets for scene in second.scenes]
