"""What all tests share: those that need root say so when skipped, and a network of their own where they want one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from lastack.linux.namespaces import Namespace

# How long an example takes says more about a shared machine than about the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# A shell has what it starts in the background ignore Ctrl-C, and children inherit that: those here are ended by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Tools come from the path, or from the environment of this Python, which need not be on the path.
TOOLS = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("tool"):
            missing = [name for name in mark.args if shutil.which(name, path=TOOLS) is None]
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))
    if sys.platform == "linux" and os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root on Linux: it makes network namespaces")
    for item in items:
        if "root" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def private_network() -> Iterator[Namespace]:
    """The test's own thread in a fresh network namespace with only a loopback; back in the former one afterwards."""
    from lastack.linux import namespaces, sysctl

    with namespaces.private() as namespace:
        # Or on a busy machine the answer to a late delayed ACK is a RST that ends a TIME_WAIT.
        sysctl.write("net.ipv4.tcp_rfc1337", 1)
        yield namespace
