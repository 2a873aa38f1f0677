"""Ways to drive a stack: the pump, and a network in virtual time."""

from __future__ import annotations

from .application import Application
from .handles import SimListener, SimSocket
from .link import Channel, Fate, Link
from .pump import Device, pump
from .simulator import Host, Simulator
from .trace import Trace

__all__ = [
    "Application",
    "Channel",
    "Device",
    "Fate",
    "Host",
    "Link",
    "SimListener",
    "SimSocket",
    "Simulator",
    "Trace",
    "pump",
]
