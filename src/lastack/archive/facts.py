"""The facts of a host as JSON and back: any of the model's records, by the types of their fields."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from lastack.model.host import Holder, HostFacts, Process

if TYPE_CHECKING:
    from lastack.model.record import ConnectionTable


def written(facts: HostFacts) -> str:
    """The facts as JSON, in ASCII: octets that are no text in a name (lone surrogates) come back as they were."""
    return json.dumps(_plain(facts), separators=(",", ":"))


def read(text: str) -> HostFacts:
    """The facts from JSON. Fields that are missing have their defaults, unknown ones are left out.

    Raises ValueError where it is none, or a field has a value of another type.
    """
    facts: HostFacts = _built(HostFacts, json.loads(text))
    return facts


def concerning(table: ConnectionTable, facts: HostFacts) -> HostFacts:
    """The facts with those processes only that have to do with the rows: who holds them, and all their ancestors.

    Of descriptors only those that share a socket: the table itself has the others (`with_holders`).
    """
    inodes = set(table.values("inode").tolist())
    held = {inode: holders for inode, holders in facts.holders.items() if inode in inodes}
    processes: dict[int, Process] = {}
    chain = [holder.pid for holders in held.values() for holder in holders]
    chain += [pid for listener in facts.listeners for pid in listener.pids]
    for pid in chain:
        process = facts.processes.get(pid)
        if process is not None and pid not in processes:
            processes[pid] = process
            chain.append(process.ppid)
    return replace(facts, processes=processes, holders={i: each for i, each in held.items() if len(each) > 1})


def with_holders(table: ConnectionTable, facts: HostFacts) -> HostFacts:
    """The facts with the descriptors that the rows tell of."""
    held = table.valid("pid") & table.valid("fd") & table.valid("inode")
    columns = (table.values(name)[held].tolist() for name in ("inode", "pid", "fd"))
    alone = {inode: (Holder(pid, fd),) for inode, pid, fd in zip(*columns, strict=True)}
    return replace(facts, holders={**alone, **facts.holders})


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of the model
    names = _names(value.__class__)
    if names is not None:
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _built(kind: Any, value: Any) -> Any:  # noqa: ANN401 - a type's annotation, and a value of JSON
    """The value of a type that JSON stands for. Raises ValueError where it does not."""
    arguments, origin = get_args(kind), get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        return _built(next(each for each in arguments if each is not types.NoneType), value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _word(kind, value)
    if isinstance(kind, type) and _names(kind) is not None:
        found = _expected(dict, value)
        return kind(**{name: _built(hint, found[name]) for name, hint in _hints(kind).items() if name in found})
    if origin is tuple:
        items = _expected(list, value)
        if arguments[-1:] == (...,):
            return tuple(_built(arguments[0], item) for item in items)
        return tuple(_built(each, item) for each, item in zip(arguments, items, strict=True))
    if origin is frozenset:
        return frozenset(_built(arguments[0], item) for item in _expected(list, value))
    if origin is not None:  # a mapping; JSON has text for its keys
        return {arguments[0](key): _built(arguments[1], item) for key, item in _expected(dict, value).items()}
    return _expected(kind, value)


def _word(kind: type[Enum], value: Any) -> Enum:  # noqa: ANN401 - as above
    found = kind.__members__.get(_expected(str, value))
    if found is None:
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return found


def _expected(kind: type, value: Any) -> Any:  # noqa: ANN401 - as above
    if type(value) is not kind:
        raise ValueError(f"{kind.__name__} expected, not {str(value)[:40]!r}")
    return value


@cache
def _names(kind: type) -> tuple[str, ...] | None:
    """The fields of a dataclass or a named tuple; None for anything else."""
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return getattr(kind, "_fields", None) if issubclass(kind, tuple) else None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
