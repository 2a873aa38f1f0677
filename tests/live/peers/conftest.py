"""A line to the kernel, clean or bad; each in a network namespace of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from lastack.linux.namespaces import Namespace

from .line import Line


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `tool` is skipped where that program is not installed."""
    for item in items:
        for mark in item.iter_markers("tool"):
            missing = [name for name in mark.args if shutil.which(name) is None]
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


@pytest.fixture
def line(private_network: Namespace) -> Iterator[Line]:
    """A clean one."""
    line = Line()
    yield line
    line.close()


@pytest.fixture(params=[False, True], ids=["clean", "bad"])
def any_line(request: pytest.FixtureRequest, private_network: Namespace) -> Iterator[Line]:
    """A clean one, and one that loses, reorders, doubles and damages."""
    line = Line(bad=request.param)
    yield line
    line.close()
