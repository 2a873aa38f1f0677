"""The published JSON Schemas, derived from the dataclasses and columns they describe."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final, get_type_hints

from lastack.model.ending import Left, Means, Outcome
from lastack.model.finding import Advice, Evidence, Severity
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


_COUNT: Final = {"type": "integer", "minimum": 0}


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


def _severities() -> dict[str, Any]:
    return _object({str(severity): _COUNT for severity in reversed(Severity)})


def _tally(names: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": names, "additionalProperties": _COUNT}


def _record(kind: type, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """A dataclass as an object: its fields in order, then `more`."""
    hints = get_type_hints(kind)
    return _object({**{field.name: _TYPES[hints[field.name]] for field in fields(kind)}, **(more or {})})


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
