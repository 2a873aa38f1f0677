"""An assembler for BPF: instructions by name, jumps to labels, loads and stores sized by the fields they touch.

Source: Documentation/bpf/standardization/instruction-set.rst (RFC 9669).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, Self

from lastack.errors import CallError

from .btf import Field


class Register(IntEnum):
    """R0 has results, R1 to R5 arguments (calls destroy them), R6 to R9 stay, R10 is the end of the stack."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    R10 = 10


R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = Register


class Helper(IntEnum):
    """Functions of the kernel that programs call (include/uapi/linux/bpf.h)."""

    MAP_LOOKUP_ELEM = 1
    GET_SOCKET_COOKIE = 46
    GET_CURRENT_CGROUP_ID = 80
    KTIME_GET_BOOT_NS = 125
    SEQ_WRITE = 127
    RINGBUF_RESERVE = 131
    RINGBUF_SUBMIT = 132
    SKC_TO_TCP_SOCK = 137
    GET_CURRENT_TASK_BTF = 158
    SOCK_FROM_FILE = 162


_FARTHEST: Final = 0x7FFF
_INSTRUCTION: Final = struct.Struct("=BBhi")
_SIZES: Final = {4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18}
_OPERATIONS: Final = {
    "+": 0x00, "-": 0x10, "*": 0x20, "/": 0x30, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70, "^": 0xA0,
}  # fmt: skip
_CONDITIONS: Final = {"==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "<": 0xA0, "<=": 0xB0}
_ALU64, _ALU, _JUMP, _JUMP_32, _FROM_REGISTER = 0x07, 0x04, 0x05, 0x06, 0x08
_MOVE, _SWAP, _CALL, _EXIT = 0xB0, 0xD0, 0x80, 0x90
_LOAD_64, _PSEUDO_MAP, _PSEUDO_VALUE = 0x18, 1, 2
_LOAD, _STORE_VALUE, _STORE, _ATOMIC_ADD = 0x61, 0x62, 0x63, 0xDB


class Assembler:
    """A program under construction; every method adds to it and returns it."""

    def __init__(self) -> None:
        self._code: list[bytes] = []
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []

    def move(self, to: Register, value: Register | int) -> Self:
        """`to` = `value`: a register, or a number of 32 bits, sign-extended."""
        return self._operate(_ALU64 | _MOVE, to, value)

    def compute(self, to: Register, operation: str, value: Register | int) -> Self:
        """`to` = `to` operation `value`, in 64 bits, unsigned."""
        return self._operate(_ALU64 | _OPERATIONS[operation], to, value)

    def from_network(self, register: Register, bits: int) -> Self:
        """Turn a number of 16, 32 or 64 bits in network order into one of this machine; the rest becomes zero."""
        return self._add(_ALU | _SWAP | _FROM_REGISTER, register, 0, 0, bits)

    def load(self, to: Register, base: Register, field: Field) -> Self:
        """`to` = the field of what `base` points to, zero-extended."""
        return self._add(_LOAD | _size(field), to, base, field.offset)

    def store(self, base: Register, field: Field, value: Register | int) -> Self:
        """The field of what `base` points to = `value`."""
        if isinstance(value, Register):
            return self._add(_STORE | _size(field), base, value, field.offset)
        return self._add(_STORE_VALUE | _size(field), base, 0, field.offset, value)

    def atomic_add(self, base: Register, offset: int, value: Register) -> Self:
        """The 64-bit number at `base` + `offset` += `value`."""
        return self._add(_ATOMIC_ADD, base, value, offset)

    def load_64(self, to: Register, value: int) -> Self:
        """`to` = a number of 64 bits, unsigned."""
        self._add(_LOAD_64, to, 0, 0, _signed(value & 0xFFFF_FFFF))
        return self._add(0, 0, 0, 0, _signed(value >> 32))

    def load_map(self, to: Register, descriptor: int) -> Self:
        """`to` = the map open as this descriptor, for calls that take a map."""
        self._add(_LOAD_64, to, _PSEUDO_MAP, 0, descriptor)
        return self._add(0, 0, 0, 0)

    def load_value(self, to: Register, descriptor: int, offset: int) -> Self:
        """`to` = the address of what is at `offset` in the first entry of an array that is open as this descriptor."""
        self._add(_LOAD_64, to, _PSEUDO_VALUE, 0, descriptor)
        return self._add(0, 0, 0, 0, offset)

    def call(self, helper: Helper) -> Self:
        """R0 = helper(R1, ..., R5)."""
        return self._add(_JUMP | _CALL, 0, 0, 0, helper)

    def exit(self) -> Self:
        """Return R0."""
        return self._add(_JUMP | _EXIT, 0, 0, 0)

    def label(self, name: str) -> Self:
        """Jumps to `name` come here. Raises CallError where there is one already."""
        if name in self._labels:
            raise CallError(f"there are two labels {name!r}")
        self._labels[name] = len(self._code)
        return self

    def jump(self, label: str) -> Self:
        """Go on at the label, which must come later."""
        self._jumps.append((len(self._code), label))
        return self._add(_JUMP, 0, 0, 0)

    def jump_if(self, register: Register, condition: str, value: Register | int, label: str) -> Self:
        """Go on at the label if so: `==`, `!=`, `<`, `<=`, `>`, `>=` (unsigned), `&` (any bit in common)."""
        self._jumps.append((len(self._code), label))
        return self._operate(_JUMP | _CONDITIONS[condition], register, value)

    def jump_if_equal_32(self, register: Register, value: int, label: str) -> Self:
        """Go on at the label if the lower half of the register is this number of 32 bits, unsigned."""
        self._jumps.append((len(self._code), label))
        return self._add(_JUMP_32 | _CONDITIONS["=="], register, 0, 0, _signed(value))

    def code(self) -> bytes:
        """The program, eight octets an instruction. Raises CallError where a label is missing or too far."""
        code = list(self._code)
        for at, label in self._jumps:
            if label not in self._labels:
                raise CallError(f"there is no label {label!r}")
            passed = self._labels[label] - at - 1
            if passed > _FARTHEST:
                raise CallError(f"a jump to {label!r} would pass {passed:,} instructions, and {_FARTHEST:,} at most")
            operation, registers, _, value = _INSTRUCTION.unpack(code[at])
            code[at] = _INSTRUCTION.pack(operation, registers, passed, value)
        return b"".join(code)

    def _operate(self, operation: int, register: Register, value: Register | int) -> Self:
        if isinstance(value, Register):
            return self._add(operation | _FROM_REGISTER, register, value, 0)
        return self._add(operation, register, 0, 0, value)

    def _add(self, operation: int, to: int, source: int, offset: int, value: int = 0) -> Self:
        self._code.append(_INSTRUCTION.pack(operation, source << 4 | to, offset, value))
        return self


def _size(field: Field) -> int:
    if field.size not in _SIZES:
        raise CallError(f"a field of {field.size} octets is not loaded or stored at once")
    return _SIZES[field.size]


def _signed(value: int) -> int:
    """The number of 32 bits with the same bits as this unsigned one."""
    return value - (value >> 31 << 32)
