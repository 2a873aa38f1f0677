"""Trace events of the kernel, in a private instance of tracefs, read as binary pages.

An instance has ring buffers, switches and settings of its own, so nothing that anybody else traces on the machine is
touched. It is removed when it is closed. One whose process was killed is removed by whoever makes the next: each
instance's directory is locked as long as its process lives. Sources: Documentation/trace/ftrace.rst, events.rst;
kernel/trace/trace.c: tracing_buffers_read(). The text of `trace_pipe` is never
read: to write it takes the kernel longer than what it tells of.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from lastack.errors import DecodeError, KernelError

from . import ringpages
from .netlink import gather
from .required import require_linux

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MOUNTS: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
"""Where tracefs is mounted: on its own, or by debugfs. It is not mounted here where it is not."""
PREFIX: Final = "lastack-"
"""How the names of our instances begin."""

_SUB_BUFFER_KIB: Final = 64
_FIELD: Final = re.compile(
    r"^\s*field:(?P<type>.*?)(?P<name>\w+)(?:\[(?P<count>\d*)\])?;\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);"
    r"(?:\s*signed:(?P<signed>[01]);)?",
    re.MULTILINE,
)
_TRIES: Final = 20


class Batch(NamedTuple):
    """Events that were read: their fields by the names of the event's format, and the time of each in ns."""

    events: Array
    times: Array


def root() -> Path:
    """The directory of tracefs. Raises KernelError where it is not mounted, may not be read, or this is not Linux."""
    require_linux("tracing")
    for mount in MOUNTS:
        try:
            if (mount / "instances").is_dir():
                return mount
        except PermissionError:
            raise KernelError(f"cannot look into {mount}: run as root") from None
    if os.geteuid():
        raise KernelError("tracefs is not mounted, or is hidden from this user: run as root")
    raise KernelError(f"tracefs is not mounted: mount -t tracefs tracefs {MOUNTS[0]}")


def layout(text: str) -> tuple[int, np.dtype[Any]]:
    """The number of an event and the layout of its records, from its `format` file.

    Integers become integers of their size and sign, arrays and strings plain octets. Raises DecodeError where the text
    is no format.
    """
    number = re.search(r"^ID:\s*(\d+)", text, re.MULTILINE)
    names, formats, offsets, end = [], [], [], 0
    for field in _FIELD.finditer(text):
        size, offset = int(field["size"]), int(field["offset"])
        whole = field["count"] is None and size in (1, 2, 4, 8)
        names.append(field["name"])
        formats.append(f"{'i' if field['signed'] == '1' else 'u'}{size}" if whole else f"V{size}")
        offsets.append(offset)
        end = max(end, offset + size)
    if number is None or not names:
        raise DecodeError("this is not the format of a trace event")
    return int(number[1]), np.dtype(
        {"names": names, "formats": formats, "offsets": offsets, "itemsize": (end + 3) & ~3}
    )


class Instance:
    """A private instance with one event enabled, from when it is made until `close`.

    `event`: "system/name". `octets`: about how much memory all its rings take together. Times are those of
    CLOCK_MONOTONIC. `fileno` is readable while there are events. Raises KernelError where there is no tracefs, no such
    event, or no permission.

    `layout`: of the events, by the names of their fields.
    """

    def __init__(self, event: str, octets: int, fields: frozenset[str] = frozenset()) -> None:
        base = root()
        if sys.byteorder != "little" or struct.calcsize("l") != 8:
            raise KernelError("the pages of the trace ring are read on 64-bit little-endian machines only")
        self._event = event
        self._pages: dict[int, int] = {}
        self._epoll = select.epoll()
        self._enabled = False
        self._missed = 0
        self._lost_at_close: int | None = None
        try:
            sweep(base)
            self._path, self._lock = _make(base)
            try:
                self._set_up(octets, fields)
            except BaseException:
                self.close()
                raise
        except OSError as error:
            self._epoll.close()
            raise _refused(error) from error
        except BaseException:
            self._epoll.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """A descriptor that is readable while there are events to be read."""
        return self._epoll.fileno()

    def read(self) -> Batch:
        """All events of all processors that are there now, each processor's in order of time. It never waits."""
        # Whole records are moved as plain octets; by its fields NumPy would copy one field at a time.
        octets = np.dtype((np.void, self.layout.itemsize))
        events, times = [np.empty(0, octets)], [np.empty(0, np.int64)]
        for cpu in self._pages.values():
            for words in self._filled(cpu):
                page = ringpages.decode(words, self.layout.itemsize)
                records = gather(words, page.at, self.layout)
                ours = records["common_type"] == self._number
                events.append(records.view(octets)[ours])
                times.append(page.times[ours])
                self._missed += 1 if page.missed is None else page.missed
        return Batch(np.concatenate(events).view(self.layout), np.concatenate(times))

    @property
    def lost(self) -> int:
        """How many events the rings had no room for, since the beginning."""
        if self._lost_at_close is not None:
            return self._lost_at_close
        return max(self._missed, sum(self._statistics().values()))

    def stop(self) -> None:
        """No further event is written down; what is there can still be read."""
        if self._enabled:
            self._write(f"events/{self._event}/enable", "0")
            self._enabled = False

    def close(self) -> None:
        """Stop, and remove the instance with all that was not read. Again does nothing."""
        if self._lost_at_close is not None:
            return
        with suppress(OSError):
            self.stop()
        with suppress(OSError):
            self._lost_at_close = self.lost
        self._lost_at_close = self._lost_at_close or self._missed
        self._epoll.close()
        for descriptor in self._pages.values():
            os.close(descriptor)
        self._pages.clear()
        with suppress(OSError):
            self._path.rmdir()
        os.close(self._lock)

    def _set_up(self, octets: int, fields: frozenset[str]) -> None:
        try:
            self._number, self.layout = layout(self._read(f"events/{self._event}/format"))
        except DecodeError as error:
            raise KernelError(f"the format of {self._event} cannot be understood: {error}") from error
        missing = fields - set(self.layout.names or ())
        if missing:
            raise KernelError(f"this kernel's {self._event} does not tell {', '.join(sorted(missing))}")
        self._write("trace_clock", "mono")
        with suppress(OSError):  # Linux 6.8 and later: fewer reads
            self._write("buffer_subbuf_size_kb", str(_SUB_BUFFER_KIB))
        with suppress(OSError):  # Linux 5.0 and later: readable as soon as there is anything
            self._write("buffer_percent", "0")
        rings = [path.name for path in (self._path / "per_cpu").glob("cpu*")]
        each = max(octets // len(rings) >> 10, 4 * _SUB_BUFFER_KIB)
        self._write("buffer_size_kb", str(each))
        self._page = self._page_octets()
        for ring in rings:
            path = self._path / "per_cpu" / ring / "trace_pipe_raw"
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._pages[int(ring[3:])] = descriptor
            self._epoll.register(descriptor, select.EPOLLIN)
        self._most = (each << 10) // self._page + 1
        self._enabled = True
        self._write(f"events/{self._event}/enable", "1")

    def _page_octets(self) -> int:
        """How large the pages of the ring are, as they are read."""
        with suppress(OSError, ValueError):
            return int(self._read("buffer_subbuf_size_kb")) << 10
        return os.sysconf("SC_PAGE_SIZE")

    def _filled(self, descriptor: int) -> Iterator[Array]:
        """The pages of one processor that hold events; no more than its ring has, so that it ends at any rate."""
        for _ in range(self._most):
            words = np.empty(self._page // 4, np.uint32)
            try:
                size = os.readv(descriptor, [words.data.cast("B")])
            except BlockingIOError:
                return
            if not size:
                return
            yield words[: size // 4]

    def _statistics(self) -> Mapping[str, int]:
        """What the rings could not keep, by why: overwritten, dropped, interrupted."""
        counted: dict[str, int] = {}
        for cpu in self._pages:
            text = self._read(f"per_cpu/cpu{cpu}/stats")
            for why, count in re.findall(r"^(overrun|commit overrun|dropped events): (\d+)", text, re.MULTILINE):
                counted[why] = counted.get(why, 0) + int(count)
        return counted

    def _read(self, name: str) -> str:
        return (self._path / name).read_text()

    def _write(self, name: str, value: str) -> None:
        (self._path / name).write_text(value)


def sweep(base: Path) -> list[str]:
    """Remove the instances of ours whose process has died; their names come back."""
    removed = []
    for path in (base / "instances").glob(f"{PREFIX}*"):
        with suppress(OSError):  # locked, in use, or gone by now
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.rmdir()
                removed.append(path.name)
            finally:
                os.close(descriptor)
    return removed


def _make(base: Path) -> tuple[Path, int]:
    """A new instance, and the descriptor that holds its lock."""
    for attempt in range(_TRIES):
        path = base / "instances" / f"{PREFIX}{os.getpid()}-{attempt}"
        with suppress(FileExistsError):
            path.mkdir()
            # Between the two somebody's sweep may take it for a dead one's.
            with suppress(FileNotFoundError, BlockingIOError):
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if (path / "trace_clock").exists():
                        return path, descriptor
                except BaseException:
                    os.close(descriptor)
                    raise
                os.close(descriptor)
    raise KernelError(f"cannot make an instance of tracefs in {base}")


def _refused(error: OSError) -> KernelError:
    helps = {
        errno.EACCES: "run as root (tracefs belongs to root)",
        errno.EPERM: "run as root, and outside kernel lockdown",
        errno.EROFS: "tracefs is mounted read-only here",
        errno.ENOMEM: "the kernel has no memory for its rings",
        errno.ENOENT: "this kernel has no such event",
    }
    said = f"tracefs refuses: {error.strerror or error}"
    if error.filename:
        said += f" ({error.filename})"
    return KernelError(f"{said}; {helps[error.errno]}" if error.errno in helps else said)
