"""What a script's options say: addresses, ports, tolerance, MTU."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from lastack.errors import ScriptError
from lastack.model.time import MICROSECOND, MILLISECOND, Nanos

from .calls import Ends
from .symbols import SYMBOLS
from .syntax import Script

_FOUR: Final = ("192.168.0.1", "192.0.2.1", 16)
_SIX: Final = ("fd3d:0a0b:17d6::1", "2001:db8::1", 64)
_VERSIONS: Final = ("ipv4", "ipv4-mapped-ipv6", "ipv4-mapped", "ipv6")
_IGNORED: Final = frozenset(
    {"define", "verbose", "debug", "dry_run", "so_filename", "speed", "tcp_ts_ecr_scaled", "non_fatal"}
    | {
        "code",
        "code_command",
        "gateway_ip",
        "netmask_ip",
        "gateway_ip6",
        "init_scripts",
        "persistent_tun_dev",
        "use_expect",
    }
    | {"wire_client", "wire_server", "wire_client_dev", "wire_server_dev", "wire_server_ip", "wire_server_port"}
    | {"send_omit_free", "fuzz_seed", "udp_encaps", "mss_offset"}
)


@dataclass(frozen=True)
class Config:
    """`prefix` is the length of the local network's, `tolerance` in ns, `tick` a timestamp's (0: not looked at).

    `remote_port` is where a script's packets come from that speak first.
    """

    local_ip: str = _FOUR[0]
    remote_ip: str = _FOUR[1]
    prefix: int = _FOUR[2]
    ip_version: str = "ipv4"
    bind_port: int = 8080
    connect_port: int = 8080
    remote_port: int = 40_000
    mtu: int = 1500
    tolerance: Nanos = 4 * MILLISECOND
    tick: Nanos = MILLISECOND
    strict_segments: bool = False

    @property
    def ends(self) -> Ends:
        """Where bind() and connect() lead by themselves."""
        family = SYMBOLS["AF_INET" if self.ip_version == "ipv4" else "AF_INET6"]
        return Ends((self.local_ip, self.bind_port), (self.remote_ip, self.connect_port), family)


def configured(script: Script, given: Sequence[tuple[str, str]] = (), tolerance: Nanos | None = None) -> Config:
    """The options of a script, `given` ones on top of them. Raises ScriptError with the line.

    `tolerance` holds where neither says one.
    """
    config = Config() if tolerance is None else Config(tolerance=tolerance)
    options = [*script.options, *((name, value, 0) for name, value in given)]
    if any(name == "ip_version" and value == "ipv6" for name, value, _ in options):
        config = replace(config, local_ip=_SIX[0], remote_ip=_SIX[1], prefix=_SIX[2])
    for name, value, line in options:
        try:
            config = _with(config, name, value)
        except ValueError as error:
            place = f"{script.path}:{line}: " if line else ""
            raise ScriptError(f"{place}--{name}={value}: {error}") from None
    return config


def _with(config: Config, name: str, value: str | None) -> Config:
    if name in _IGNORED:
        return config
    if name == "strict_segments":
        return replace(config, strict_segments=value in (None, "1", "true"))
    if value is None:
        raise ValueError("needs a value")
    if name == "ip_version":
        if value not in _VERSIONS:
            raise ValueError(f"is one of {', '.join(_VERSIONS)}")
        return replace(config, ip_version=value)
    if name in ("local_ip", "remote_ip"):
        return _addressed(config, name, str(ipaddress.ip_address(value)))
    field, number = _number(name, value)
    changed = dict(vars(config), **{field: number})
    return Config(**changed)


def _addressed(config: Config, name: str, value: str) -> Config:
    return replace(config, local_ip=value) if name == "local_ip" else replace(config, remote_ip=value)


def _number(name: str, value: str) -> tuple[str, int]:
    """The field that a numeric option sets, and its value there."""
    if not value.isdigit():
        raise ValueError("is a number")
    number = int(value)
    if name in ("bind_port", "connect_port") and not 0 < number <= 0xFFFF:
        raise ValueError("is a port, 1 to 65,535")
    if name == "mtu" and not 68 <= number <= 0xFFFF:
        raise ValueError("is a number of octets, 68 (RFC 791) to 65,535")
    fields = {
        "bind_port": ("bind_port", 1),
        "connect_port": ("connect_port", 1),
        "mtu": ("mtu", 1),
        "tolerance_usecs": ("tolerance", MICROSECOND),
        "tcp_ts_tick_usecs": ("tick", MICROSECOND),
    }
    if name not in fields:
        known = ", ".join(sorted({*fields, "ip_version", "local_ip", "remote_ip", "strict_segments"}))
        raise ValueError(f"is not understood: there are {known}")
    field, scale = fields[name]
    return field, number * scale
