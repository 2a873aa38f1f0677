"""Flat sequences for kernels: NumPy arrays where the kernels are compiled, plain ones where they are not."""

from __future__ import annotations

from array import array
from collections.abc import Callable, MutableSequence
from typing import Any, Final, TypeAlias

from lastack.capture.kernels import records
from lastack.capture.kernels.build import compiled

Walk: TypeAlias = Callable[..., int]
WALKS: Final = {"pcap": "walk_pcap", "pcapng": "walk_pcapng"}


def numbers(count: int, fast: bool) -> MutableSequence[int]:
    """So many 64-bit zeros."""
    if fast:
        import numpy as np

        return np.zeros(count, np.int64)  # type: ignore[return-value]
    return array("q", bytes(8 * count))


def octets(count: int, fast: bool) -> Any:  # noqa: ANN401 (a bytearray or an array of uint8)
    """So many zero octets."""
    if fast:
        import numpy as np

        return np.zeros(count, np.uint8)
    return bytearray(count)


def passed(sequence: Any, fast: bool) -> Any:  # noqa: ANN401 (an address or the sequence itself)
    """What a kernel takes for a sequence."""
    return sequence.ctypes.data if fast else sequence


def walk(form: str, fast: bool) -> Walk:
    """The walk over the records of a format, compiled or plain."""
    name = WALKS[form]
    plain: Walk = getattr(records, name)
    return compiled(plain, records.KERNELS[name]) if fast else plain
