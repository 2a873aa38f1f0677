"""What the threads of a Python process are at, by py-spy (https://github.com/benfred/py-spy) where that is installed.

It reads the memory of the process and does not stop it (`--nonblocking`); it takes the right to trace.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from lastack.model.host import Frame, Stack

from . import procfs
from .procfs import PROC

_MOST_THREADS: Final = 512
_MOST_FRAMES: Final = 100
_LIBRARY: Final = re.compile(r"/(lib|lib64)/(python|pypy)[0-9.]*/|/(site|dist)-packages/|^<frozen ")
"""The standard library, and what was installed beside it."""


def python_stacks(pid: int, patience_s: float) -> tuple[Stack, ...]:
    """The threads of a Python process; none where py-spy is missing, may not look, or finds no Python. Never raises."""
    tool = _tool()
    if tool is None:
        return ()
    import json
    import subprocess  # neither is loaded where no Python program is suspect

    command = [tool, "dump", "--json", "--nonblocking", "--pid", str(pid)]
    try:
        with procfs.directory(f"{PROC}/{pid}") as home:
            answer = subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, timeout=patience_s, check=False
            )
            procfs.stat(home)  # the process that was asked is still the one that was meant
        threads = json.loads(answer.stdout) if answer.returncode == 0 else ()
        return tuple(_stack(thread) for thread in threads[:_MOST_THREADS])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, subprocess.TimeoutExpired):
        return ()


def _tool() -> str | None:
    """py-spy, of the same environment as this Python, or of the path."""
    import shutil

    beside = Path(sys.executable).parent
    return shutil.which("py-spy", path=os.pathsep.join((str(beside), os.environ.get("PATH", os.defpath))))


def _stack(thread: dict[str, Any]) -> Stack:
    frames = tuple(
        Frame(str(each["name"]), str(each["filename"]), int(each["line"]), bool(_LIBRARY.search(each["filename"])))
        for each in thread["frames"][:_MOST_FRAMES]
    )
    return Stack(str(thread["thread_name"] or ""), int(thread["os_thread_id"] or 0), frames)
