"""What Prometheus is told: names, values, and never more series than there is room for."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from lastack.errors import CallError
from lastack.model.host import Listener
from lastack.model.state import State
from lastack.model.time import SECOND
from lastack.watch.exporter import PLACES, Exporter
from lastack.watch.labels import LONGEST, OTHER, Labels
from lastack.watch.metrics import BY_NAME, METRICS

from .looks import EVIL, NOON, connections, facts, flow, seen

parser = pytest.importorskip("prometheus_client.parser")

HOUR = 3600 * SECOND


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter("127.0.0.1", 0) as made:
        yield made


def scraped(exporter: Exporter) -> dict[str, Any]:
    """The metric families by their names, as a parser of the format reads them."""
    with urllib.request.urlopen(exporter.url, timeout=10) as answer:
        text = answer.read().decode()
    # This format has no word for an info: it is a gauge of another name.
    return {family.name.removesuffix("_info"): family for family in parser.text_string_to_metric_families(text)}


def values(family: Any) -> dict[tuple[str, ...], float]:
    labels = BY_NAME[family.name.removesuffix("_info")].labels
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in family.samples}


def test_before_the_first_look_nothing_is_told(exporter: Exporter) -> None:
    assert not any(name.startswith("lastack_") for name in scraped(exporter))


def test_all_metrics_that_are_documented_are_told_and_no_others(exporter: Exporter) -> None:
    exporter.update(seen(connections(3, State.CLOSE_WAIT)))
    found = scraped(exporter)
    assert list(found) == [metric.name for metric in METRICS]
    for name, family in found.items():
        kind = BY_NAME[name].kind.replace("info", "gauge")
        assert (family.type, family.documentation) == (kind, BY_NAME[name].meaning), name
        for sample in family.samples:
            assert set(sample.labels) - {"le", "version", "name", "exact"} <= set(BY_NAME[name].labels), name


def test_connections_are_told_by_state_process_and_listener(exporter: Exporter) -> None:
    exporter.update(
        seen(connections(3, State.CLOSE_WAIT), connections(2, State.TIME_WAIT, None, first=50, listener=None))
    )
    found = scraped(exporter)
    states = values(found["lastack_connections"])
    assert (states["CLOSE_WAIT",], states["TIME_WAIT",], states["ESTABLISHED",]) == (3, 2, 0)
    assert values(found["lastack_process_connections"]) == {("server", "CLOSE_WAIT"): 3, ("none", "TIME_WAIT"): 2}
    assert values(found["lastack_listener_connections"]) == {("127.0.0.1:80", "CLOSE_WAIT"): 3}
    assert values(found["lastack_oldest_seconds"])["CLOSE_WAIT",] == 300
    assert values(found["lastack_accept_queue_connections"]) == {("127.0.0.1:80",): 3}
    assert values(found["lastack_accept_queue_limit_connections"]) == {("127.0.0.1:80",): 129}


def test_a_finding_has_a_series_before_it_is_one(exporter: Exporter) -> None:
    exporter.update(seen(connections(1, State.ESTABLISHED)))
    assert set(values(scraped(exporter)["lastack_findings"]).values()) == {0}
    exporter.update(seen(connections(30, State.CLOSE_WAIT)))
    found = scraped(exporter)
    told = {labels: value for labels, value in values(found["lastack_findings"]).items() if value}
    assert told == {("close-wait-eof-unread", "error"): 1}
    assert values(found["lastack_finding_connections"])["close-wait-eof-unread", "error"] == 30


def test_counters_only_grow_and_histograms_are_sums(exporter: Exporter) -> None:
    news = flow(births={"process": {"curl": 4}}, deaths={"process": {"curl": 1}})
    news.changes[State.ESTABLISHED, State.CLOSE_WAIT] = 6
    news.stayed[State.ESTABLISHED, 0], news.stayed[State.ESTABLISHED, 3] = 2, 4
    news.seconds[State.ESTABLISHED] = 1.5
    for _ in range(2):
        exporter.update(seen(connections(1, State.ESTABLISHED), flow=news, lost=9))
    found = scraped(exporter)
    assert values(found["lastack_opened"])["curl",] == 8
    assert values(found["lastack_ended"])["curl",] == 2
    assert values(found["lastack_state_changes"])["ESTABLISHED", "CLOSE_WAIT"] == 12
    assert values(found["lastack_changes_lost"])[()] == 9
    assert values(found["lastack_looks"])[()] == 2
    samples = {(s.name, s.labels.get("le")): s.value for s in found["lastack_state_seconds"].samples}
    assert samples["lastack_state_seconds_bucket", "0.0001"] == 4
    assert samples["lastack_state_seconds_bucket", "0.003"] == 12
    assert samples["lastack_state_seconds_bucket", "+Inf"] == samples["lastack_state_seconds_count", None] == 12
    assert samples["lastack_state_seconds_sum", None] == 3.0


def test_looks_that_could_not_be_recorded_are_counted(exporter: Exporter) -> None:
    exporter.update(seen(), 3)
    assert values(scraped(exporter)["lastack_looks_unrecorded"]) == {(): 3}


def test_hostile_names_are_harmless_and_none_too_long(exporter: Exporter) -> None:
    exporter.update(
        seen(connections(1, State.ESTABLISHED, EVIL), connections(1, State.ESTABLISHED, 'q"\\\n' * 99, first=9))
    )
    names = {labels[0] for labels in values(scraped(exporter)["lastack_process_connections"])}
    assert names == {r"\x1b[31m[bold]red\x07", (r'q"\\\x0a' * 99).replace("\\\\", "\\")[:LONGEST]}


def test_a_fork_storm_makes_no_more_series_than_there_is_room_for(exporter: Exporter) -> None:
    for look in range(5):
        births = {f"worker-{look}-{number}": 1 for number in range(500)}
        tables = [connections(1, State.ESTABLISHED, f"worker-{look}-{n}", pid=n + 1, first=n + 1) for n in range(200)]
        exporter.update(seen(*tables, flow=flow(births={"process": births}), at=NOON + look * SECOND))
    found = scraped(exporter)
    assert len(values(found["lastack_opened"])) == PLACES + 1
    assert sum(values(found["lastack_opened"]).values()) == 2_500
    assert sum(values(found["lastack_process_connections"]).values()) == 200
    assert set(values(found["lastack_process_connections"])) == {(OTHER, "ESTABLISHED")}


def test_listeners_are_bounded_too(exporter: Exporter) -> None:
    listeners = tuple(Listener(4, "0.0.0.0", port, port % 7, 10, port) for port in range(1_000, 2_000))
    exporter.update(seen(known=facts(listeners=listeners)))
    queues = values(scraped(exporter)["lastack_accept_queue_connections"])
    assert len(queues) == PLACES + 1
    assert set(queues.values()) == {6}  # the fullest have names, and the fullest of the others is told


def test_one_full_queue_is_not_hidden_by_the_empty_ones_at_its_address(exporter: Exporter) -> None:
    listeners = tuple(Listener(4, "0.0.0.0", 80, queue, 10, number) for number, queue in enumerate((0, 11, 3)))
    exporter.update(seen(known=facts(listeners=listeners)))
    found = scraped(exporter)
    assert values(found["lastack_accept_queue_connections"]) == {("0.0.0.0:80",): 11}
    assert values(found["lastack_accept_queue_limit_connections"]) == {("0.0.0.0:80",): 11}


def test_a_place_is_free_again_an_hour_after_its_name_was_last_seen() -> None:
    labels = Labels(2)
    assert [labels.value(name, 0) for name in ("a", "b", "c", "")] == ["a", "b", OTHER, OTHER]
    assert labels.value("a", HOUR) == "a"
    assert labels.value("c", HOUR) == "c"  # b's place
    assert "b" not in labels
    assert labels.value("b", HOUR) == OTHER


def test_counters_of_a_name_that_lost_its_place_are_given_up(exporter: Exporter) -> None:
    first = {f"old-{number}": 1 for number in range(PLACES)}
    exporter.update(seen(flow=flow(births={"process": first})))
    exporter.update(seen(flow=flow(births={"process": {"new": 1}}), at=NOON + 2 * HOUR))
    assert values(scraped(exporter)["lastack_opened"]) == {("new",): 1}


def test_an_address_that_is_taken_is_an_error_that_says_so(exporter: Exporter) -> None:
    port = int(exporter.url.split(":")[2].split("/")[0])
    with pytest.raises(CallError, match=f"cannot listen on 127.0.0.1:{port}: "):
        Exporter("127.0.0.1", port)


def test_a_client_that_says_nothing_keeps_nobody_waiting(exporter: Exporter) -> None:
    port = int(exporter.url.split(":")[2].split("/")[0])
    exporter.update(seen(connections(1, State.ESTABLISHED)))
    with socket.create_connection(("127.0.0.1", port)):
        assert "lastack_connections" in scraped(exporter)


def test_after_the_end_nobody_listens_and_no_thread_is_left() -> None:
    with Exporter("127.0.0.1", 0) as exporter:
        url = exporter.url
    with pytest.raises(OSError):
        urllib.request.urlopen(url, timeout=5)
    assert not [thread for thread in threading.enumerate() if "serve_forever" in thread.name]
