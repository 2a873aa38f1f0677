"""Network namespaces, as far as no privilege is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lastack.errors import KernelError
from lastack.linux import namespaces

linux = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")


@linux
def test_staying_where_one_is_takes_no_privilege() -> None:
    own = namespaces.own()
    with namespaces.entered(own):
        assert namespaces.own() == own


@linux
def test_all_begins_with_the_own_one_and_has_each_once() -> None:
    every = namespaces.choose("all")
    assert every[0] == namespaces.own()
    assert len({namespace.inode for namespace in every}) == len(every)


@linux
@pytest.mark.parametrize("which", ["", "..", "no such name", "../../proc/self/ns/net", "999999999"])
def test_a_namespace_that_is_not_there_is_told(which: str) -> None:
    with pytest.raises(KernelError):
        namespaces.choose(which)


@linux
def test_a_name_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(KernelError, match="no network namespace is called 'blue'; there are: own"):
        namespaces.choose("blue")


def test_elsewhere_it_can_be_imported_and_says_what_works_there() -> None:
    program = """
import sys
sys.platform = "darwin"
from lastack.errors import KernelError
from lastack.linux import namespaces, netlink, sysctl
from lastack.live import sockdiag
def opened():
    with namespaces.private():
        pass
for attempt in (namespaces.own, lambda: namespaces.choose("all"), opened, lambda: sockdiag.read(0)):
    try:
        attempt()
    except KernelError as error:
        assert "needs Linux, and this is darwin. What works here:" in str(error), error
    else:
        raise AssertionError(attempt)
assert sysctl.read("net.ipv4.of_another_world") is None
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
