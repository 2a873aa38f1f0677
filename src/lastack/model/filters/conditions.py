"""What a filter is made of: conditions on a connection, `and`, `or` and `not`, evaluated a column at a time.

A condition on something that is not known of a connection (null) does not hold; its `not` does.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import Nanos

from .values import Host, Network, duration_text, host
from .words import ALL_STATES, SS_NAME, WORD, quoted, tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lastack.model.host import HostFacts, Process

    Array = NDArray[Any]

EPHEMERAL: Final = (32768, 60999)
"""The kernel's own net.ipv4.ip_local_port_range: the first and last port that connect() chooses from."""


class Look(NamedTuple):
    """What a condition is asked about."""

    table: ConnectionTable
    now_ns: Nanos
    ephemeral: tuple[int, int]
    facts: HostFacts | None = None


class Condition(ABC):
    """Something that holds of a connection or does not. Its text is canonical: parsing it gives an equal condition."""

    __slots__ = ()

    @abstractmethod
    def matches(self, look: Look) -> Array:
        """A boolean array, one element a row."""

    def possible(self) -> int:
        """The states (a mask of `1 << state`) in which it may hold."""
        return ALL_STATES

    def certain(self) -> int:
        """The states in which it holds whatever else is so."""
        return 0

    @property
    def of_host(self) -> bool:
        """Whether the facts of the host have a say in it, not the connection's own columns alone."""
        return False

    @property
    def height(self) -> int:
        """How deep its text nests."""
        return 0


@dataclass(frozen=True, slots=True)
class InState(Condition):
    """`state X state Y`, `exclude X`: the local side's state is in a mask."""

    mask: int

    def matches(self, look: Look) -> Array:
        """Look every state up in the mask."""
        import numpy as np

        wanted = np.array([self.mask >> state & 1 for state in range(256)], np.bool_)
        return look.table.valid("local_state") & wanted[look.table.values("local_state")]

    def possible(self) -> int:
        """The mask itself."""
        return self.mask

    def certain(self) -> int:
        """The mask itself."""
        return self.mask

    def __str__(self) -> str:
        few = self.mask.bit_count() <= len(State) // 2
        listed = self.mask if few else ALL_STATES & ~self.mask
        names = [name for state, name in SS_NAME.items() if listed >> state & 1]
        if not names:
            return "exclude all" if few else "state all"
        return " ".join(f"{'state' if few else 'exclude'} {name}" for name in names)


@dataclass(frozen=True, slots=True)
class AtHost(Condition):
    """`dst HOST`, `src HOST`: an address lies in a prefix, and a port is the one named."""

    word: str
    host: Host

    def matches(self, look: Look) -> Array:
        """Compare both halves of the address under the prefix's mask."""
        import numpy as np

        side = "remote" if self.word == "dst" else "local"
        table, (prefix, port) = look.table, self.host
        found = np.ones(len(table), np.bool_)
        if prefix is not None:
            found &= table.valid(f"{side}_addr") & _within(prefix, table.values(f"{side}_addr"))
        if port is not None:
            found &= table.valid(f"{side}_port") & (table.values(f"{side}_port") == port)
        return found

    def __str__(self) -> str:
        return f"{self.word} {self.host}"


def _within(prefix: Network, addresses: Array) -> Array:
    import numpy as np

    high, low = addresses["high"], addresses["low"]
    high_mask, low_mask = (np.uint64(half) for half in prefix.masks)
    found: Array = (high & high_mask == np.uint64(prefix.high)) & (low & low_mask == np.uint64(prefix.low))
    if not prefix.ipv4:  # ::/0 is all of IPv6, and none of the IPv4 that the columns keep mapped into it.
        found &= ~((high == 0) & (low >> np.uint64(32) == np.uint64(0xFFFF)))
    return found


COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PORTS: Final[Mapping[str, str]] = {"dport": "remote_port", "sport": "local_port"}
COUNTS: Final[Mapping[str, str]] = {"recv-q": "recv_q", "send-q": "send_q"}
DURATIONS: Final = ("age", "idle")
NAMES: Final[Mapping[str, str]] = {"process": "command", "unit": "unit", "container": "container"}


@dataclass(frozen=True, slots=True)
class Compares(Condition):
    """`dport > :1023`, `recv-q > 0`, `age >= 60s`, `process = 4711`: a number stands in a relation to another."""

    word: str
    operator: str
    number: int

    def matches(self, look: Look) -> Array:
        """Compare the column, or what `idle` computes, with the number."""
        import numpy as np

        if self.word == "idle":
            values, valid = _idle(look)
        else:
            columns = {**PORTS, **COUNTS, "age": "age_ns", "process": "pid"}
            values, valid = look.table.values(columns[self.word]), look.table.valid(columns[self.word])
        found: Array = COMPARISONS[self.operator](values.astype(np.int64), self.number) & valid
        return _or_shared(look, found, lambda holder: holder.pid == self.number) if self.word == "process" else found

    @property
    def of_host(self) -> bool:
        """A socket may have several processes, and the table names one."""
        return self.word == "process"

    def __str__(self) -> str:
        if self.word in DURATIONS:
            return f"{self.word} {self.operator} {duration_text(self.number)}"
        return f"{self.word} {self.operator} {':' if self.word in PORTS else ''}{self.number}"


def _idle(look: Look) -> tuple[Array, Array]:
    """Nanoseconds since data last went either way, or where none ever did the age; and where either is known."""
    import numpy as np

    table = look.table
    idle, known = table.values("age_ns"), table.valid("age_ns")
    spoken = np.zeros(len(table), np.bool_)
    for name in ("last_data_received_ns", "last_data_sent_ns"):
        ago, valid = look.now_ns - table.values(name), table.valid(name)
        idle = np.where(valid & (~spoken | (ago < idle)), ago, idle)
        spoken |= valid
    return idle, known | spoken


@dataclass(frozen=True, slots=True)
class Named(Condition):
    """`process NAME`, `unit NAME`, `container NAME`: a text is like a glob. A unit's suffix may be left out."""

    word: str
    glob: str

    def matches(self, look: Look) -> Array:
        """Match each string once, then look the rows' codes up."""
        match = re.compile(translate(self.glob)).match
        unit, column = self.word == "unit", NAMES[self.word]

        def fits(text: str | None) -> bool:
            return text is not None and bool(match(text) or (unit and "." in text and match(text.rpartition(".")[0])))

        return _or_shared(look, _where(look.table, column, fits), lambda holder: fits(getattr(holder, column)))

    @property
    def of_host(self) -> bool:
        """As `process = 4711`."""
        return True

    def __str__(self) -> str:
        words = tokens(self.glob) if "'" not in self.glob and '"' not in self.glob else []
        bare = len(words) == 2 and words[0].kind == WORD and words[0].text == self.glob and not self.glob.isdigit()
        return f"{self.word} {self.glob if bare else quoted(self.glob)}"


@dataclass(frozen=True, slots=True)
class CameBy(Condition):
    """`listener HOST`: the connection came in by a listening socket of that address and port."""

    host: Host

    def matches(self, look: Look) -> Array:
        """Read each listener once, then look the rows' codes up."""
        return _where(look.table, "listener", self._is)

    def _is(self, listener: str) -> bool:
        try:
            found = host(listener)
        except ValueError:
            return False
        prefix = self.host.network
        held = prefix is None or (found.network is not None and prefix.holds(found.network.high, found.network.low))
        return held and self.host.port in (None, found.port)

    def __str__(self) -> str:
        return f"listener {self.host}"


def _or_shared(look: Look, found: Array, wanted: Callable[[Process], bool]) -> Array:
    """`found`, and the sockets of several processes of which any is wanted: the table names only one."""
    import numpy as np

    if look.facts is None:
        return found
    shared = np.flatnonzero(look.table.valid("holders") & (look.table.values("holders") > 1))
    processes = look.facts.processes
    for row, inode in zip(shared.tolist(), look.table.values("inode")[shared].tolist(), strict=True):
        pids = {holder.pid for holder in look.facts.holders.get(inode, ())}
        found[row] |= any(wanted(processes[pid]) for pid in pids & processes.keys())
    return found


def _where(table: ConnectionTable, name: str, wanted: Callable[[str], bool]) -> Array:
    """The rows whose text in the column is wanted."""
    import numpy as np

    column, valid = table.column(name), table.valid(name)
    if not column.strings:
        return np.zeros(len(table), np.bool_)
    hits = np.fromiter(map(wanted, column.strings), np.bool_, len(column.strings))
    found: Array = valid & hits[np.where(valid, column.values, 0)]
    return found


@dataclass(frozen=True, slots=True)
class Is(Condition):
    """`timer keepalive`, `family inet`: a coded column has one value. `text` is the value's name."""

    word: str
    text: str
    code: int

    def matches(self, look: Look) -> Array:
        """Compare the codes."""
        found: Array = look.table.valid(self.word) & (look.table.values(self.word) == self.code)
        return found

    def __str__(self) -> str:
        return f"{self.word} {self.text}"


@dataclass(frozen=True, slots=True)
class Autobound(Condition):
    """`autobound`: the local port is of the range that the kernel chooses from."""

    def matches(self, look: Look) -> Array:
        """Compare the local ports with the range."""
        ports, (first, last) = look.table.values("local_port"), look.ephemeral
        return look.table.valid("local_port") & (ports >= first) & (ports <= last)

    @property
    def of_host(self) -> bool:
        """The range is a setting."""
        return True

    def __str__(self) -> str:
        return "autobound"


@dataclass(frozen=True, slots=True)
class Both(Condition):
    """`a and b and ...`."""

    parts: tuple[Condition, ...]

    def matches(self, look: Look) -> Array:
        """Where every part holds."""
        found: Array = reduce(operator.and_, (part.matches(look) for part in self.parts))
        return found

    def possible(self) -> int:
        """The states that all parts leave."""
        return reduce(operator.and_, (part.possible() for part in self.parts))

    def certain(self) -> int:
        """The states in which all parts surely hold."""
        return reduce(operator.and_, (part.certain() for part in self.parts))

    @property
    def of_host(self) -> bool:
        """Whether any part is."""
        return any(part.of_host for part in self.parts)

    @property
    def height(self) -> int:
        """One more than its deepest part."""
        return 1 + max(part.height for part in self.parts)

    def __str__(self) -> str:
        return " and ".join(map(_part, self.parts))


@dataclass(frozen=True, slots=True)
class Either(Condition):
    """`a or b or ...`."""

    parts: tuple[Condition, ...]

    def matches(self, look: Look) -> Array:
        """Where any part holds."""
        found: Array = reduce(operator.or_, (part.matches(look) for part in self.parts))
        return found

    def possible(self) -> int:
        """The states that any part leaves."""
        return reduce(operator.or_, (part.possible() for part in self.parts))

    def certain(self) -> int:
        """The states in which some part surely holds."""
        return reduce(operator.or_, (part.certain() for part in self.parts))

    @property
    def of_host(self) -> bool:
        """Whether any part is."""
        return any(part.of_host for part in self.parts)

    @property
    def height(self) -> int:
        """One more than its deepest part."""
        return 1 + max(part.height for part in self.parts)

    def __str__(self) -> str:
        return " or ".join(map(_part, self.parts))


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """`not a`."""

    part: Condition

    def matches(self, look: Look) -> Array:
        """Where the part does not hold."""
        found: Array = ~self.part.matches(look)
        return found

    def possible(self) -> int:
        """The states in which the part does not surely hold."""
        return ALL_STATES & ~self.part.certain()

    def certain(self) -> int:
        """The states in which the part cannot hold."""
        return ALL_STATES & ~self.part.possible()

    @property
    def of_host(self) -> bool:
        """Whether its part is."""
        return self.part.of_host

    @property
    def height(self) -> int:
        """One more than its part."""
        return 1 + self.part.height

    def __str__(self) -> str:
        return f"not {_part(self.part)}"


def _part(part: Condition) -> str:
    return f"( {part} )" if isinstance(part, (Both, Either)) else str(part)


def joined(kind: type[Both] | type[Either], parts: list[Condition]) -> Condition:
    """The parts under one `and` or `or`; those that are the same kind already are taken apart first."""
    flat: list[Condition] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, kind) else (part,))
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed expression. `str()` gives its canonical text; without a condition it matches everything."""

    condition: Condition | None = None

    def matches(
        self,
        table: ConnectionTable,
        now_ns: Nanos,
        ephemeral: tuple[int, int] = EPHEMERAL,
        facts: HostFacts | None = None,
    ) -> Array:
        """The wanted rows, as a boolean array as long as the table.

        `now_ns` is what `idle` counts to (Unix time, as the table's instants); `ephemeral` the host's
        ip_local_port_range, which `autobound` asks about; `facts` have all the processes that hold a socket, where they
        are several.
        """
        import numpy as np

        if self.condition is None:
            return np.ones(len(table), np.bool_)
        return self.condition.matches(Look(table, now_ns, ephemeral, facts))

    @property
    def states(self) -> int:
        """The states that can possibly match, as a mask of `1 << state`: what a dump may be restricted to."""
        return ALL_STATES if self.condition is None else self.condition.possible()

    @property
    def of_host(self) -> bool:
        """Whether `matches` can do with the table alone (False), or needs `ephemeral` and `facts`."""
        return self.condition is not None and self.condition.of_host

    def __and__(self, other: Filter) -> Filter:
        """What both want."""
        parts = [each.condition for each in (self, other) if each.condition is not None]
        return Filter(joined(Both, parts)) if parts else Filter()

    def __str__(self) -> str:
        return "" if self.condition is None else str(self.condition)
