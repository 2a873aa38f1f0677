"""What experiments came to, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import IO, Any, Final, TypeVar

from lastack.model.history import History, LadderSegment
from lastack.model.lab import Row, Run, Scene, Verdict

_BEGIN: Final = 50
_END: Final = 150
"""So many segments, and so many changes of state, of a connection that has more are told; its packets are complete."""
T = TypeVar("T")


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
    """The rows, one a line: as a JSON array, or as `jsonl`."""
    lines = (json.dumps(document(row, language), allow_nan=False) for row in rows)
    file.write("".join(f"{line}\n" for line in lines) if form == "jsonl" else "[" + ",\n".join(lines) + "]\n")


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
        "connections": [_connection(history) for history in scene.histories],
        "left_out": scene.left_out,
    }


def _connection(history: History) -> dict[str, Any]:
    segments, changes = _kept(history.segments), _kept(history.changes)
    return {
        "local": history.local,
        "remote": history.remote,
        "sampled": history.sampled,
        "segments": [_segment(segment) for segment in segments],
        "changes": [
            {**change._asdict(), "before": change.before.name, "after": change.after.name} for change in changes
        ],
        "left_out": {
            "segments": len(history.segments) - len(segments),
            "changes": len(history.changes) - len(changes),
        },
    }


def _segment(segment: LadderSegment) -> dict[str, Any]:
    """Without the number of its frame, which it has in a capture alone."""
    return {name: value for name, value in segment._asdict().items() if name != "number"}


def _kept(items: Sequence[T]) -> Sequence[T]:
    """All of them, or of many the first and the last."""
    return items if len(items) <= _BEGIN + _END else [*items[:_BEGIN], *items[-_END:]]
