"""A line to the kernel, clean or bad; each in a network namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lastack.linux.namespaces import Namespace

from .line import Line


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
