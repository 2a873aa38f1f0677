"""Which congestion control a connection has."""

from __future__ import annotations

from lastack.native import i64

from .controller import Controller
from .cubic import Cubic
from .newreno import NewReno


def make_controller(name: str, initial_window: i64) -> Controller:
    """The controller that a name asks for: `cubic`, `newreno` or `reno`. Raises ValueError for another."""
    if name == "cubic":
        return Cubic(initial_window)
    if name in {"newreno", "reno"}:
        return NewReno(initial_window)
    raise ValueError(f"no congestion control is called {name!r}; there are cubic and newreno")
