"""What Numba puts in the place of `octets`: one unaligned load and a byte swap. Imported only where Numba is."""

# ruff: noqa: ANN401 (what Numba passes to a code generator has no public types)

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload

from lastack.capture.kernels import octets


def _load(bits: int, swap: bool, signed: bool) -> Any:
    """An intrinsic that reads `bits` at an offset of a contiguous array, swapped or not, widened to 64 bits."""

    @intrinsic
    def load(_typing: Any, array: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            value = builder.load(builder.bitcast(builder.gep(place, [arguments[1]]), ir.IntType(bits).as_pointer()))
            value.align = 1
            if swap and bits > 8:
                value = builder.bswap(value)
            if bits == 64:
                return value
            return builder.sext(value, ir.IntType(64)) if signed else builder.zext(value, ir.IntType(64))

        return types.int64(array, types.int64), generate

    return load


def _replace(function: Callable[..., int], bits: int, big: bool, signed: bool = False) -> None:
    """Make compiled code call the load wherever its source calls the function of `octets`."""
    load = _load(bits, swap=big == (sys.byteorder == "little"), signed=signed)

    def choose(_octets: Any, _at: Any) -> Any:
        def implementation(_octets: Any, _at: Any) -> Any:
            return load(_octets, _at)

        return implementation

    overload(function, inline="never")(choose)


def _store(_typing: Any, array: Any, _at: Any, _value: Any) -> Any:
    """A store without the look for a negative index."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.store(arguments[2], builder.gep(place, [arguments[1]]))
        return context.get_dummy_value()

    return types.none(array, types.int64, types.int64), generate


store: Any = intrinsic(_store)


@overload(octets.put, inline="never")
def _put(_numbers: Any, _at: Any, _value: Any) -> Any:
    def implementation(_numbers: Any, _at: Any, _value: Any) -> Any:
        store(_numbers, _at, _value)

    return implementation


_replace(octets.u8, 8, big=True)
_replace(octets.u16, 16, big=True)
_replace(octets.u32, 32, big=True)
_replace(octets.u16_little, 16, big=False)
_replace(octets.u32_little, 32, big=False)
_replace(octets.s64, 64, big=True, signed=True)
