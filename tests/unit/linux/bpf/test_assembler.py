"""Instructions, octet by octet, as RFC 9669 lays them down."""

from __future__ import annotations

import pytest

from lastack.errors import CallError
from lastack.linux.bpf.assembler import R0, R1, R2, R10, Assembler, Helper
from lastack.linux.bpf.btf import Field


@pytest.mark.parametrize(
    ("code", "octets"),
    [
        (Assembler().move(R1, R10), "bfa1 0000 00000000"),
        (Assembler().move(R0, -1), "b700 0000 ffffffff"),
        (Assembler().compute(R2, "+", -16), "0702 0000 f0ffffff"),
        (Assembler().compute(R2, ">>", R1), "7f12 0000 00000000"),
        (Assembler().from_network(R1, 16), "dc01 0000 10000000"),
        (Assembler().load(R1, R2, Field(6, 1)), "7121 0600 00000000"),
        (Assembler().load(R1, R2, Field(-8, 8)), "7921 f8ff 00000000"),
        (Assembler().store(R10, Field(-2, 2), R1), "6b1a feff 00000000"),
        (Assembler().store(R10, Field(-4, 4), 7), "620a fcff 07000000"),
        (Assembler().atomic_add(R1, 8, R2), "db21 0800 00000000"),
        (Assembler().load_map(R1, 5), "1811 0000 05000000 0000 0000 00000000"),
        (Assembler().load_value(R1, 5, 8), "1821 0000 05000000 0000 0000 08000000"),
        (Assembler().load_64(R1, 0xFFFF_0000_0001), "1801 0000 01000000 0000 0000 ffff0000"),
        (Assembler().call(Helper.GET_SOCKET_COOKIE), "8500 0000 2e000000"),
        (Assembler().exit(), "9500 0000 00000000"),
    ],
)
def test_an_instruction_is_what_the_standard_says(code: Assembler, octets: str) -> None:
    assert code.code() == bytes.fromhex(octets)


def test_jumps_count_the_instructions_that_they_pass() -> None:
    code = Assembler().jump_if(R1, "==", 0, "end").load_map(R1, 3).jump("end").move(R0, 1).label("end").exit()
    assert code.code()[:8] == bytes.fromhex("1501 0400 00000000")
    assert code.code()[24:32] == bytes.fromhex("0500 0100 00000000")


def test_numbers_of_32_bits_are_compared_as_such() -> None:
    code = Assembler().jump_if_equal_32(R1, 0xF000_0000, "end").label("end")
    assert code.code() == bytes.fromhex("1601 0000 000000f0")


def test_a_label_is_there_once() -> None:
    with pytest.raises(CallError, match="two labels"):
        Assembler().label("end").label("end")
    with pytest.raises(CallError, match="no label 'end'"):
        Assembler().jump("end").code()


def test_a_jump_that_is_too_far_is_refused() -> None:
    code = Assembler().jump("end")
    for _ in range(0x8000):
        code.move(R0, 0)
    with pytest.raises(CallError, match="32,768 instructions"):
        code.label("end").code()


def test_a_field_of_no_register_size_is_refused() -> None:
    with pytest.raises(CallError, match="16 octets"):
        Assembler().load(R1, R2, Field(0, 16))
