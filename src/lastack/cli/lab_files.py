"""What `lastack lab run -o DIR` writes: packets, JSON and pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .options import writing

if TYPE_CHECKING:
    from lastack.model.lab import Row, Scene


def write_all(rows: Sequence[Row], directory: Path, language: str) -> None:
    """NAME.html and index.html, results.json, and NAME/SIDE-SCENE.pcapng. Raises CallError where that cannot be."""
    from lastack.report.lab.html import packets, render_index, render_page
    from lastack.report.lab.machine import write_rows

    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for row in rows:
            (directory / f"{row.name}.html").write_text(render_page(row, language), encoding="utf-8")
            for side, run in (("sim", row.sim), ("kernel", row.kernel), ("sim-full", row.full)):
                for number, scene in enumerate(run.scenes if run is not None else (), 1):
                    _write_packets(scene, directory / packets(row.name, side, number))
        (directory / "index.html").write_text(render_index(rows, language), encoding="utf-8")
        with (directory / "results.json").open("w", encoding="utf-8") as file:
            write_rows(rows, "json", file, language)


def _write_packets(scene: Scene, path: Path) -> None:
    """One interface a host; what became of a packet is its comment."""
    from lastack.lab.story import FATES
    from lastack.wire.pcapng import PcapngWriter

    path.parent.mkdir(exist_ok=True)
    names = list(dict.fromkeys(host for _, host, _, _ in scene.packets)) or ["client"]
    with path.open("wb") as file:
        writer = PcapngWriter(file, names)
        for at, host, data, fate in scene.packets:
            writer.write(names.index(host), at, data, FATES.get(fate, fate))
