from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["terminal", "listing", "html", "machine", "socket_view", "schema"])
def test_importing_a_view_loads_neither_rich_nor_numpy(module: str) -> None:
    script = f"import sys, lastack.report.{module}; print(*sorted({{'rich', 'numpy', 'csv'}} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) <= {"csv"}
