"""lastack: the life of a TCP connection, and above all its end."""

from __future__ import annotations

__version__ = "0.1.0"
