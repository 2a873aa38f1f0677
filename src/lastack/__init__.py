"""lastack: the life of a TCP connection, and above all its end.

`lastack.check()` looks at this host and gives a `Report`; `lastack.connections()` gives its connections as a
`ConnectionTable`, which Polars, pandas, DuckDB and PyArrow take as it is. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .api import check, connections, socket
    from .diagnose.thresholds import Thresholds
    from .errors import LastackError
    from .model.finding import Advice, Evidence, Finding, Severity
    from .model.record import COLUMNS, ConnectionTable
    from .model.report import Report
    from .model.state import TRANSITIONS, State

__version__ = "0.1.0"

__all__ = [
    "COLUMNS",
    "TRANSITIONS",
    "Advice",
    "ConnectionTable",
    "Evidence",
    "Finding",
    "LastackError",
    "Report",
    "Severity",
    "State",
    "Thresholds",
    "__version__",
    "check",
    "connections",
    "socket",
]

_HOME: Final = {
    "api": ("check", "connections", "socket"),
    "diagnose.thresholds": ("Thresholds",),
    "errors": ("LastackError",),
    "model.finding": ("Advice", "Evidence", "Finding", "Severity"),
    "model.record": ("COLUMNS", "ConnectionTable"),
    "model.report": ("Report",),
    "model.state": ("TRANSITIONS", "State"),
}


def __getattr__(name: str) -> object:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
