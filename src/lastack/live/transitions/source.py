"""Where changes of state come from, and the choice of the best source that this machine allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from lastack.errors import CallError, KernelError

if TYPE_CHECKING:
    from lastack.model.record import Array

Namespaces = frozenset[int] | None
"""The inodes of the network namespaces to watch; None: all of them."""


class TransitionSource(ABC):
    """A stream of changes of state, begun when it is made and ended by `stop`.

    `name`: "bpf", "tracefs" or "sock_diag". `exact`: every change is told, with its time; not so where dumps are
    compared. `reasons`: why none of the better sources was taken, a sentence each.
    """

    name: str
    exact: bool
    reasons: tuple[str, ...] = ()

    @property
    @abstractmethod
    def lost(self) -> int:
        """How many changes are known to have been lost since the beginning. It may be asked for after `close`."""

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that is readable when `read` has something to give."""

    @abstractmethod
    def read(self) -> Array:
        """What has happened since the last call, as an array of TRANSITION; empty where nothing has.

        It never waits. The array is the caller's own. Rows are nearly in order of time: those of different processors
        may be interleaved wrongly by some microseconds. Raises KernelError where the kernel takes the source away.
        """

    @abstractmethod
    def stop(self) -> None:
        """Detach from the kernel: nothing more is recorded, and `read` gives what was until it gives nothing."""

    @abstractmethod
    def close(self) -> None:
        """Stop, and give everything back; what was not read is gone. Again does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_source(namespaces: Namespaces, which: str = "best") -> TransitionSource:
    """The best source that can be had, or the one named: "bpf", "tracefs", "sock_diag".

    Raises KernelError where not even that can be had, with all the reasons; CallError for another name.
    """
    if which != "best" and which not in _SOURCES:
        raise CallError(f"no source of transitions is called {which!r}; there are: best, {', '.join(_SOURCES)}")
    reasons: list[str] = []
    for name, make in _SOURCES.items():
        if which not in ("best", name):
            continue
        try:
            source = make(namespaces)
        except KernelError as error:
            reasons.append(f"not by {name}: {error}")
            continue
        source.reasons = tuple(reasons)
        return source
    raise KernelError("; ".join(reasons))


def _bpf(namespaces: Namespaces) -> TransitionSource:
    from .bpf import BpfSource

    return BpfSource(namespaces)


def _tracefs(namespaces: Namespaces) -> TransitionSource:
    from .tracefs import TracefsSource

    return TracefsSource(namespaces)


def _sampled(namespaces: Namespaces) -> TransitionSource:
    from .sampled import SampledSource

    return SampledSource(namespaces)


_SOURCES: Final[Mapping[str, Callable[[Namespaces], TransitionSource]]] = {
    "bpf": _bpf,
    "tracefs": _tracefs,
    "sock_diag": _sampled,
}
