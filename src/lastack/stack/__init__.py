"""One host's TCP: many connections, listeners, ports, and the table of those that wait."""

from __future__ import annotations

from .dice import Dice
from .listener import Listener
from .sock import Socket
from .stack import Notice, Stack

__all__ = ["Dice", "Listener", "Notice", "Socket", "Stack"]
