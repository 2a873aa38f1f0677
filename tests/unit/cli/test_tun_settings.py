"""`--set`: settings by their sysctl names, and what is said of one that cannot be."""

from __future__ import annotations

import click
import pytest

from lastack.cli.tun_options import share
from lastack.cli.tun_settings import settings_of
from lastack.tcp.settings import Settings


def test_settings_are_changed_by_name_as_sysctl_writes_them() -> None:
    given = (
        *("net.ipv4.tcp_fin_timeout=5", " tcp_tw_reuse = 1", "tcp_rmem=4096 5000\t6000", "net.core.somaxconn=7"),
        *("ip_local_reserved_ports=80,443", "tcp_congestion_control=reno", "time_wait_ms=0", "tcp_fin_timeout=6"),
    )
    found = settings_of(given)
    assert (found.tcp_fin_timeout, found.tcp_tw_reuse, found.somaxconn, found.time_wait_ms) == (6, 1, 7, 0)
    assert (found.tcp_rmem, found.ip_local_reserved_ports) == ((4096, 5000, 6000), (80, 443))
    assert found.tcp_congestion_control == "reno"
    assert settings_of(()) == Settings.linux()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("tcp_fin_timout=5", "there is no setting 'tcp_fin_timout'; near it: tcp_fin_timeout"),
        ("net.ipv4.tcp_tw_recyle=1", "tcp_tw_recycle"),
        ("keepalive=1", "near it: tcp_keepalive_"),
        ("xyzzy=1", "there is no setting 'xyzzy'"),
        ("tcp_tw_reuse", "write tcp_tw_reuse=VALUE; it is 2 now"),
        ("tcp_tw_reuse=", "is not a number; it is 2 now"),
        ("tcp_tw_reuse=1 2", "is not a number"),
        ("tcp_tw_reuse=-1", "below zero"),
        ("ip_local_port_range=1", "is not 2 numbers; it is 32768,60999 now"),
        ("tcp_congestion_control=vegas", "none of cubic, newreno, reno"),
    ],
)
def test_one_that_cannot_be_is_named_with_what_it_resembles(given: str, says: str) -> None:
    with pytest.raises(click.BadParameter) as told:
        settings_of((given,))
    assert says in str(told.value)


def test_every_setting_can_be_set_to_what_it_is() -> None:
    whole = Settings.linux().as_dict()
    texts = {
        name: " ".join(map(str, value)) if isinstance(value, tuple) else str(value) for name, value in whole.items()
    }
    assert settings_of(tuple(f"{name}={text}" for name, text in texts.items())).as_dict() == whole


@pytest.mark.parametrize(("text", "number"), [("1%", 0.01), ("0.5%", 0.005), (".25", 0.25), ("100%", 1.0), ("0", 0.0)])
def test_a_share_is_a_percentage_or_a_fraction(text: str, number: float) -> None:
    parameter = click.Option(["--loss"])
    assert share(click.Context(click.Command("x")), parameter, text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "%", "101%", "2", "-1%", "1%%", "one"])
def test_what_is_no_share_is_told(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no share"):
        share(click.Context(click.Command("x")), click.Option(["--loss"]), text)
