"""`lastack lab` as a user meets it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import lastack as product
from lastack.cli.main import app
from lastack.errors import CallError
from lastack.model.lab import Verdict
from lastack.report.schema import experiment_schema


def lastack(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lastack", "lab", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_list_names_every_claim_with_its_verdict() -> None:
    done = lastack("list")
    assert "three-segment-close" in done.stdout
    assert "Closing a TCP connection always takes four segments." in " ".join(done.stdout.split())


def test_the_list_is_there_in_chinese() -> None:
    assert "四" in lastack("list", "--lang", "zh").stdout


def test_a_setting_flips_a_verdict() -> None:
    (row,) = json.loads(lastack("run", "three-segment-close", "--on", "sim", "--format", "json").stdout)
    assert row["verdict"] == "false"
    setting = ("--set", "think=0.3")
    (row,) = json.loads(lastack("run", "three-segment-close", "--on", "sim", "--format", "json", *setting).stdout)
    assert row["verdict"] == "holds"


def test_a_verdict_that_a_setting_made_says_so() -> None:
    done = lastack("run", "three-segment-close", "--on", "sim", "--set", "think=0.3")
    assert "Verdict   with think=0.3: holds (as it stands: false)" in done.stdout


def test_a_setting_that_replaces_a_scenes_own_is_told() -> None:
    done = lastack("run", "fin-wait-2-timeout", "--on", "sim", "--set", "tcp_fin_timeout=180")
    assert "tcp_fin_timeout=180 as given, where this scene has 61" in done.stdout


def test_what_cannot_run_here_is_no_success() -> None:
    done = lastack("run", "close-wait-descriptors", "--on", "sim")
    assert done.returncode == 1
    assert "Verdict   not run  (the engine has no processes and no descriptors)" in done.stdout


def test_one_experiment_is_told_with_its_knobs() -> None:
    told = lastack("list", "three-segment-close").stdout
    assert "think=0.0  seconds between the end of file" in told
    assert "It flips with: think=0.3" in told


def test_a_file_of_ones_own_is_an_experiment() -> None:
    path = str(Path(__file__).parents[2] / "examples" / "experiment.py")
    for words, verdict in (((), "false"), (("--set", "speaks=yes"), "holds")):
        (row,) = json.loads(lastack("run", path, "--on", "sim", "--format", "json", *words).stdout)
        assert row["verdict"] == verdict


def test_a_side_that_there_is_not_is_refused() -> None:
    with pytest.raises(CallError, match="sim, kernel or both"):
        product.experiment("three-segment-close", on="moon")


def test_python_says_the_same() -> None:
    row = product.experiment("three-segment-close", think=0.3)
    assert row.verdict is Verdict.HOLDS
    assert row.agrees is None
    assert row.sim is not None
    assert row.sim.outcome.facts[-1].value == 2


def test_a_sysctl_can_be_set_for_both_hosts() -> None:
    done = lastack("run", "three-segment-close", "--on", "sim", "--set", "net.ipv4.tcp_timestamps=0")
    assert "client  tcp_timestamps=0" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("run",), "name experiments (see lastack lab list), or say --all"),
        (("run", "three-segment"), "no experiment is called 'three-segment'; did you mean three-segment-close"),
        (
            ("run", "three-segment-close", "--set", "thonk=1"),
            "'thonk' is neither a knob nor a sysctl that the engine knows; did you mean think",
        ),
        (("run", "three-segment-close", "--set", "think=soon"), "think is a number, not 'soon'"),
        (("run", "three-segment-close", "--set", "think=-1"), "think is not negative"),
        (("run", "three-segment-close", "--set", "ip_forward=1"), "its knobs: think"),
        (("run", "three-segment-close", "--step", "--format", "json"), "--step is for people"),
        (("run", "nowhere.py"), "cannot read nowhere.py: No such file or directory"),
        (("run", "tests/lab/counters.py"), "tests/lab/counters.py defines no EXPERIMENT"),
    ],
)
def test_bad_words_are_answered_with_what_would_be_right(words: tuple[str, ...], complaint: str) -> None:
    done = lastack(*words)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_without_root_the_engine_runs_alone_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    app(["lab", "run", "three-segment-close"], standalone_mode=False)
    told = capsys.readouterr()
    assert "on the engine alone: the kernel's side needs root" in told.err
    assert "Closing a TCP connection" in told.out


def test_a_directory_gets_pages_packets_and_json(tmp_path: Path) -> None:
    done = lastack("run", "three-segment-close", "--on", "sim", "-o", str(tmp_path / "out"))
    assert done.returncode == 0
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "index.html",
        "results.json",
        "three-segment-close",
        "three-segment-close.html",
    }
    assert "<svg" in (out / "three-segment-close.html").read_text()
    assert product.connections(out / "three-segment-close" / "sim-1.pcapng").values("fin_out").tolist() == [1]


def wrong_verdict(row: dict[str, Any]) -> None:
    row["sim"]["verdict"] = "perhaps"


def state_of_no_tcp(row: dict[str, Any]) -> None:
    row["sim"]["scenes"][0]["connections"][0]["changes"][0]["after"] = "GONE"


def time_in_words(row: dict[str, Any]) -> None:
    row["sim"]["scenes"][0]["connections"][0]["segments"][0]["at"] = "0 s"


def fact_without_a_value(row: dict[str, Any]) -> None:
    del row["sim"]["facts"][0]["value"]


def stranger_among_the_keys(row: dict[str, Any]) -> None:
    row["surprise"] = 1


@pytest.mark.parametrize(
    "damage", [wrong_verdict, state_of_no_tcp, time_in_words, fact_without_a_value, stranger_among_the_keys]
)
def test_results_are_as_their_schema_says_and_damaged_ones_are_not(
    damage: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    assert lastack("run", "three-segment-close", "fin-lost", "--on", "sim", "-o", str(tmp_path)).returncode == 0
    validator = jsonschema.Draft202012Validator(experiment_schema())
    for row in json.loads((tmp_path / "results.json").read_text()):
        validator.validate(row)
        damage(row)
        assert not validator.is_valid(row)


def test_what_was_not_run_is_as_the_schema_says() -> None:
    for words in (("close-wait-descriptors",), ("three-segment-close", "--set", "think=0.3", "--lang", "zh")):
        (row,) = json.loads(lastack("run", *words, "--on", "sim", "--format", "json").stdout)
        jsonschema.validate(row, experiment_schema())


def test_step_by_step_every_line_waits_for_enter() -> None:
    command = [sys.executable, "-m", "lastack", "lab", "run", "three-segment-close", "--on", "sim", "--step"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while "client" not in process.stdout.readline():
            pass
        for step in ("server", "SYN 0", "SYN,ACK 0 ack 1", "ACK 1 ack 1"):
            assert not select.select([process.stdout], [], [], 0)[0]
            process.stdin.write("\n")
            assert step in process.stdout.readline()
        process.stdin.close()
        assert "Verdict   false" in process.stdout.read()
