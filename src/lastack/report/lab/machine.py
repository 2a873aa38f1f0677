"""What experiments came to, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import IO, Any

from lastack.model.lab import Row, Run, Scene, Verdict


def document(row: Row, language: str) -> dict[str, Any]:
    """One row: name, on, claim, verdict, sim, kernel, agrees, reason, and what it rests on."""
    condition = row.about.condition
    return {
        "name": row.name,
        "on": row.on,
        "claim": row.about.claim.said(language),
        "verdict": None if row.verdict is None else row.verdict.value,
        "condition": condition.said(language) if condition and row.verdict is Verdict.ONLY_IF else None,
        "given": dict(row.given),
        "sim": _run(row.sim),
        "kernel": _run(row.kernel),
        "sim_at_full_length": _run(row.full),
        "agrees": row.agrees,
        "reason": row.failed or row.missing or row.reason,
        "differences": list(row.differences),
    }


def write_rows(rows: Iterable[Row], form: str, file: IO[str], language: str = "en") -> None:
    """The rows as one JSON array, or as `jsonl`."""
    documents = [document(row, language) for row in rows]
    if form == "jsonl":
        for one in documents:
            file.write(json.dumps(one, allow_nan=False) + "\n")
        return
    json.dump(documents, file, indent=1, allow_nan=False)
    file.write("\n")


def _run(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "system": run.system,
        "verdict": run.outcome.verdict.value,
        "knobs": dict(run.knobs),
        "facts": [
            {"what": fact.what, "value": fact.value, "unit": fact.unit, "compared": fact.near is not None}
            for fact in run.outcome.facts
        ],
        "scenes": [_scene(scene) for scene in run.scenes],
        "wall_s": round(run.wall_s, 3),
        "late_s": round(run.late_s, 6),
    }


def _scene(scene: Scene) -> dict[str, Any]:
    return {
        "title": scene.title,
        "settings": {host: dict(settings) for host, settings in scene.settings.items()},
        "replaced": list(scene.replaced),
        "moved": {host: dict(moved) for host, moved in scene.moved.items()},
        "connections": [
            {
                "local": history.local,
                "remote": history.remote,
                "sampled": history.sampled,
                "segments": [segment._asdict() for segment in history.segments],
                "changes": [
                    {**change._asdict(), "before": change.before.name, "after": change.after.name}
                    for change in history.changes
                ],
            }
            for history in scene.histories
        ],
        "left_out": scene.left_out,
    }
