from __future__ import annotations

from collections.abc import Iterator

import pytest

from .chromium import Chromium, find


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    executable = find()
    if executable is None:
        pytest.skip("chromium is not installed")
    started = Chromium(executable, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()
