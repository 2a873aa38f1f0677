"""What a process's control groups say about it: its systemd unit, its container, and whether it is frozen.

Text of /proc/PID/cgroup (cgroups(7)) in all three layouts: version 1, hybrid and version 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

_ID: Final = r"(?P<id>[0-9a-f]{12})[0-9a-f]{52}"
_SHOWN: Final = 64  # a name somebody chose may be long; a column is not


class Place(NamedTuple):
    """Where a process lives: `unit` as systemd names it, `container` as `docker 1a2b3c4d5e6f`; None where in none."""

    unit: str | None
    container: str | None


_RUNTIMES: Final[tuple[tuple[str, str, str], ...]] = (
    # One component names runtime and id: docker-ID.scope, crio-ID, kubepods-x.slice:cri-containerd:ID.
    ("docker", "", rf"(.*:)?docker[-:]{_ID}(\.scope)?"),
    ("containerd", "", rf"(.*:)?cri-containerd[-:]{_ID}(\.scope)?"),
    ("cri-o", "", rf"(.*:)?crio[-:]{_ID}(\.scope)?"),
    ("podman", "", rf"libpod(-payload)?-{_ID}(\.scope)?"),
    ("nerdctl", "", rf"nerdctl-{_ID}(\.scope)?"),
    ("machine", "", r"machine-(?P<id>.+)\.scope"),
    ("machine", "", r"systemd-nspawn@(?P<id>.+)\.service"),
    ("lxc", "", r"lxc\.payload\.(?P<id>.+)"),
    # The groups above tell.
    ("kubernetes", "/kubepods", _ID),
    ("ecs", "/ecs/[^/]+/", r"(?P<id>[0-9a-f]{12})([0-9a-f]{52}|[0-9a-f]{20}-[0-9]+)"),
    ("docker", "/docker/$", _ID),
    ("podman", "/libpod_parent/$", _ID),
    ("buildkit", "/buildkit/$", r"(?P<id>[0-9a-z]{12})[0-9a-z]{8,}"),
    ("garden", "/garden/$", r"(?P<id>.+)"),
    ("lxc", r"/lxc(\.payload)?/$", r"(?P<id>.+)"),
    ("container", "", _ID),
)
"""Where container runtimes put their processes, most telling first: the label, what the three groups above look like,
and the group's own name. `id` is what the runtime's tools show: twelve digits of the id, or a name. The containers of
systemd-nspawn and of libvirt are called machines, as machinectl calls them."""

_CONTAINER: Final = tuple((label, re.compile(above), re.compile(own)) for label, above, own in _RUNTIMES)
_UNIT: Final = re.compile(r".+\.(service|scope)")
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")


@lru_cache(maxsize=4096)
def place(text: str) -> Place:
    """The unit and the container that the text of /proc/PID/cgroup tells of.

    The unit is what `systemctl status PID` names (the innermost service or scope, also inside a container that runs
    systemd), unless that is only the scope of the container. Nested containers read `docker B in docker A`. Of the
    hierarchies systemd's own comes first, then any other that knows. Never raises: what makes no sense tells nothing.
    """
    unit = container = None
    for path in _paths(text):
        found_unit, found_container = _place_of(path)
        unit, container = unit or found_unit, container or found_container
    return Place(unit, container)


def frozen(text: str, mounts: Mounts) -> bool:
    """Whether the process whose /proc/PID/cgroup this is lies frozen, itself or with an ancestor group.

    `cgroup.events` of version 2 (`cgroup.freeze` is silent about ancestors; cgroup-v2.rst), `freezer.state` of version
    1. False where neither can be read.
    """
    for _, controllers, path in map(_fields, text.splitlines()):
        if mounts.unified is not None and controllers == "":
            told = _read(mounts.unified.file(path, "cgroup.events"))
            if "frozen 1" in told.splitlines():
                return True
        if mounts.freezer is not None and "freezer" in controllers.split(","):
            # FREEZING is as good: one of the tasks has yet to stop.
            told = _read(mounts.freezer.file(path, "freezer.state"))
            if told.strip() in ("FROZEN", "FREEZING"):
                return True
    return False


class Mount(NamedTuple):
    """A cgroup hierarchy: where it is mounted, and which of its groups is seen there."""

    point: str
    root: str

    def file(self, path: str, name: str) -> Path:
        """The file `name` of the group `path` (as /proc/PID/cgroup gives it)."""
        inside = path.removeprefix(self.root.rstrip("/"))
        return Path(f"{self.point}/{inside}/{name}")


class Mounts(NamedTuple):
    """The two hierarchies that can freeze: version 2's, and version 1's freezer."""

    unified: Mount | None
    freezer: Mount | None


def mounts(proc: Path) -> Mounts:
    """The hierarchies that /proc/self/mountinfo lists (proc_pid_mountinfo(5))."""
    unified = freezer = None
    for line in _read(proc / "self" / "mountinfo").splitlines():
        words, _, described = line.partition(" - ")
        fields, kind = words.split(), described.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        mount = Mount(point=fields[4], root=fields[3])
        if kind[0] == "cgroup2":
            unified = unified or mount
        elif kind[0] == "cgroup" and "freezer" in kind[2].split(","):
            freezer = freezer or mount
    return Mounts(unified, freezer)


def _paths(text: str) -> Iterator[str]:
    """The paths of all hierarchies, the most telling first."""
    lines = [_fields(line) for line in text.splitlines()]
    for wanted in (True, False):
        for _, controllers, path in lines:
            if (controllers in ("", "name=systemd")) is wanted:
                yield path.removesuffix(" (deleted)")


def _fields(line: str) -> tuple[str, str, str]:
    number, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    return number, controllers, path


def _place_of(path: str) -> Place:
    unit, containers = None, []
    components = path.split("/")
    for index, component in enumerate(components):
        container = _container("/".join(["", *components[max(0, index - 3) : index], ""]), component)
        if container is not None:
            containers.append(container)
        # A container's own scope says no more than the container does.
        is_unit = _UNIT.fullmatch(component) and (container is None or component.endswith(".service"))
        # init.scope is the manager itself; within a service, that service is the better name.
        if is_unit and (component != "init.scope" or unit is None):
            # systemd puts a `_` before a name that the kernel would take for one of its own files.
            unit = component.removeprefix("_")
    return Place(unit, " in ".join(reversed(containers)) or None)


def _container(above: str, component: str) -> str | None:
    for label, above_pattern, own_pattern in _CONTAINER:
        if (match := own_pattern.fullmatch(component)) and above_pattern.search(above):
            return f"{label} {_ESCAPED.sub(_unescape, match['id'])[:_SHOWN]}"
    return None


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (OSError, ValueError):
        return ""
