"""Servers and a client as applications: they live on any stack, in virtual time or on a wire."""

from __future__ import annotations

from .client import Fetch
from .files import Files
from .http import FileServer
from .plain import Chargen, Discard, Echo, Refusal
from .relay import Relay
from .stream import Stream

__all__ = ["Chargen", "Discard", "Echo", "Fetch", "FileServer", "Files", "Refusal", "Relay", "Stream"]
