"""The shared words: states, times, addresses, connections, findings. Importing it loads nothing heavy."""

from __future__ import annotations

from .address import Endpoint, FourTuple
from .close import CloseKind, Closer, Timer, Viewpoint
from .finding import Advice, Evidence, Finding, Histogram, Severity
from .host import Configured, Holder, HostFacts, Listener, Process, SecondLook, Usage, Wait
from .record import COLUMN, COLUMNS, Column, ConnectionTable, Values
from .report import Gauge, Report, Source
from .state import TRANSITIONS, State, Transition, lawful
from .time import MILLISECOND, SECOND, Nanos, spoken

__all__ = [
    "COLUMN",
    "COLUMNS",
    "MILLISECOND",
    "SECOND",
    "TRANSITIONS",
    "Advice",
    "CloseKind",
    "Closer",
    "Column",
    "Configured",
    "ConnectionTable",
    "Endpoint",
    "Evidence",
    "Finding",
    "FourTuple",
    "Gauge",
    "Histogram",
    "Holder",
    "HostFacts",
    "Listener",
    "Nanos",
    "Process",
    "Report",
    "SecondLook",
    "Severity",
    "Source",
    "State",
    "Timer",
    "Transition",
    "Usage",
    "Values",
    "Viewpoint",
    "Wait",
    "lawful",
    "spoken",
]
