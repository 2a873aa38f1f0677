"""`lastack watch` without a screen, a process of its own: what it serves and records, with which capabilities."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("prometheus_client")

from lastack.archive.reader import Recording
from lastack.errors import KernelError, RecordingError
from lastack.linux.namespaces import Namespace
from lastack.live.transitions.source import open_source
from lastack.model.address import Endpoint
from lastack.model.state import State

from .rules.situations import LOOPBACK, Stage, until
from .test_check_end_to_end import assert_clean, lastack, leak

pytestmark = pytest.mark.root

UNIT = Path(__file__).parents[2] / "contrib" / "lastack-watch.service"
PORT = 9_465
URL = f"http://{LOOPBACK}:{PORT}/metrics"


@pytest.fixture
def stage(private_network: Namespace) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, private=True)


@contextmanager
def watching(*arguments: str, before: tuple[str, ...] = (), end: int = signal.SIGTERM) -> Iterator[list[str]]:
    """`lastack watch` with these arguments, ended in order by a signal; what it said is there afterwards."""
    command = [*before, sys.executable, "-m", "lastack", "watch", *arguments]
    said: list[str] = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield said
        process.send_signal(end)
        said += process.communicate(timeout=20)[0].splitlines()
        assert process.returncode == 0, said
    finally:
        process.kill()
        process.communicate()


def scraped() -> dict[str, float]:
    """The samples, by their text; none before the first look."""
    with suppress(OSError), urllib.request.urlopen(URL, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith("lastack_")
        }
    return {}


def held(name: str) -> bool:
    return any(f'process="{name}"' in sample and "CLOSE_WAIT" in sample for sample in scraped())


def recorded(directory: Path) -> bool:
    with suppress(RecordingError):
        return bool(Recording(directory).at().look)
    return False


def test_metrics_are_served_until_the_signal(stage: Stage) -> None:
    server, _ = leak(stage, 20)
    with watching("--prometheus", f"{LOOPBACK}:{PORT}", "--every", "200ms", "--min-age", "0s") as said:
        until(lambda: held("leaky"), "the metrics of the leak")
        told = scraped()
        # The scrape's own connection may be in any state, too.
        assert told['lastack_process_connections{process="leaky",state="CLOSE_WAIT"}'] == 20
        assert told['lastack_findings{rule="close-wait-eof-unread",severity="error"}'] == 1
        stage.process("late").connect(Endpoint(LOOPBACK, server.ports[0]), 5)
        until(lambda: scraped().get('lastack_opened_total{process="late"}') == 5, "births to be counted")
        assert scraped()['lastack_opened_total{process="leaky"}'] == 5
    assert any("metrics are at " + URL in line for line in said)
    assert scraped() == {}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_ends_it_in_order(stage: Stage, end: int, tmp_path: Path) -> None:
    with watching("--record", str(tmp_path), "--quiet", end=end) as said:
        until(lambda: recorded(tmp_path), "a look to be recorded")
    assert said == []


def test_last_night_is_looked_back_at_after_it_is_over(stage: Stage, tmp_path: Path) -> None:
    server, client = leak(stage, 20)
    places = ("--record", str(tmp_path), "--record-every", "100ms", "--every", "100ms")
    with watching(*places):
        until(lambda: recorded(tmp_path), "a look to be recorded")
    client.end()
    server.end()
    until(lambda: stage.count(State.CLOSE_WAIT) == 0, "the leak to be gone")
    assert_clean(lastack("check", "--min-age", "0s", "--pause", "0s"), 0)
    answer = lastack("check", "--recorded", str(tmp_path), "--min-age", "0s")
    assert_clean(answer, 1)
    said = " ".join(answer.stdout.split())
    assert "20 connections are in CLOSE_WAIT because leaky" in said
    assert f"pid {server.pid}" in said
    report = json.loads(lastack("check", "--recorded", str(tmp_path), "--format", "json").stdout)
    assert report["source"]["kind"] == "recording"
    listed = lastack("connections", "--recorded", str(tmp_path), "-f", "state close-wait", "--format", "json")
    assert_clean(listed, 0)
    rows: list[dict[str, Any]] = json.loads(listed.stdout)
    assert {(row["local_state"], row["pid"]) for row in rows} == {("CLOSE_WAIT", server.pid)}
    assert len(rows) == 20
    assert all(row["first_ns"] <= row["last_ns"] for row in rows)
    assert "holds no recording" in lastack("check", "--recorded", "/").stderr
    backwards = lastack("connections", "--recorded", str(tmp_path), "--since", "1h", "--until", "2h")
    assert (backwards.returncode, backwards.stdout) == (2, "")
    assert "is after --until" in backwards.stderr


def test_a_filter_chooses_what_is_recorded_and_a_report_says_so(stage: Stage, tmp_path: Path) -> None:
    leak(stage, 3)
    with watching("--record", str(tmp_path), "-f", "state close-wait", "--min-age", "0s"):
        until(lambda: recorded(tmp_path), "a look to be recorded")
    table, _ = Recording(tmp_path).at().look[0]
    assert table.in_state(State.CLOSE_WAIT).sum() == len(table) == 3
    report = json.loads(lastack("check", "--recorded", str(tmp_path), "--format", "json").stdout)
    assert report["source"]["filter"] == "state close-wait"


def test_a_recording_that_is_killed_loses_a_look_at_most(stage: Stage, tmp_path: Path) -> None:
    leak(stage, 5)
    options = ("--record", str(tmp_path), "--record-every", "20ms", "--every", "20ms", "--quiet")
    for before in range(2):
        process = subprocess.Popen([sys.executable, "-m", "lastack", "watch", *options])
        try:
            until(lambda: len(looks(tmp_path)) > 5 * (before + 1), "looks to be recorded")  # noqa: B023 - at once
        finally:
            process.kill()
            process.wait()
        assert Recording(tmp_path).between(None, None).unseen == ()
        assert {len(table.select(table.in_state(State.CLOSE_WAIT))) for table, _ in Recording(tmp_path).at().look} == {
            5
        }
    there = len(looks(tmp_path))
    with watching(*options):
        until(lambda: len(looks(tmp_path)) > there, "another look to be recorded")
    assert not list(tmp_path.glob("*.new"))


def looks(directory: Path) -> list[Path]:
    return list(directory.glob("hosts-*.parquet"))


def capabilities() -> str:
    """Those of the unit, as setpriv has them."""
    found = re.search(r"^AmbientCapabilities=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None
    assert f"CapabilityBoundingSet={found[1]}\n" in UNIT.read_text()
    return found[1].lower().replace("cap_", "+").replace(" ", ",")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")
def test_the_units_capabilities_are_enough(stage: Stage, tmp_path: Path) -> None:
    try:
        open_source(frozenset(), "bpf").close()
    except KernelError as error:
        pytest.skip(f"no BPF here: {error}")
    leak(stage, 20)
    place = tmp_path / "recorded"
    place.mkdir()
    for directory in (place, *place.parents[:3]):
        directory.chmod(0o755)
    shutil.chown(place, 65_534, 65_534)
    caps = f"-all,{capabilities()}"
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", f"--inh-caps={caps}")
    allowed = (*nobody, f"--ambient-caps={caps}", f"--bounding-set={caps}")
    options = ("--prometheus", f"{LOOPBACK}:{PORT}", "--record", str(place), "--every", "200ms")
    with watching(*options, before=allowed) as said:
        until(lambda: held("leaky"), "the owner of the leak, which is another user's process")
        until(lambda: recorded(place), "a look to be recorded")
        source = next(sample for sample in scraped() if "lastack_source_info" in sample)
    assert 'name="bpf"' in source, said
