"""The kernel's types, as it describes them itself: where a field lies, and what number a type or function has.

Source: Documentation/bpf/btf.rst, include/uapi/linux/btf.h.
"""

from __future__ import annotations

import struct
import sys
from bisect import bisect_left
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

from lastack.errors import DecodeError, KernelError

KERNEL: Final = Path("/sys/kernel/btf/vmlinux")

_HEADER: Final = struct.Struct("=HBBIIIII")
_MAGIC: Final = 0xEB9F
_POINTER: Final = 8
_TYPE_WORDS: Final = 3
"""What every type begins with: the name's offset, kind and count, size or type."""
_MEMBER_WORDS: Final = 3
_DEEPEST: Final = 64
"""Typedefs and qualifiers of one another."""
_BIT_FIELD: Final = 1 << 31


class Kind(IntEnum):
    """The kinds of BTF types that are asked for or have something behind their first three words (BTF_KIND_*)."""

    INT = 1
    POINTER = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_WORDS_BEHIND: Final[Mapping[int, int]] = {Kind.INT: 1, Kind.ARRAY: 3, Kind.VAR: 1, Kind.DECL_TAG: 1}
_WORDS_EACH: Final[Mapping[int, int]] = {
    Kind.STRUCT: 3,
    Kind.UNION: 3,
    Kind.ENUM: 2,
    Kind.FUNC_PROTO: 2,
    Kind.DATASEC: 3,
    Kind.ENUM64: 3,
}
_LAST: Final = 19
_ALIASES: Final = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
_COMPOUND: Final = frozenset({Kind.STRUCT, Kind.UNION})
_SIZED: Final = frozenset({Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64})


class Field(NamedTuple):
    """A place in a structure: where it begins and how large it is, in octets."""

    offset: int
    size: int


class Btf:
    """The types of one BTF blob, found by name."""

    def __init__(self, data: bytes) -> None:
        """Raises DecodeError where `data` is not BTF of this machine's octet order, or has a kind yet unknown."""
        if len(data) < _HEADER.size:
            raise DecodeError("BTF is cut within its header", at=len(data))
        magic, version, _, size, types_at, types_size, strings_at, strings_size = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != 1:
            raise DecodeError(f"not BTF of this machine: magic {magic:#x}, version {version}", at=0)
        if size + max(types_at + types_size, strings_at + strings_size) > len(data) or types_size % 4:
            raise DecodeError("BTF is cut", at=len(data))
        self._strings = data[size + strings_at : size + strings_at + strings_size]
        self._types = data[size + types_at : size + types_at + types_size]
        self._words = memoryview(self._types).cast("I")
        self._places = _places(self._words)

    @staticmethod
    def of_kernel(path: Path = KERNEL) -> Btf:
        """The types of the running kernel. Raises KernelError where it does not tell them."""
        try:
            return Btf(path.read_bytes())
        except OSError as error:
            why = "the kernel was built without CONFIG_DEBUG_INFO_BTF" if isinstance(error, FileNotFoundError) else ""
            raise KernelError(f"cannot read {path}: {why or error.strerror}") from error
        except DecodeError as error:
            raise KernelError(f"cannot read {path}: {error}") from error

    def find(self, kind: Kind, name: str) -> int:
        """The number of the type of this kind and name. Raises KernelError where there is none."""
        offset = self._strings.find(b"\0" + name.encode() + b"\0") + 1
        wanted, at = offset.to_bytes(4, sys.byteorder), -1
        # Types begin with their name's offset: the few places that hold this number are soon looked through.
        while offset and (at := self._types.find(wanted, at + 1)) >= 0:
            number = bisect_left(self._places, at / 4) + 1
            if number <= len(self._places) and 4 * self._places[number - 1] == at and self._kind(number) == kind:
                return number
        raise KernelError(f"this kernel's BTF has no {kind.name.lower()} {name}")

    def field(self, structure: str, path: str) -> Field:
        """A field of a structure, by names joined with dots; those in unnamed structures and unions need no path.

        Raises KernelError where the kernel has no such field, or it is a bit field.
        """
        try:
            return self._field(structure, path)
        except (IndexError, ValueError, RecursionError) as error:
            raise KernelError(f"this kernel's BTF makes no sense at {structure}.{path}") from error

    def _field(self, structure: str, path: str) -> Field:
        number, offset = self.find(Kind.STRUCT, structure), 0
        for name in path.split("."):
            found = self._member(number, name)
            if found is None:
                raise KernelError(f"this kernel's struct {structure} has no {path}")
            number, bits = found
            offset += bits // 8
        return Field(offset, self._size(number))

    def _member(self, number: int, name: str) -> tuple[int, int] | None:
        """The type of a member of a structure or union, and its offset in bits; None where there is none."""
        number = self._resolved(number)
        if not number or self._kind(number) not in _COMPOUND:
            return None
        at = self._places[number - 1]
        info = self._words[at + 1]
        first = at + _TYPE_WORDS
        for member in range(first, first + _MEMBER_WORDS * (info & 0xFFFF), _MEMBER_WORDS):
            its_name, its_type, place = self._words[member : member + _MEMBER_WORDS]
            # With the flag, the upper octet is the width of a bit field.
            bits = place & 0xFFFFFF if info & _BIT_FIELD else place
            if not its_name:
                inner = self._member(its_type, name)
                if inner is not None:
                    return inner[0], bits + inner[1]
            elif self._strings.startswith(name.encode() + b"\0", its_name):
                if info & _BIT_FIELD and place >> 24:
                    raise KernelError(f"{name} is a bit field in this kernel")
                return its_type, bits
        return None

    def _resolved(self, number: int) -> int:
        """The type behind typedefs and qualifiers."""
        for _ in range(_DEEPEST):
            if not number or self._kind(number) not in _ALIASES:
                return number
            number = self._words[self._places[number - 1] + 2]
        raise RecursionError

    def _size(self, number: int) -> int:
        number = self._resolved(number)
        kind = self._kind(number) if number else None
        at = self._places[number - 1] + 2
        if kind == Kind.POINTER:
            return _POINTER
        if kind == Kind.ARRAY:
            return self._words[at + 3] * self._size(self._words[at + 1])
        return self._words[at] if kind in _SIZED else 0

    def _kind(self, number: int) -> int:
        return self._words[self._places[number - 1] + 1] >> 24 & 0x1F


def _places(words: memoryview[int]) -> list[int]:
    """Where each type begins, in words; the first has number 1."""
    found: list[int] = []
    at, end = 0, len(words) - _TYPE_WORDS
    add, steps = found.append, _Steps()
    try:
        while at <= end:
            add(at)
            at += steps[words[at + 1]]
    except KeyError:
        raise DecodeError(f"BTF has a type of the unknown kind {words[at + 1] >> 24 & 0x1F}", at=4 * at) from None
    if at != len(words):
        raise DecodeError("BTF's last type is cut", at=4 * min(at, len(words)))
    return found


class _Steps(dict[int, int]):
    """How many words a type has, by its second: there are 100,000 types, but few that differ in this."""

    def __missing__(self, info: int) -> int:
        kind = info >> 24 & 0x1F
        if kind > _LAST:
            raise KeyError(info)
        self[info] = steps = _TYPE_WORDS + _WORDS_BEHIND.get(kind, 0) + _WORDS_EACH.get(kind, 0) * (info & 0xFFFF)
        return steps
