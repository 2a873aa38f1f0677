"""Sockets whose process cannot be seen: the cgroup still says whose they are."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastack.linux.namespaces import Namespace
from lastack.live import cgroups, sockdiag
from lastack.model.state import State, bits

SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


LOOK = """
import json, os, sys
from lastack.api import _snapshots
_snapshots("own", None)  # loads all that it needs: another user may not be able to read this Python's files
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
[snapshot] = _snapshots("own", None)
table = snapshot.connections
[row] = [r for r in table.rows() if r["local_state"] == "LISTEN" and r["local_port"] == int(sys.argv[1])]
print(json.dumps([{"pid": row["pid"], "unit": row["unit"]}, snapshot.facts.unseen]))
"""


@pytest.fixture
def service() -> Iterator[Path]:
    """A cgroup (v2) of our own, named like a systemd service; removed afterwards."""
    unified = cgroups.mounts(Path("/proc")).unified
    if unified is None:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    group = Path(unified.point) / f"lastack-test-{os.getpid()}.service"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    yield group
    group.rmdir()


@pytest.mark.root
def test_without_root_the_unit_of_anothers_socket_is_still_named(private_network: Namespace, service: Path) -> None:
    def join() -> None:
        (service / "cgroup.procs").write_text(str(os.getpid()))

    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=join,  # noqa: PLW1509
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)):
            answer = subprocess.run([sys.executable, "-c", LOOK, str(port)], capture_output=True, text=True, check=True)
        server.communicate("")
    row, unseen = json.loads(answer.stdout)
    assert row == {"pid": None, "unit": service.name}
    assert "run as root to see" in unseen[0]


@pytest.mark.root
def test_cgroup_ids_are_those_of_the_sockets_processes(private_network: Namespace) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        ids = sockdiag.cgroup_ids(bits(State.LISTEN))
        [cookie] = sockdiag.read(0, bits(State.LISTEN)).values("cookie").tolist()
    assert list(ids) == [cookie]
    unified = cgroups.mounts(Path("/proc")).unified
    if unified is not None:
        assert ids[cookie] == Path(unified.point).stat().st_ino or ids[cookie] in cgroups.places(
            [ids[cookie]], Path("/proc")
        )
