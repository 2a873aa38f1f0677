"""One TCP connection (RFC 9293), with the settings, the timers and the habits of Linux."""

from __future__ import annotations

from .connection import Connection
from .counters import Counters
from .events import Event
from .info import TcpInfo
from .observer import Observer
from .settings import Settings, SocketOptions

__all__ = ["Connection", "Counters", "Event", "Observer", "Settings", "SocketOptions", "TcpInfo"]
