"""`--set NAME=VALUE`: any setting of the engine, by its sysctl name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lastack.tcp.settings import Settings

_PREFIXES = ("net.ipv4.", "net.core.")
_CONTROLS = ("cubic", "newreno", "reno")


def settings_of(assignments: tuple[str, ...]) -> Settings:
    """Linux's settings with these changed. Raises click.BadParameter, which names the setting and what it resembles."""
    from lastack.tcp.settings import Settings

    settings = Settings.linux()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        present = settings.as_dict().get(name)
        if present is None:
            raise click.BadParameter(_unknown(name, list(settings.as_dict())))
        if not equals:
            raise click.BadParameter(f"{assignment!r}: write {name}=VALUE; it is {_shown(present)} now")
        setattr(settings, name, _value(name, text.strip(), present))
    return settings


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=3, cutoff=0.6)
    if not near:
        near = [one for one in known if name and name in one][:5]
    return f"there is no setting {name!r}" + (f"; near it: {', '.join(near)}" if near else "")


def _value(name: str, text: str, present: int | str | tuple[int, ...]) -> int | str | tuple[int, ...]:
    if isinstance(present, str):
        if text not in _CONTROLS:
            raise click.BadParameter(f"{name}: {text!r} is none of {', '.join(_CONTROLS)}")
        return text
    wanted = 1 if isinstance(present, int) else len(present)
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not all(re.fullmatch("-?[0-9]{1,18}", word) for word in words) or (wanted and len(words) != wanted):
        numbers = "a number" if wanted == 1 else f"{wanted} numbers" if wanted else "numbers"
        raise click.BadParameter(f"{name}: {text!r} is not {numbers}; it is {_shown(present)} now")
    numbers_given = tuple(int(word) for word in words)
    if any(number < 0 for number in numbers_given):
        raise click.BadParameter(f"{name}: {text!r} is below zero")
    return numbers_given[0] if isinstance(present, int) else numbers_given


def _shown(value: int | str | tuple[int, ...]) -> str:
    return str(value) if not isinstance(value, tuple) else ",".join(map(str, value)) or "empty"
