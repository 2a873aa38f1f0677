"""What Prometheus is told, and how it is called: every metric with its meaning, its labels and where it comes from."""

from __future__ import annotations

from typing import Final, NamedTuple

GAUGE: Final = "gauge"
COUNTER: Final = "counter"
HISTOGRAM: Final = "histogram"
INFO: Final = "info"


class Metric(NamedTuple):
    """A metric: its name without what its kind adds (`_total`, `_bucket`), its kind, labels, and meaning."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


METRICS: Final = (
    Metric("lastack_build", INFO, (), "The version of lastack."),
    Metric("lastack_source", INFO, (), "Where changes of state are read: bpf, tracefs or sock_diag (then not exact)."),
    Metric("lastack_connections", GAUGE, ("state",), "Connections in each state, mini-sockets included."),
    Metric("lastack_oldest_seconds", GAUGE, ("state",), "Least age of the oldest connection in each state."),
    Metric("lastack_process_connections", GAUGE, ("process", "state"), "Connections by the process that holds them."),
    Metric(
        "lastack_listener_connections", GAUGE, ("listener", "state"), "Connections by the listener they came in by."
    ),
    Metric(
        "lastack_accept_queue_connections",
        GAUGE,
        ("listener",),
        "Connections waiting for accept(); of several sockets at one address, in the fullest queue.",
    ),
    Metric("lastack_accept_queue_limit_connections", GAUGE, ("listener",), "What that accept queue holds."),
    Metric("lastack_limit_used", GAUGE, ("limit",), "How much of a limit is used, where that is most."),
    Metric("lastack_limit", GAUGE, ("limit",), "The limit itself."),
    Metric("lastack_findings", GAUGE, ("rule", "severity"), "Findings of each rule."),
    Metric("lastack_finding_connections", GAUGE, ("rule", "severity"), "Connections that they are about."),
    Metric("lastack_opened", COUNTER, ("process",), "Connections opened, by the process that connected or listens."),
    Metric("lastack_ended", COUNTER, ("process",), "Connections that are over, by the process that closed them."),
    Metric("lastack_state_changes", COUNTER, ("before", "after"), "Changes of state."),
    Metric("lastack_state_seconds", HISTOGRAM, ("state",), "How long connections were in a state that they left."),
    Metric("lastack_changes_lost", COUNTER, (), "Changes of state that are known to have been lost."),
    Metric("lastack_lives", GAUGE, (), "Connections whose life is being followed."),
    Metric("lastack_lives_forgotten", COUNTER, (), "Lives that there was no room for."),
    Metric("lastack_looks", COUNTER, (), "Looks at all connections."),
    Metric("lastack_looks_unrecorded", COUNTER, (), "Looks that --record could not keep: a full disk."),
    Metric("lastack_look_duration_seconds", GAUGE, (), "How long the last look took."),
    Metric("lastack_last_look_timestamp_seconds", GAUGE, (), "When the last look was."),
)
"""In the order in which they are told."""

BY_NAME: Final = {metric.name: metric for metric in METRICS}
