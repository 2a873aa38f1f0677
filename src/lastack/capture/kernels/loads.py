"""What Numba puts in the place of `octets`: one unaligned load and a byte swap. Imported only where Numba is."""

# ruff: noqa: ANN401 (what Numba passes to a code generator has no public types)

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload

from lastack.capture.kernels import octets


def _place(context: Any, builder: Any, kind: Any, value: Any, at: Any, width: int) -> Any:
    """A pointer to element `at`, `width` octets each, of an array or of what an address points to."""
    element = ir.IntType(8 * width).as_pointer()
    if isinstance(kind, types.Array):
        start = builder.bitcast(context.make_array(kind)(context, builder, value).data, element)
    else:
        start = builder.inttoptr(value, element)
    return builder.gep(start, [at])


def _load(bits: int, swap: bool, index: int) -> Any:
    """An intrinsic that reads `bits` at an index counted in units of `index` octets, widened to 64 bits."""

    def load(_typing: Any, array: Any, _at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = _place(context, builder, signature.args[0], arguments[0], arguments[1], index)
            value = builder.load(builder.bitcast(place, ir.IntType(bits).as_pointer()))
            value.align = index
            if swap and bits > 8:
                value = builder.bswap(value)
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return types.int64(array, types.int64), generate

    return intrinsic(load)


def _store(_typing: Any, array: Any, _at: Any, _value: Any) -> Any:
    """Set one element of a column."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _place(context, builder, signature.args[0], arguments[0], arguments[1], 8))
        return context.get_dummy_value()

    return types.none(array, types.int64, types.int64), generate


def _replace(function: Callable[..., int], bits: int, big: bool = True, index: int = 1) -> None:
    """Make compiled code call the load wherever its source calls the function of `octets`."""
    load = _load(bits, swap=index == 1 and big == (sys.byteorder == "little"), index=index)

    def choose(_octets: Any, _at: Any) -> Any:
        def implementation(_octets: Any, _at: Any) -> Any:
            return load(_octets, _at)

        return implementation

    overload(function, inline="never")(choose)


_replace(octets.u8, 8)
_replace(octets.u16, 16)
_replace(octets.u32, 32)
_replace(octets.u16_little, 16, big=False)
_replace(octets.u32_little, 32, big=False)
_replace(octets.s64, 64)
_replace(octets.get, 64, index=8)

store: Any = intrinsic(_store)


@overload(octets.put, inline="never")
def _put(_numbers: Any, _at: Any, _value: Any) -> Any:
    def implementation(_numbers: Any, _at: Any, _value: Any) -> Any:
        store(_numbers, _at, _value)

    return implementation


@overload(octets.bump, inline="never")
def _bump(_numbers: Any, _at: Any, _by: Any) -> Any:
    def implementation(_numbers: Any, _at: Any, _by: Any) -> Any:
        store(_numbers, _at, octets.get(_numbers, _at) + _by)

    return implementation


def _aim(_typing: Any, _address: Any) -> Any:
    """An address as a pointer to 64-bit numbers."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())

    kind: Any = types.CPointer
    return kind(types.int64)(types.int64), generate


pointer: Any = intrinsic(_aim)
library: Any = numba
carray = library.carray


@overload(octets.column, inline="never")
def _column(_numbers: Any) -> Any:
    def implementation(_numbers: Any) -> Any:
        # As long as memory: nothing looks at the end.
        return carray(pointer(_numbers), 1 << 60)

    return implementation


def _fetch(_typing: Any, array: Any, _at: Any) -> Any:
    """The processor's prefetch, to read, into all levels of the cache."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], arguments[0], arguments[1], 8)
        octet, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [octet, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [octet], kind)
        builder.call(function, [builder.bitcast(place, octet), number(0), number(3), number(1)])
        return context.get_constant(types.boolean, True)

    return types.boolean(array, types.int64), generate


fetch: Any = intrinsic(_fetch)


@overload(octets.expect, inline="never")
def _expect(_numbers: Any, _at: Any) -> Any:
    def implementation(_numbers: Any, _at: Any) -> Any:
        return fetch(_numbers, _at)

    return implementation
