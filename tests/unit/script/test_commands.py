from __future__ import annotations

import pytest

from lastack.errors import ScriptError
from lastack.script.commands import settings


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sysctl -q net.ipv4.tcp_timestamps=0", [("net.ipv4.tcp_timestamps", "0")]),
        ("sysctl -w net.ipv4.tcp_rmem='4096 87380 6291456'", [("net.ipv4.tcp_rmem", "4096 87380 6291456")]),
        ('sysctl -w net.ipv4.tcp_a=1 net.ipv4.tcp_b="2 3"', [("net.ipv4.tcp_a", "1"), ("net.ipv4.tcp_b", "2 3")]),
        (
            "./set_sysctls.py /proc/sys/net/ipv4/tcp_fin_timeout=5 /proc/sys/net/core/somaxconn=3",
            [("net.ipv4.tcp_fin_timeout", "5"), ("net.core.somaxconn", "3")],
        ),
        ("echo 1 > /proc/sys/net/ipv4/tcp_rfc1337", [("net.ipv4.tcp_rfc1337", "1")]),
        ("../common/defaults.sh", []),
        ("../../common/defaults.sh && sysctl -q net.ipv4.tcp_sack=0", [("net.ipv4.tcp_sack", "0")]),
        ("/tmp/sysctl_restore_1234.sh", []),
        ("", []),
    ],
)
def test_settings_are_read_from_the_ways_in_which_scripts_set_them(
    command: str, expected: list[tuple[str, str]]
) -> None:
    assert list(settings(command)) == expected


@pytest.mark.parametrize("command", ["rm -rf /", "sysctl -w a=1; reboot", "tc qdisc add dev tun0", "echo 'unclosed"])
def test_anything_else_is_refused(command: str) -> None:
    with pytest.raises(ScriptError):
        list(settings(command))
