"""BTF, read from blobs made by hand and from the running kernel's own."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.errors import DecodeError, KernelError
from lastack.linux.bpf.btf import KERNEL, Btf, Field, Kind

BIT_FIELDS = 1 << 31


class Blob:
    """Types, one after another, as the kernel lays them out."""

    def __init__(self) -> None:
        self.strings = b"\0"
        self.types = b""

    def name(self, text: str) -> int:
        if not text:
            return 0
        entry = text.encode() + b"\0"
        if b"\0" + entry not in self.strings:
            self.strings += entry
        return self.strings.index(b"\0" + entry) + 1

    def add(self, kind: Kind, name: str, size_or_type: int, *more: int, count: int = 0, flag: int = 0) -> None:
        self.types += struct.pack("=3I", self.name(name), flag | kind << 24 | count, size_or_type)
        self.types += struct.pack(f"={len(more)}I", *more)

    def members(self, kind: Kind, name: str, size: int, *fields: tuple[str, int, int], flag: int = 0) -> None:
        flat = [word for field, its_type, place in fields for word in (self.name(field), its_type, place)]
        self.add(kind, name, size, *flat, count=len(fields), flag=flag)

    def data(self) -> bytes:
        header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings))
        return header + self.types + self.strings


def example() -> bytes:
    blob = Blob()
    blob.add(Kind.INT, "u32", 4, 32)  # 1
    blob.add(Kind.TYPEDEF, "be32", 1)  # 2
    blob.add(Kind.POINTER, "", 4)  # 3
    blob.members(Kind.STRUCT, "inner", 8, ("first", 1, 0), ("second", 2, 32))  # 4
    blob.members(Kind.UNION, "", 8, ("whole", 6, 0), ("part", 1, 32))  # 5
    blob.add(Kind.ARRAY, "", 0, 1, 1, 2)  # 6
    blob.members(Kind.STRUCT, "outer", 40, ("head", 1, 0), ("", 5, 64), ("sub", 4, 128), ("next", 3, 192))  # 7
    blob.members(Kind.STRUCT, "packed", 8, ("bits", 1, 3 << 24 | 5), ("plain", 1, 32), flag=BIT_FIELDS)  # 8
    blob.add(Kind.FUNC, "outer", 9, count=1)  # 9
    return blob.data()


@pytest.mark.parametrize(
    ("structure", "path", "field"),
    [
        ("outer", "head", Field(0, 4)),
        ("outer", "part", Field(12, 4)),
        ("outer", "whole", Field(8, 8)),
        ("outer", "sub.second", Field(20, 4)),
        ("outer", "next", Field(24, 8)),
        ("packed", "plain", Field(4, 4)),
    ],
)
def test_a_field_is_found_through_unnamed_unions_and_inner_structures(structure: str, path: str, field: Field) -> None:
    assert Btf(example()).field(structure, path) == field


def test_a_name_that_a_structure_and_a_function_share_is_found_by_its_kind() -> None:
    btf = Btf(example())
    assert (btf.find(Kind.STRUCT, "outer"), btf.find(Kind.FUNC, "outer")) == (7, 9)


@pytest.mark.parametrize(
    ("structure", "path", "said"),
    [
        ("outer", "tail", "struct outer has no tail"),
        ("outer", "head.deeper", "has no head.deeper"),
        ("nowhere", "head", "no struct nowhere"),
        ("packed", "bits", "bit field"),
    ],
)
def test_what_this_kernel_does_not_have_is_said(structure: str, path: str, said: str) -> None:
    with pytest.raises(KernelError, match=said):
        Btf(example()).field(structure, path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "within its header"),
        (b"\0" * 24, "not BTF"),
        (example()[:-1], "is cut"),
        (example()[:31] + bytes([31]) + example()[32:], "unknown kind"),
    ],
)
def test_what_is_no_btf_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        Btf(data)


@given(st.data())
def test_damaged_types_never_make_more_than_a_complaint(data: st.DataObject) -> None:
    octets = bytearray(example())
    for at in data.draw(st.lists(st.integers(0, len(octets) - 1), max_size=6)):
        octets[at] = data.draw(st.integers(0, 255))
    try:
        btf = Btf(bytes(octets))
        btf.field("outer", "sub.second")
        btf.field("packed", "bits")
    except (DecodeError, KernelError):
        pass


@pytest.mark.skipif(not KERNEL.exists(), reason="this kernel does not tell its types")
def test_the_running_kernel_tells_what_the_programs_need() -> None:
    btf = Btf.of_kernel()
    assert btf.field("sock", "__sk_common.skc_num").size == 2
    assert btf.field("task_struct", "comm").size == 16
    assert btf.find(Kind.TYPEDEF, "btf_trace_inet_sock_set_state")


def test_a_kernel_without_types_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="CONFIG_DEBUG_INFO_BTF"):
        Btf.of_kernel(tmp_path / "vmlinux")
