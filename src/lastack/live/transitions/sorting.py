"""Sorting keys in bulk. Sorting numbers that end in their own place is several times as fast as sorting places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lastack.model.record import Array


def order_of(keys: Array) -> Array:
    """The places of unsigned 64-bit keys in their order; those of equal keys ascend."""
    if not len(keys):
        return np.empty(0, np.intp)
    low = keys.min()
    bits = len(keys).bit_length()
    if int(keys.max() - low) >> (64 - bits):
        order: Array = np.argsort(keys, kind="stable")
        return order
    return _places(_packed((keys - low) << np.uint64(bits)), bits)


def distinct(*parts: Array) -> tuple[Array, Array]:
    """Of rows of whole numbers given by columns: where each different one is first, and of each row which it is.

    Rows are compared by a mixture of 64 bits less those for their number: two that differ are as good as never taken
    for the same.
    """
    bits = len(parts[0]).bit_length()
    packed = _packed(mixed(*parts) << np.uint64(bits))
    order, groups = _places(packed, bits), packed >> np.uint64(bits)
    begins = np.ones(len(packed), np.bool_)
    np.not_equal(groups[1:], groups[:-1], out=begins[1:])
    which = np.empty(len(packed), np.intp)
    which[order] = np.cumsum(begins) - 1
    return order[begins], which


def mixed(*parts: Array) -> Array:
    """One number of 64 bits for each row of whole numbers, given by columns."""
    found = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        # Multiply and fold, as in splitmix64: every bit of a part moves about half of the result.
        found = (found ^ part.astype(np.uint64)) * np.uint64(0xBF58_476D_1CE4_E5B9)
        found ^= found >> np.uint64(31)
    return found


def _packed(keys: Array) -> Array:
    """Keys whose lowest bits are free, each with its place in them, sorted."""
    keys |= np.arange(len(keys), dtype=np.uint64)
    keys.sort()
    return keys


def _places(packed: Array, bits: int) -> Array:
    places: Array = (packed & np.uint64((1 << bits) - 1)).astype(np.intp)
    return places
