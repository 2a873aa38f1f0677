"""The settings that a user gives by hand, read and checked against what an experiment can be set to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from difflib import get_close_matches

from lastack.errors import CallError
from lastack.model.lab import Setting
from lastack.tcp.settings import Settings

from .experiment import Experiment

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read(pairs: Iterable[tuple[str, str]], experiments: Sequence[Experiment]) -> dict[str, Setting]:
    """The settings of (name, value) pairs: knobs of these experiments, or sysctls by the last part of their names.

    Raises CallError where a name is neither, or a value is not of its kind.
    """
    kinds: dict[str, type] = {knob.name: type(knob.default) for one in experiments for knob in one.knobs}
    settings = Settings()
    sysctls = {field.name: type(getattr(settings, field.name)) for field in fields(Settings)}
    found: dict[str, Setting] = {}
    for name, text in pairs:
        short = name.removeprefix("net.ipv4.").removeprefix("net.core.")
        if short not in kinds and short not in sysctls:
            near = get_close_matches(short, [*kinds, *sysctls], n=3)
            meant = f"did you mean {' or '.join(near)}?" if near else f"its knobs: {', '.join(sorted(kinds)) or 'none'}"
            raise CallError(f"{name!r} is neither a knob nor a sysctl that the engine knows; {meant}")
        found[short] = _value(name, text, kinds.get(short) or sysctls[short])
    return found


def _value(name: str, text: str, kind: type) -> Setting:
    try:
        if kind is bool:
            return _WORDS[text.lower()]
        if kind is tuple:
            return " ".join(str(int(part)) for part in text.replace(",", " ").split())
        number = float(text) if kind is float else int(text) if kind is int else 0
        if number < 0:
            raise CallError(f"{name} is not negative")
        return number if kind in (int, float) else text
    except (KeyError, ValueError):
        wanted = {bool: "yes or no", float: "a number", int: "a whole number", tuple: "whole numbers"}[kind]
        raise CallError(f"{name} is {wanted}, not {text!r}") from None
