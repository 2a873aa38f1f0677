"""`lastack lab` as a user meets it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
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
    assert "--set think=0.3: holds" in told


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("2MSL",), {"last-ack-lost", "time-wait-length", "timestamps-replace-2msl"}),
        (("端口",), {"port-exhaustion", "server-time-wait-ports", "load-balancer"}),
        (("tcp_fin_timeout", "FIN_WAIT_2"), {"fin-wait-2-timeout"}),
        (("EMFILE",), {"close-wait-descriptors", "keepalive-close-wait"}),
        (("TW_RECYCLE",), {"tw-recycle"}),
    ],
)
def test_a_word_of_an_article_finds_its_claims(words: tuple[str, ...], names: set[str]) -> None:
    found = json.loads(lastack("list", *words, "--format", "json").stdout)
    assert {one["name"] for one in found} == names


def test_a_word_is_found_where_it_begins_one_only() -> None:
    told = lastack("list", "RST").stdout
    assert "linger-zero" in told
    assert "server-closes-first" not in told


def test_a_name_may_be_written_as_the_setting_is() -> None:
    done = lastack("run", "tw_recycle", "--on", "sim")
    assert done.stdout.startswith("tw-recycle\n")


def test_a_condition_is_read_after_its_claim() -> None:
    told = " ".join(lastack("list", "tcp_syncookies").stdout.split())
    assert "nobody else can connect any more. only if tcp_syncookies is 0" in told


def test_a_knob_is_turned_where_there_is_one() -> None:
    words = ("three-segment-close", "fin-lost", "--set", "think=0.3", "--set", "tcp_rfc1337=1")
    first, second = json.loads(lastack("run", *words, "--on", "sim", "--format", "json").stdout)
    assert first["verdict"] == "holds"
    assert first["given"] == {"think": 0.3, "tcp_rfc1337": 1}
    assert second["verdict"] == "holds"
    assert second["given"] == {"tcp_rfc1337": 1}


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
        (("run", "--all", "memory"), "name experiments or say --all, not both"),
        (("list", "nonsense"), "no experiment is called 'nonsense'; see lastack lab list"),
        (("list", "RST", "nonsense"), "no claim speaks of RST and nonsense"),
        (("run", "three-segment"), "no experiment is called 'three-segment'; did you mean three-segment-close"),
        (
            ("run", "three-segment-close", "--set", "thonk=1"),
            "'thonk' is neither a knob nor a sysctl that the engine knows; did you mean think",
        ),
        (("run", "three-segment-close", "--set", "think=soon"), "think is a number, not 'soon'"),
        (("run", "three-segment-close", "--set", "think=-1"), "think is not negative"),
        (("run", "three-segment-close", "--set", "think=nan"), "think is a number, not 'nan'"),
        (("run", "three-segment-close", "--set", "think=inf"), "think is from 0 to 2,147,483,647, not inf"),
        (("run", "three-segment-close", "--set", "ip_forward=1"), "its knobs: think"),
        (("run", "old-duplicate", "--set", "ip_forward=1"), "it has no knobs"),
        (("run", "memory", "--set", "tcp_fin_timeout=9999999999"), "from 0 to 2,147,483,647"),
        (("run", "memory", "--set", "tcp_rmem=1,2"), "tcp_rmem is 3 whole numbers, not '1,2'"),
        (("run", "memory", "--set", "tcp_rmem=0,0,0"), "tcp_rmem is numbers from 1 to 2,147,483,647"),
        (("run", "memory", "--set", "ip_local_port_range=5,1"), "begins with the lower port"),
        (("run", "memory", "--set", "ip_local_port_range=1,99999"), "numbers from 1 to 65,535"),
        (("run", "memory", "--set", "mtu=0"), "mtu is from 68 to 65,535, not 0"),
        (("run", "three-segment-close", "--step", "--format", "json"), "--step is for people"),
        (("run", "nowhere.py"), "cannot read nowhere.py: No such file or directory"),
        (("run", "tests/lab/counters.py"), "tests/lab/counters.py defines no EXPERIMENT"),
    ],
)
def test_bad_words_are_answered_with_what_would_be_right(words: tuple[str, ...], complaint: str) -> None:
    done = lastack(*words)
    assert done.returncode == 2
    assert complaint in done.stderr


@pytest.mark.root
def test_the_kernel_takes_a_list_of_ports_and_says_what_it_has_not() -> None:
    words = ("run", "three-segment-close", "--on", "kernel", "--set")
    assert lastack(*words, "ip_local_reserved_ports=80,90").returncode == 0
    done = lastack(*words, "time_wait_ms=5")
    assert done.returncode == 1
    assert "this kernel has no time_wait_ms in a network namespace" in done.stdout


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


def test_what_became_of_a_packet_is_its_comment_in_the_words_of_the_ladder(tmp_path: Path) -> None:
    assert lastack("run", "fin-lost", "fin-out-of-order", "--on", "sim", "-o", str(tmp_path)).returncode == 0
    assert b"lost" in (tmp_path / "fin-lost" / "sim-1.pcapng").read_bytes()
    assert b"held back" in (tmp_path / "fin-out-of-order" / "sim-1.pcapng").read_bytes()


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


def test_step_by_step_with_no_input_goes_on_to_the_end() -> None:
    command = f"{sys.executable} -m lastack lab run three-segment-close --on sim --step <&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert "Verdict   false" in done.stdout


def test_a_terminal_is_told_how_long_it_takes_while_it_waits() -> None:
    done = at_a_terminal(0, "run", "time-wait-length", "--on", "sim", "--step")
    assert "lastack: Enter shows the next line" in done
    if os.geteuid() == 0:
        assert " of 2 runs, 1 of about 65 s" in at_a_terminal(2.5, "run", "time-wait-length")


def at_a_terminal(seconds: float, *words: str) -> str:
    """What is shown until then, or until there is something; then it is interrupted."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "lastack", "lab", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = ""
        until = time.monotonic() + (seconds or 30)
        while (left := until - time.monotonic()) > 0 and (seconds or "Enter" not in shown):
            if select.select([ours], [], [], left)[0]:
                shown += os.read(ours, 1 << 16).decode()
        process.send_signal(signal.SIGINT)
        process.wait(20)
    os.close(ours)
    return shown


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
