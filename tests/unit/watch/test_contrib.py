"""What is in contrib/ speaks of metrics that there are, and asks for what the watch needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lastack.watch.metrics import COUNTER, HISTOGRAM, INFO, METRICS

CONTRIB = Path(__file__).parents[3] / "contrib"
ADDED = {COUNTER: ["_total"], HISTOGRAM: ["_bucket", "_count", "_sum"], INFO: ["_info"]}
SERIES = {metric.name + end: metric for metric in METRICS for end in ADDED.get(metric.kind, [""])}
OF_PROMETHEUS = {"instance", "le"}


def dashboard() -> list[str]:
    panels = json.loads((CONTRIB / "grafana.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def alerts() -> list[str]:
    text = (CONTRIB / "alerts.yml").read_text()
    return re.findall(r"expr: (?:\|\n)?((?:.|\n)*?)\n +(?:for|labels):", text)


def test_there_is_something_to_check() -> None:
    assert len(dashboard()) > 10
    assert len(alerts()) == (CONTRIB / "alerts.yml").read_text().count("- alert:")


@pytest.mark.parametrize("expression", [*dashboard(), *alerts()])
def test_every_series_is_told_and_has_the_labels_that_are_asked_for(expression: str) -> None:
    named = re.findall(r"(lastack_\w+)(?:\{([^}]*)\})?", expression)
    assert named
    for series, selector in named:
        assert series in SERIES
        asked = set(re.findall(r"(\w+)(?:=~|!=|=)", selector or ""))
        assert asked <= {*SERIES[series].labels, *OF_PROMETHEUS}
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        there = set.union(*({*SERIES[series].labels, *OF_PROMETHEUS} for series, _ in named))
        assert set(labels.split(", ")) <= there


def test_every_metric_is_known_to_the_dashboard_or_is_about_the_watch_itself() -> None:
    shown = " ".join(dashboard())
    missing = [name for name in SERIES if not re.search(rf"{name}\b", shown)]
    own = {"lastack_build_info", "lastack_source_info", "lastack_lives", "lastack_lives_forgotten_total"}
    own |= {"lastack_looks_total", "lastack_last_look_timestamp_seconds", "lastack_listener_connections"}
    assert set(missing) <= own | {"lastack_state_seconds_count", "lastack_state_seconds_sum"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_finds_nothing_wrong_with_the_alerts() -> None:
    subprocess.run(["promtool", "check", "rules", str(CONTRIB / "alerts.yml")], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "lastack-watch.service"
    text = (CONTRIB / "lastack-watch.service").read_text()
    unit.write_text(text.replace("ExecStart=/usr/local/bin/lastack", "ExecStart=/bin/true"))
    answer = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout + answer.stderr) == (0, "")
