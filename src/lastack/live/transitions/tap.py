"""The program at the tracepoint, running: the maps that it fills, and what escaped it."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from lastack.linux import sysctl
from lastack.linux.bpf.btf import Btf
from lastack.linux.bpf.maps import Array
from lastack.linux.bpf.ring import Ring
from lastack.linux.bpf.syscall import require_first_pids

from .program import CLOSER, CLOSERS, Outlets, load
from .source import Namespaces

_FEWEST: Final = 1 << 16
_MOST: Final = 1 << 20


class Tap:
    """The program, attached from when this is made until `stop`. Any process can find the closers that it keeps."""

    def __init__(self, namespaces: Namespaces, ring: Ring | None = None) -> None:
        """Tell of these namespaces, and put changes of state into `ring`, if one is given. Raises KernelError."""
        require_first_pids()
        with ExitStack() as made:
            count = _closers()
            closers = made.enter_context(Array.make(CLOSERS, CLOSER.itemsize, count))
            counter = made.enter_context(Array.make("lastack_lost", 8, 1))
            self._full = made.enter_context(counter.memory(8))
            outlets = Outlets(closers.fileno(), count, None if ring is None else ring.fileno(), counter.fileno())
            self._program = made.enter_context(load(Btf.of_kernel(), namespaces, outlets))
            self._link = made.enter_context(self._program.attach())
            self._open: ExitStack | None = made.pop_all()
        self._lost = 0

    @property
    def lost(self) -> int:
        """Changes that found no place in the ring, or came while the program ran on the same processor."""
        if self._open is not None:
            self._lost = self._program.info().misses + int.from_bytes(self._full[:8], "little")
        return self._lost

    def stop(self) -> None:
        """Detach: nothing more is told. Again does nothing."""
        self._link.close()

    def close(self) -> None:
        """Stop, and give everything back; the closers are forgotten. Again does nothing."""
        if self._open is not None:
            self.stop()
            _ = self.lost
            self._open.close()
            self._open = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _closers() -> int:
    """How many closers are kept, a power of two: for twice as many sockets as may be in TIME_WAIT, 3 to 48 MiB."""
    most = sysctl.read("net.ipv4.tcp_max_tw_buckets") or ""
    wanted = 2 * int(most) if most.isdecimal() else 0
    return min(max(1 << max(wanted - 1, 0).bit_length(), _FEWEST), _MOST)
