"""Sysctls by their dotted names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lastack.errors import KernelError
from lastack.linux import sysctl
from lastack.linux.required import require_linux

linux = pytest.mark.skipif(sys.platform != "linux", reason="sysctls are Linux's")


@linux
def test_a_sysctl_is_read_by_its_dotted_name() -> None:
    assert sysctl.read("kernel.ostype") == "Linux"
    expected = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().strip()
    assert sysctl.read("net.ipv4.ip_local_port_range") == expected


@linux
def test_a_dot_within_a_name_is_written_as_a_slash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysctl, "_ROOT", tmp_path)
    (tmp_path / "net/ipv4/conf/eth0.1").mkdir(parents=True)
    (tmp_path / "net/ipv4/conf/eth0.1/forwarding").write_text("1\n")
    assert sysctl.read("net.ipv4.conf.eth0/1.forwarding") == "1"


def test_a_sysctl_that_is_not_there_is_none() -> None:
    assert sysctl.read("net.ipv4.tcp_of_another_world") is None
    assert sysctl.read("net.ipv4") is None


@linux
def test_a_sysctl_that_cannot_be_set_is_told() -> None:
    with pytest.raises(KernelError, match=r"cannot set kernel.ostype to Plan 9: "):
        sysctl.write("kernel.ostype", "Plan 9")


def test_elsewhere_it_says_what_works_there(monkeypatch: pytest.MonkeyPatch) -> None:
    require = require_linux
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(KernelError, match=r"a sysctl needs Linux, and this is darwin\. What works here: "):
        require("a sysctl")
    with pytest.raises(KernelError, match="needs Linux"):
        sysctl.write("net.ipv4.tcp_fin_timeout", 1)
