"""Congestion control: how many segments may be on their way."""

from __future__ import annotations

from .choice import make_controller
from .controller import Controller
from .cubic import Cubic
from .newreno import NewReno

__all__ = ["Controller", "Cubic", "NewReno", "make_controller"]
