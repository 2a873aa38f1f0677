"""The layout of an event from its `format` file, and what is said where there is no tracefs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lastack.errors import DecodeError, KernelError
from lastack.linux import tracefs

FORMAT = """name: inet_sock_set_state
ID: 2287
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:const void * skaddr;	offset:8;	size:8;	signed:0;
	field:int oldstate;	offset:16;	size:4;	signed:1;
	field:__u16 sport;	offset:24;	size:2;	signed:0;
	field:__u8 saddr_v6[16];	offset:40;	size:16;	signed:0;
	field:__u8 daddr_v6[16];	offset:56;	size:15;	signed:0;

print fmt: "family=%s", __print_symbolic(REC->family, { 2, "AF_INET" })
"""


def test_the_layout_follows_the_format_file() -> None:
    number, layout = tracefs.layout(FORMAT)
    assert (number, layout.itemsize) == (2287, 72)
    fields = {name: (layout[name], layout.fields[name][1]) for name in layout.names or () if layout.fields}
    assert fields["common_pid"] == (np.dtype("i4"), 4)
    assert fields["skaddr"] == (np.dtype("u8"), 8)
    assert fields["saddr_v6"] == (np.dtype("V16"), 40)
    assert fields["daddr_v6"] == (np.dtype("V15"), 56)


@pytest.mark.parametrize("text", ["", "ID: 3\n", FORMAT.replace("ID: 2287", "")])
def test_what_is_no_format_is_an_error(text: str) -> None:
    with pytest.raises(DecodeError):
        tracefs.layout(text)


def test_without_tracefs_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "MOUNTS", (tmp_path / "nowhere",))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(KernelError, match="mount -t tracefs"):
        tracefs.root()
    monkeypatch.setattr("os.geteuid", lambda: 1_000)
    with pytest.raises(KernelError, match="run as root"):
        tracefs.root()
