"""lastack: the life of a TCP connection, and above all its end.

`lastack.check()` looks at this host and gives a `Report`; `lastack.connections()` gives its connections as a
`ConnectionTable`, which Polars, pandas, DuckDB and PyArrow take as it is; `Simulator` is a network in virtual time with
a complete TCP; `lastack.experiment(name)` plays a claim about closing and judges it. Names are loaded when they are
first used.
"""

from __future__ import annotations

# What this module imports is waited for before Ctrl-C is heard (__main__), and `typing` takes longer than all of it.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Final

    from .api import check, connections, socket
    from .diagnose.thresholds import Thresholds
    from .drive.simulator import Simulator
    from .ending import end
    from .errors import LastackError
    from .lab.together import experiment
    from .model.finding import Advice, Evidence, Finding, Severity
    from .model.record import COLUMNS, ConnectionTable
    from .model.report import Report
    from .model.state import TRANSITIONS, State
    from .tcp.settings import Settings

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
    "Settings",
    "Severity",
    "Simulator",
    "State",
    "Thresholds",
    "__version__",
    "check",
    "connections",
    "end",
    "experiment",
    "socket",
]

_HOME: Final = {
    "api": ("check", "connections", "socket"),
    "diagnose.thresholds": ("Thresholds",),
    "drive.simulator": ("Simulator",),
    "ending": ("end",),
    "errors": ("LastackError",),
    "lab.together": ("experiment",),
    "model.finding": ("Advice", "Evidence", "Finding", "Severity"),
    "model.record": ("COLUMNS", "ConnectionTable"),
    "model.report": ("Report",),
    "model.state": ("TRANSITIONS", "State"),
    "tcp.settings": ("Settings",),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
