"""Says it plainly where the running system is not Linux."""

from __future__ import annotations

import sys

from lastack.errors import KernelError


def require_linux(what: str) -> None:
    """Return on Linux; elsewhere raise a KernelError that says what does work there."""
    if sys.platform != "linux":
        raise KernelError(
            f"{what} needs Linux, and this is {sys.platform}. What works here: the vocabulary and the tables "
            "(`import lastack.model`), and reading what lastack wrote on a Linux host (JSON, HTML, Parquet)."
        )
