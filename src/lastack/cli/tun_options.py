"""The options that the commands of `lastack tun` share: settings, the device, its addresses, a bad wire, a trace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Command, duration
from .tun_settings import settings_of

if TYPE_CHECKING:
    from lastack.drive.link import Fate
    from lastack.tcp.settings import Settings


@dataclass(frozen=True)
class Wiring:
    """How our TCP is connected. Shares from 0 to 1, `delay` in ns; all of it each way."""

    settings: Settings
    netns: str
    device: str
    addresses: tuple[str, ...]
    kernel_addresses: tuple[str, ...]
    pcapng: Path | None
    loss: float
    delay: int
    reorder: float
    duplicate: float
    corrupt: float
    seed: int

    @property
    def impaired(self) -> bool:
        """Whether anything is to go wrong on the way."""
        return bool(self.loss or self.delay or self.reorder or self.duplicate or self.corrupt)

    def fate(self) -> Fate:
        """What befalls the packets of one direction."""
        from lastack.drive.impair import OVERTAKEN
        from lastack.drive.link import Fate

        fate = Fate()
        fate.loss, fate.delay, fate.duplicate, fate.corrupt = self.loss, self.delay, self.duplicate, self.corrupt
        fate.reorder, fate.reorder_by = self.reorder, OVERTAKEN
        return fate


def share(_context: click.Context, parameter: click.Parameter, value: str) -> float:
    """An option's callback: `1%` or `0.01` as a number from 0 to 1."""
    found = re.fullmatch(r"([0-9]*\.?[0-9]+|[0-9]+\.)(%?)", value.strip())
    number = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= number <= 1:
        raise click.BadParameter(f"{value!r} is no share: write 1% or 0.01")
    return number


def _settings(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> Settings:
    return settings_of(value)


_OPTIONS = (
    click.option(
        "--set",
        "settings",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_settings,
        help="A setting of our TCP, by its sysctl name: tcp_fin_timeout=5. Several times for several.",
    ),
    click.option("--netns", default="own", show_default=True, help="Where the device lives: a network namespace."),
    click.option("--device", metavar="NAME", default="", help="Attach to this TUN device, made before for its user."),
    click.option("--address", "addresses", multiple=True, help="Address of our TCP: 10.9.0.2; IPv6 too."),
    click.option(
        "--kernel-address",
        "kernel_addresses",
        metavar="ADDRESS/LENGTH",
        multiple=True,
        help="Address of the kernel on the device: 10.9.0.1/24.",
    ),
    click.option(
        "--pcapng", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write all packets there."
    ),
    click.option("--loss", metavar="SHARE", default="0", callback=share, help="Lose packets, each way: 1%."),
    click.option("--delay", metavar="TIME", default="0s", callback=duration, help="Delay them, each way: 20ms."),
    click.option("--reorder", metavar="SHARE", default="0", callback=share, help="Let so many come 10 ms late: 5%."),
    click.option("--duplicate", metavar="SHARE", default="0", callback=share, help="Deliver so many twice: 1%."),
    click.option("--corrupt", metavar="SHARE", default="0", callback=share, help="Flip a bit of so many: 0.1%."),
    click.option("--seed", type=int, default=1, show_default=True, help="Chance that can be repeated."),
)


def wiring(command: Command) -> Command:
    """Add the options; the command gets them as one argument, `wiring`."""
    names = tuple(Wiring.__dataclass_fields__)

    @wraps(command)
    def collected(**given: Any) -> Any:  # noqa: ANN401 (whatever click passes on)
        return command(wiring=Wiring(**{name: given.pop(name) for name in names}), **given)

    wrapped: Any = collected
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]
