from __future__ import annotations

from pathlib import Path

import pytest

from lastack.live.cgroups import Mount, Mounts, frozen, mounts, place

A = "1a2b3c4d5e6f" + "0" * 52
B = "abcdefabcdef" + "1" * 52
POD = "pod0f7a1b2c_3d4e_5f60_7182_93a4b5c6d7e8"
SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{POD}.slice"

PATHS = [
    # systemd
    ("/", None, None),
    ("/init.scope", "init.scope", None),
    ("/system.slice/nginx.service", "nginx.service", None),
    ("/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service", None),
    ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope", None),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "foo.service", None),
    ("/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service", None),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-x-12.scope", "app-gnome-x-12.scope", None),
    ("/system.slice/worker.service/pool/1", "worker.service", None),
    ("/system.slice/_memory.service", "memory.service", None),
    ("/system.slice/dbus-:1.2-org.foo@0.service", "dbus-:1.2-org.foo@0.service", None),
    ("/system.slice/gone.service (deleted)", "gone.service", None),
    ("/system.slice", None, None),
    ("/.service", None, None),
    # containers
    (f"/system.slice/docker-{A}.scope", None, "docker 1a2b3c4d5e6f"),
    (f"/docker/{A}", None, "docker 1a2b3c4d5e6f"),
    (f"/docker/{A}/system.slice/nginx.service", "nginx.service", "docker 1a2b3c4d5e6f"),
    (f"/system.slice/system.slice:docker:{A}", None, "docker 1a2b3c4d5e6f"),
    (f"{SLICE}/cri-containerd-{A}.scope", None, "containerd 1a2b3c4d5e6f"),
    (f"{SLICE}/docker-{A}.scope", None, "docker 1a2b3c4d5e6f"),
    (f"{SLICE}/crio-{A}.scope", None, "cri-o 1a2b3c4d5e6f"),
    (f"{SLICE}/crio-conmon-{A}.scope", f"crio-conmon-{A}.scope", None),
    (f"{SLICE}/{A}", None, "kubernetes 1a2b3c4d5e6f"),
    (f"/kubepods/besteffort/pod0f7a-1b/{A}", None, "kubernetes 1a2b3c4d5e6f"),
    (f"/kubepods/pod0f7a-1b/{A}", None, "kubernetes 1a2b3c4d5e6f"),
    (f"/kubepods/burstable/pod0f7a-1b/crio-{A}", None, "cri-o 1a2b3c4d5e6f"),
    (
        f"/system.slice/containerd.service/kubepods-burstable-{POD}.slice:cri-containerd:{A}",
        "containerd.service",
        "containerd 1a2b3c4d5e6f",
    ),
    (f"/machine.slice/libpod-{A}.scope/container", None, "podman 1a2b3c4d5e6f"),
    (f"/libpod_parent/libpod-{A}", None, "podman 1a2b3c4d5e6f"),
    (f"/libpod_parent/{A}", None, "podman 1a2b3c4d5e6f"),
    (f"/system.slice/web.service/libpod-payload-{A}", "web.service", "podman 1a2b3c4d5e6f"),
    (
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope",
        "user@1000.service",
        "podman 1a2b3c4d5e6f",
    ),
    (f"/system.slice/nerdctl-{A}.scope", None, "nerdctl 1a2b3c4d5e6f"),
    (f"/default/{A}", None, "container 1a2b3c4d5e6f"),
    (f"/actions_job/{A}", None, "container 1a2b3c4d5e6f"),
    ("/lxc/web", None, "lxc web"),
    ("/lxc/101/ns/system.slice/nginx.service", "nginx.service", "lxc 101"),
    ("/lxc.payload.web/system.slice/nginx.service", "nginx.service", "lxc web"),
    ("/lxc.payload/web", None, "lxc web"),
    ("/lxc.monitor.web", None, None),
    ("/machine.slice/machine-deb\\x2done.scope/payload/system.slice/x.service", "x.service", "machine deb-one"),
    ("/machine.slice/machine-deb.scope/payload", None, "machine deb"),
    ("/machine.slice/systemd-nspawn@deb.service/payload/init.scope", "systemd-nspawn@deb.service", "machine deb"),
    (f"/ecs/0123456789abcdef0123456789abcdef/{A}", None, "ecs 1a2b3c4d5e6f"),
    (f"/ecs/cluster/0123456789abcdef0123456789abcdef/{A}", None, "ecs 1a2b3c4d5e6f"),
    (
        "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-2574",
        None,
        "ecs 0123456789ab",
    ),
    ("/garden/a3b1-c2", None, "garden a3b1-c2"),
    ("/buildkit/x1y2z3a4b5c6d7e8f9g0h1i2j", None, "buildkit x1y2z3a4b5c6"),
    # one in another
    (f"/docker/{A}/docker/{B}", None, "docker abcdefabcdef in docker 1a2b3c4d5e6f"),
    (f"/system.slice/docker-{A}.scope/docker/{B}", None, "docker abcdefabcdef in docker 1a2b3c4d5e6f"),
    (f"/docker/{A}/kubelet/kubepods/pod12/{B}", None, "kubernetes abcdefabcdef in docker 1a2b3c4d5e6f"),
    (f"/lxc/web/docker/{B}", None, "docker abcdefabcdef in lxc web"),
    # as seen from inside a control group namespace
    (f"/../cri-containerd-{A}.scope", None, "containerd 1a2b3c4d5e6f"),
    # almost an id
    (f"/docker/{A[:-1]}", None, None),
    (f"/system.slice/docker-{A[:-1]}.scope", f"docker-{A[:-1]}.scope", None),
]


@pytest.mark.parametrize(("path", "unit", "container"), PATHS)
def test_a_path_tells_unit_and_container(path: str, unit: str | None, container: str | None) -> None:
    assert place(f"0::{path}\n") == (unit, container)


def test_in_version_1_systemds_own_hierarchy_names_the_unit_and_any_other_the_container() -> None:
    text = f"11:memory:/docker/{A}\n10:pids:/system.slice/other.service\n1:name=systemd:/system.slice/web.service\n"
    assert place(text) == ("web.service", "docker 1a2b3c4d5e6f")


def test_in_the_hybrid_layout_a_bare_version_2_line_hides_nothing() -> None:
    text = f"7:memory,cpu:/docker/{A}\n1:name=systemd:/docker/{A}\n0::/\n"
    assert place(text) == (None, "docker 1a2b3c4d5e6f")


@pytest.mark.parametrize("text", ["", "\n", "0", "0::", "::::", "\0\udcff/\udcff", "0:" * 9000])
def test_what_makes_no_sense_tells_nothing(text: str) -> None:
    assert place(text) == (None, None)


def test_a_name_that_somebody_made_very_long_is_cut() -> None:
    _, container = place("0::/lxc/" + "x" * 255)
    assert container == "lxc " + "x" * 64


MOUNTINFO = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
37 31 0:34 / /sys/fs/cgroup/freezer rw shared:12 master:1 - cgroup cgroup rw,freezer
41 31 0:38 /docker/x /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
garbled
- cgroup2
"""


def test_the_hierarchies_that_can_freeze_are_found_where_they_are_mounted(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text(MOUNTINFO)
    assert mounts(tmp_path) == Mounts(
        unified=Mount("/sys/fs/cgroup/unified", "/docker/x"), freezer=Mount("/sys/fs/cgroup/freezer", "/")
    )


def test_without_a_mountinfo_there_are_no_hierarchies(tmp_path: Path) -> None:
    assert mounts(tmp_path) == Mounts(None, None)


def group(point: Path, path: str, name: str, text: str) -> None:
    directory = point / path.lstrip("/")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text)


def test_a_frozen_group_of_version_2_is_frozen(tmp_path: Path) -> None:
    group(tmp_path, "/a", "cgroup.events", "populated 1\nfrozen 1\n")
    group(tmp_path, "/b", "cgroup.events", "populated 1\nfrozen 0\n")
    here = Mounts(Mount(str(tmp_path), "/"), None)
    assert frozen("0::/a\n", here)
    assert not frozen("0::/b\n", here)
    assert not frozen("0::/missing\n", here)


def test_a_mount_of_a_part_of_the_tree_leaves_out_what_lies_above(tmp_path: Path) -> None:
    group(tmp_path, "/a", "cgroup.events", "frozen 1\n")
    assert frozen("0::/docker/x/a\n", Mounts(Mount(str(tmp_path), "/docker/x"), None))


@pytest.mark.parametrize(("state", "is_frozen"), [("FROZEN", True), ("FREEZING", True), ("THAWED", False), ("", False)])
def test_version_1_says_so_in_its_freezer(tmp_path: Path, state: str, is_frozen: bool) -> None:
    group(tmp_path, "/a", "freezer.state", f"{state}\n")
    here = Mounts(None, Mount(str(tmp_path), "/"))
    assert frozen("6:cpu,freezer:/a\n5:cpu:/b\n0::/\n", here) is is_frozen
