"""The published JSON Schemas, derived from the types and columns they describe."""

from __future__ import annotations

from typing import Any, Final, get_type_hints

from lastack.model.ending import Left, Means, Outcome
from lastack.model.finding import Advice, Evidence, Severity
from lastack.model.history import LadderSegment, StateChange
from lastack.model.lab import Setting, Value, Verdict
from lastack.model.record import ADDRESS, COLUMNS, TEXT, Column
from lastack.model.report import Gauge, Source
from lastack.model.state import State

REPORT: Final = "lastack/report/1"
"""What `schema` says in the JSON of a report; the number grows when a reader would have to change."""
ENDING: Final = "lastack/end/1"
"""The same in the JSON of `lastack end`."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Final[dict[Any, dict[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    str | int | float: {"type": ["string", "number", "null"]},
    tuple[str, ...]: {"type": "array", "items": {"type": "string"}},
    int | None: {"type": ["integer", "null"]},
    State: {"enum": [state.name for state in State]},
    Setting: {"type": ["number", "string", "boolean"]},
    Value: {"type": ["number", "string", "boolean", "array"], "items": {"type": "string"}},
}


def report_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `lastack check --format json`."""
    return {
        "$schema": _DIALECT,
        "title": "lastack check",
        "description": "What is wrong with how a host, or a capture, closes its connections. "
        "Durations and instants are integer nanoseconds; missing is null.",
        **_object(
            {
                "schema": {"const": REPORT},
                "source": _record(Source, {"unseen": _list({"type": "string"})}),
                "findings": _list({"$ref": "#/$defs/finding"}),
                "counts": _object(
                    {"connections": _COUNT, "states": _tally({"type": "string"}), "findings": _severities()}
                ),
                "headroom": _list({"$ref": "#/$defs/gauge"}),
            }
        ),
        "$defs": {
            "finding": _finding(),
            "evidence": _record(Evidence),
            "advice": _record(Advice),
            "gauge": _record(Gauge),
            "connection": _row(),
        },
    }


def connection_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one row of `lastack connections --format json|jsonl`."""
    return {"$schema": _DIALECT, "title": "a connection", **_row()}


def ending_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `lastack end --format json`."""
    text = {"type": ["string", "null"]}
    entry = {
        "outcome": {"enum": [*(outcome.value for outcome in Outcome), None], "description": "null before it is done"},
        "left": {"enum": [*(left.value for left in Left), None], "description": "why it is left alone"},
        "state": {"enum": [*(state.name for state in State), None], "description": "the last seen"},
        "said": {"type": "string"},
        "owner_sees": {**text, "description": "null where nothing happens to it"},
        "peer_sees": text,
        "connection": {**_row(), "description": "as it was when it was chosen"},
    }
    return {
        "$schema": _DIALECT,
        "title": "lastack end",
        "description": "What would be done to connections that hang, or was, and what came of it.",
        **_object(
            {
                "schema": {"const": ENDING},
                "means": {"enum": [means.value for means in Means]},
                "done": {"type": "boolean", "description": "false: only shown"},
                "unseen": _list({"type": "string"}),
                "counts": _tally({"enum": [outcome.value for outcome in Outcome]}),
                "connections": _list(_object(entry)),
            }
        ),
    }


def experiment_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one row of `lastack lab run --format json|jsonl`, and of its `results.json`."""
    words = [verdict.value for verdict in Verdict]
    played = {"anyOf": [{"$ref": "#/$defs/run"}, {"type": "null"}]}
    row = {
        "name": {"type": "string"},
        "on": {"enum": ["sim", "kernel", "both"], "description": "where it was to run"},
        "claim": {"type": "string"},
        "verdict": {"enum": [*words, None], "description": "the kernel's, where it was asked; null: not run"},
        "condition": {"type": ["string", "null"], "description": "under what the claim holds, where only so"},
        "given": {**_settings(_TYPES[Setting]), "description": "what was set for it"},
        "sim": {**played, "description": "the engine, with the kernel's knobs where both run"},
        "kernel": played,
        "sim_at_full_length": {**played, "description": "the engine with its own knobs, where those are others"},
        "agrees": {"type": ["boolean", "null"], "description": "null where one side is missing"},
        "reason": {"type": "string", "description": "what went wrong, why a side is missing, or why the two differ"},
        "differences": {**_TYPES[tuple[str, ...]], "description": "each in a sentence"},
    }
    return {
        "$schema": _DIALECT,
        "title": "an experiment",
        "description": "What one experiment of the lab came to, engine and kernel side by side.",
        **_object(row),
        "$defs": {
            "run": _run(words),
            "fact": _fact(),
            "scene": _scene(),
            "connection": _history(),
            "segment": _record(LadderSegment, {"at": _AT, "flags": _FLAGS}, without="number"),
            "change": _record(StateChange, {"at": _AT}),
        },
    }


_COUNT: Final = {"type": "integer", "minimum": 0}
_HOSTS: Final = ("client", "server")
"""Of every experiment."""
_AT: Final = {**_COUNT, "description": "ns since the scene began"}
_FLAGS: Final = {**_COUNT, "description": "the octet of the header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16"}


def _finding() -> dict[str, Any]:
    histogram = _object(
        {"title": {"type": "string"}, "buckets": _list(_object({"label": {"type": "string"}, "count": _COUNT}))}
    )
    connections = {
        "count": {**_COUNT, "description": "all that the finding is about"},
        "netns": {"type": ["string", "null"], "description": "network namespace"},
        "histogram": {"anyOf": [histogram, {"type": "null"}]},
        "sample": {**_list({"$ref": "#/$defs/connection"}), "maxItems": 100},
    }
    return _object(
        {
            "rule": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"},
            "severity": {"enum": [str(severity) for severity in Severity]},
            "summary": {"type": "string"},
            "evidence": _list({"$ref": "#/$defs/evidence"}),
            "advice": _list({"$ref": "#/$defs/advice"}),
            "useless": _list({"type": "string"}),
            "connections": _object(connections),
        }
    )


def _run(verdicts: list[str]) -> dict[str, Any]:
    return _object(
        {
            "system": {"type": "string"},
            "verdict": {"enum": verdicts},
            "knobs": _settings(_TYPES[Setting]),
            "facts": _list({"$ref": "#/$defs/fact"}),
            "scenes": _list({"$ref": "#/$defs/scene"}),
            "wall_s": {"type": "number", "minimum": 0},
            "late_s": {"type": "number", "description": "by how much the wire was late at most"},
        }
    )


def _fact() -> dict[str, Any]:
    told = {
        "what": {"type": "string"},
        "value": _TYPES[Value],
        "unit": {"type": "string"},
        "compared": {"type": "boolean", "description": "false: it belongs to this run alone"},
    }
    return _object(told)


def _scene() -> dict[str, Any]:
    by_host = {host: _settings({"type": "string"}) for host in _HOSTS}
    return _object(
        {
            "title": {"type": "string"},
            "settings": {**_object(by_host), "description": "sysctls, where they are not the defaults"},
            "replaced": {**_TYPES[tuple[str, ...]], "description": "settings of it that others were given for"},
            "moved": {
                **_object({host: _tally({"type": "string"}) for host in _HOSTS}),
                "description": "counters, by nstat's names",
            },
            "connections": _list({"$ref": "#/$defs/connection"}),
            "left_out": {**_COUNT, "description": "connections that were seen and are not told"},
        }
    )


def _history() -> dict[str, Any]:
    return _object(
        {
            "local": {"type": "string"},
            "remote": {"type": "string"},
            "sampled": {"type": "string", "description": "states that were seen by looking now and then"},
            "segments": _list({"$ref": "#/$defs/segment"}),
            "changes": _list({"$ref": "#/$defs/change"}),
            "left_out": _object({"segments": _COUNT, "changes": _COUNT}),
        }
    )


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


def _severities() -> dict[str, Any]:
    return _object({str(severity): _COUNT for severity in reversed(Severity)})


def _tally(names: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": names, "additionalProperties": _COUNT}


def _record(kind: type, more: dict[str, Any] | None = None, without: str = "") -> dict[str, Any]:
    """A dataclass or a named tuple as an object: its fields in order, but for one; then `more`."""
    known = {name: _TYPES[hint] for name, hint in get_type_hints(kind).items() if name != without}
    return _object({**known, **(more or {})})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _row() -> dict[str, Any]:
    """A row of a table: a column that nobody filled is left out of every row, a value that is missing is null."""
    return {
        "type": "object",
        "properties": {column.name: _column(column) for column in COLUMNS},
        "additionalProperties": False,
    }


def _column(column: Column) -> dict[str, Any]:
    about = f"{column.meaning} ({column.unit})" if column.unit else column.meaning
    if column.words is not None:
        return {"description": about, "enum": [*(word.name for word in column.words), None]}
    kind = {TEXT: "string", ADDRESS: "string", "bool": "boolean"}.get(column.dtype, "integer")
    return {"description": about, "type": [kind, "null"]}
