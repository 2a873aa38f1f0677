"""Draw the pictures of docs/screen.md: the view at two sizes, in the situation of the demo. As root, in a minute."""

from __future__ import annotations

import asyncio
import re
import runpy
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from lastack.diagnose.thresholds import Thresholds
from lastack.model.time import SECOND
from lastack.watch.looker import Asked, Looker
from lastack.watch.screen.app import Watch
from lastack.watch.stop import Stop

HERE: Final = Path(__file__).parent
PICTURES: Final = (
    ("watch-80x24", (80, 24), (), 20),
    ("watch-200x50", (200, 50), (), 25),
    ("watch-life-80x24", (80, 24), ("down", "down", "enter", "enter"), 4),
)
"""Name, columns and lines, keys, and how long to watch before, in seconds."""


async def draw(looker: Looker, name: str, size: tuple[int, int], keys: tuple[str, ...], seconds: int) -> None:
    """Watch for a while, press the keys, and write what the screen shows as SVG."""
    with Stop() as stop:
        app = Watch(looker, stop)
        async with app.run_test(size=size) as pilot:
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                await pilot.pause(0.1)
            for key in keys:
                await pilot.press(key)
                await pilot.pause(3)
            picture = app.export_screenshot(title="lastack watch")
    # Whoever looks at it need not fetch a font from elsewhere.
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL).replace("Fira Code", "monospace")
    (HERE / f"{name}.svg").write_text(picture)


def main() -> None:
    """Break things as the demo does, and look."""
    demo = runpy.run_path(str(HERE.parent / "demo" / "run.py"))
    address, port = demo["ADDRESS"], demo["PORT"]
    with ExitStack() as stack:
        stack.enter_context(demo["stage"]())
        asked = Asked(every=SECOND // 2, thresholds=Thresholds(min_age_ns=3 * SECOND))
        looker = stack.enter_context(Looker(asked))
        for arguments in (("honest_server.py", address, port), ("leaky_server.py", address, port + 1)):
            stack.enter_context(demo["running"](*arguments))
        demo["visit"](port + 1, 24, reads=b"welcome\n")
        demo["visit"](port + 2, 36)
        demo["visit"](port + 3, 5, says=b"is anybody there?\n")
        stack.enter_context(demo["running"]("hasty_client.py", address, port, 20))
        for picture in PICTURES:
            asyncio.run(draw(looker, *picture))


if __name__ == "__main__":
    main()
