"""The settings that a user gives by hand, read and checked against what an experiment can be set to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from lastack.errors import CallError
from lastack.model.lab import Setting
from lastack.tcp.settings import Settings

from .experiment import Experiment

_WORDS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WANTED: Final = ((bool, "yes or no"), (float, "a number"), (int, "a whole number"))
_MOST: Final = 2**31 - 1
"""What a sysctl holds; of seconds, longer than anybody waits."""
_PORT: Final = 65_535
_BOUNDS: Final = {"mtu": (68, _PORT), "ip_default_ttl": (1, 255)}


def read(pairs: Iterable[tuple[str, str]], experiments: Sequence[Experiment]) -> dict[str, Setting]:
    """The settings of (name, value) pairs: knobs of these experiments, or sysctls by the last part of their names.

    Raises CallError where a name is neither, or a value is not of its kind or not one that Linux would take.
    """
    knobs: dict[str, object] = {knob.name: knob.default for one in experiments for knob in one.knobs}
    usual = {**Settings().as_dict(), **knobs}
    found: dict[str, Setting] = {}
    for name, text in pairs:
        short = name.removeprefix("net.ipv4.").removeprefix("net.core.")
        if short not in usual:
            near = get_close_matches(short, [*knobs, *usual], n=3)
            has = f"its knobs: {', '.join(sorted(knobs))}" if knobs else "it has no knobs"
            meant = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else has
            raise CallError(f"{name!r} is neither a knob nor a sysctl that the engine knows; {meant}")
        found[short] = _value(short, text, usual[short])
    return found


def of(experiment: Experiment, given: Mapping[str, Setting]) -> dict[str, Setting]:
    """Those of the settings that an experiment has: its knobs, and every sysctl; a knob of another is not its."""
    has = {*(knob.name for knob in experiment.knobs), *Settings().as_dict()}
    return {name: value for name, value in given.items() if name in has}


def _value(name: str, text: str, usual: object) -> Setting:
    """The value of a text, of the same kind as the usual one."""
    if isinstance(usual, str):
        return text
    if isinstance(usual, tuple):
        return _several(name, text, len(usual))
    try:
        if isinstance(usual, bool):
            return _WORDS[text.lower()]
        number = float(text) if isinstance(usual, float) else int(text)
        if math.isnan(number):
            raise ValueError
    except (KeyError, ValueError):
        wanted = next(words for kind, words in _WANTED if isinstance(usual, kind))
        raise CallError(f"{name} is {wanted}, not {text!r}") from None
    least, most = _BOUNDS.get(name, (0, _MOST))
    if number < 0:
        raise CallError(f"{name} is not negative")
    if not least <= number <= most:
        raise CallError(f"{name} is from {least:,} to {most:,}, not {text}")
    return number


def _several(name: str, text: str, count: int) -> str:
    """Numbers, and so many where there is a `count`."""
    try:
        parts = [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        parts = []
    if not parts or (count and len(parts) != count):
        raise CallError(f"{name} is {f'{count} ' if count else ''}whole numbers, not {text!r}")
    most = _PORT if "port" in name else _MOST
    if not all(1 <= part <= most for part in parts):
        raise CallError(f"{name} is numbers from 1 to {most:,}, not {text!r}")
    if name == "ip_local_port_range" and parts[0] > parts[1]:
        raise CallError(f"{name} begins with the lower port, not as {text!r}")
    return " ".join(map(str, parts))
