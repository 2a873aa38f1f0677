"""The last look at a host, and what was counted since the beginning, as Prometheus reads it over HTTP."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from lastack import __version__
from lastack.diagnose.run import RULES
from lastack.errors import CallError
from lastack.model.address import Endpoint
from lastack.model.finding import Severity
from lastack.model.record import ConnectionTable
from lastack.model.state import State

from .flow import BOUNDS_NS
from .groups import STATES, Group, connected, grouped, whole
from .labels import NONE, Labels
from .metrics import BY_NAME, COUNTER, GAUGE

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from lastack.model.time import Nanos

    from .flow import Flow
    from .looker import Seen

PLACES: Final = 64
"""So many processes, and so many listeners, have label values of their own."""

Samples = dict[tuple[str, ...], float]

_NAMES: Final = [state.name for state in sorted(State) if state not in (State.LISTEN, State.CLOSED)]
"""What connections can be in; those that are in none of these states are told all the same."""
_COUNTED: Final[dict[int, str]] = {int(state): state.name for state in State}


class Exporter:
    """Serves `http://ADDR:PORT/metrics` from when it is made until `close`; a context manager.

    Raises CallError where prometheus_client is missing, or the address cannot be had.
    """

    def __init__(self, addr: str, port: int) -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError:
            raise CallError("--prometheus needs prometheus_client: pip install 'lastack[prometheus]'") from None
        self._lock = threading.Lock()
        self._processes, self._listeners = Labels(PLACES), Labels(PLACES)
        self._looks = self._unrecorded = 0
        self._opened: Counter[tuple[str, ...]] = Counter()
        self._ended: Counter[tuple[str, ...]] = Counter()
        self._changes = np.zeros((STATES, STATES), np.int64)
        self._stayed = np.zeros((STATES, len(BOUNDS_NS) + 1), np.int64)
        self._seconds = np.zeros(STATES)
        self._told: tuple[Metric, ...] = ()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, addr, registry)
        except OSError as error:
            raise CallError(f"cannot listen on {Endpoint(addr, port)}: {error.strerror or error}") from error
        host, port = self._server.server_address[:2]
        self.url = f"http://{Endpoint(str(host), int(port))}/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterable[Metric]:
        """What was made of the last look; nothing before the first."""
        with self._lock:
            return self._told

    def update(self, seen: Seen, unrecorded: int = 0) -> None:
        """Take a look in; `unrecorded`: how many looks could not be recorded so far."""
        self._count(seen.flow, seen.at)
        self._unrecorded = unrecorded
        told = tuple(self._families(seen))
        with self._lock:
            self._told = told

    def _count(self, flow: Flow, now: Nanos) -> None:
        self._looks += 1
        for into, births in ((self._opened, flow.births), (self._ended, flow.deaths)):
            for process, count in births["process"].items():
                into[(self._processes.value(str(process), now),)] += count
            for labels in [labels for labels in into if labels[0] not in self._processes]:
                del into[labels]
        self._changes += flow.changes
        self._stayed += flow.stayed
        self._seconds += flow.seconds

    def _families(self, seen: Seen) -> Iterator[Metric]:
        table = ConnectionTable.concatenate([connected(table) for table, _ in seen.look])
        everything = whole(table)
        yield _info("lastack_build", {"version": __version__})
        yield _info("lastack_source", {"name": seen.source, "exact": str(seen.exact).lower()})
        yield _family("lastack_connections", _by_state((), everything, all_states=True))
        yield _family("lastack_oldest_seconds", _oldest(everything))
        yield _family("lastack_process_connections", self._grouped(grouped(table, "process"), self._processes, seen.at))
        yield _family(
            "lastack_listener_connections", self._grouped(grouped(table, "listener"), self._listeners, seen.at)
        )
        yield from self._queues(seen)
        yield from _limits(seen)
        yield from _findings(seen)
        yield _family("lastack_opened", self._opened)
        yield _family("lastack_ended", self._ended)
        yield _family("lastack_state_changes", _changes(self._changes))
        yield self._durations()
        yield _family("lastack_changes_lost", {(): seen.lost})
        yield _family("lastack_lives", {(): seen.lives})
        yield _family("lastack_lives_forgotten", {(): seen.forgotten})
        yield _family("lastack_looks", {(): self._looks})
        yield _family("lastack_looks_unrecorded", {(): self._unrecorded})
        yield _family("lastack_look_duration_seconds", {(): seen.took / 1e9})
        yield _family("lastack_last_look_timestamp_seconds", {(): seen.at / 1e9})

    def _grouped(self, groups: Iterable[Group], labels: Labels, now: Nanos) -> Samples:
        found: Counter[tuple[str, ...]] = Counter()
        for group in groups:
            found.update(_by_state((labels.value(group.name, now),), group))
        return dict(found)

    def _queues(self, seen: Seen) -> Iterator[Metric]:
        """Of each name the fullest: with SO_REUSEPORT one queue may overflow while the others are empty."""
        queue: Samples = {}
        limit: Samples = {}
        listeners = [listener for _, facts in seen.look for listener in facts.listeners]
        for listener in sorted(listeners, key=lambda each: (-each.queue / (each.limit + 1), -each.queue)):
            name = (self._listeners.value(str(listener), seen.at),)
            queue.setdefault(name, listener.queue)
            limit.setdefault(name, listener.limit + 1)
        yield _family("lastack_accept_queue_connections", queue)
        yield _family("lastack_accept_queue_limit_connections", limit)

    def _durations(self) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        metric = BY_NAME["lastack_state_seconds"]
        family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        bounds = [*(f"{bound / 1e9:g}" for bound in BOUNDS_NS), "+Inf"]
        for state, name in _COUNTED.items():
            counts = np.cumsum(self._stayed[state]).tolist()
            if counts[-1]:
                buckets = list(zip(bounds, counts, strict=True))
                family.add_metric([name], buckets, float(self._seconds[state]))
        return family


def _family(name: str, samples: Samples | Counter[tuple[str, ...]]) -> Metric:
    """A gauge or a counter with its samples by their labels' values."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    metric = BY_NAME[name]
    made = {GAUGE: GaugeMetricFamily, COUNTER: CounterMetricFamily}[metric.kind]
    family: Metric = made(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in samples.items():
        family.add_metric(list(labels), value)  # type: ignore[attr-defined]
    return family


def _info(name: str, values: dict[str, str]) -> Metric:
    from prometheus_client.core import InfoMetricFamily

    return InfoMetricFamily(name, BY_NAME[name].meaning, values)


def _by_state(labels: tuple[str, ...], group: Group, all_states: bool = False) -> Samples:
    counts = ((name, int(group.states[state])) for state, name in _COUNTED.items())
    return {(*labels, name): count for name, count in counts if count or (all_states and name in _NAMES)}


def _oldest(group: Group) -> Samples:
    return {(name,): float(group.oldest[state]) / 1e9 for state, name in _COUNTED.items() if name in _NAMES}


def _changes(counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Samples:
    named: dict[int, str] = {0: "unknown", **_COUNTED}
    places = zip(*np.nonzero(counts), strict=True)
    return {
        (named.get(int(before), NONE), named.get(int(after), NONE)): int(counts[before, after])
        for before, after in places
    }


def _limits(seen: Seen) -> Iterator[Metric]:
    nearest = {}
    for gauge in sorted(seen.report.headroom, key=lambda gauge: gauge.share):
        nearest[gauge.what] = gauge
    yield _family("lastack_limit_used", {(what,): gauge.used for what, gauge in nearest.items()})
    yield _family("lastack_limit", {(what,): gauge.limit for what, gauge in nearest.items()})


def _findings(seen: Seen) -> Iterator[Metric]:
    """Every rule and severity, told or not: an alert on a series that appears with its trouble comes late."""
    count: Counter[tuple[str, ...]] = Counter()
    about: Counter[tuple[str, ...]] = Counter()
    for rule in RULES:
        for name in rule.ids:
            for severity in Severity:
                count[name, str(severity)] = about[name, str(severity)] = 0
    for finding in seen.report.findings:
        count[finding.rule, str(finding.severity)] += 1
        about[finding.rule, str(finding.severity)] += len(finding.connections)
    yield _family("lastack_findings", count)
    yield _family("lastack_finding_connections", about)
