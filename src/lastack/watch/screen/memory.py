"""What the screen remembers from look to look: how many there were in each state, and which findings came and went."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lastack.model.record import ConnectionTable
from lastack.model.time import SECOND, Nanos
from lastack.report.view import Remark, page
from lastack.watch.groups import Group, connected, whole

if TYPE_CHECKING:
    from lastack.watch.looker import Seen

LOOKS: Final = 600
_CLEARED: Final = 60 * SECOND
"""So long a finding that has cleared is still shown."""


@dataclass(frozen=True, slots=True)
class Told:
    """A finding, since when it is there, and when it was first missed (None: it is still there)."""

    remark: Remark
    since: Nanos
    cleared: Nanos | None = None


class Memory:
    """Takes looks in; everything else reads what it holds."""

    def __init__(self) -> None:
        self.counts: deque[Group] = deque(maxlen=LOOKS)
        self.times: deque[Nanos] = deque(maxlen=LOOKS)
        self.findings: dict[str, Told] = {}

    def add(self, seen: Seen) -> None:
        """Take a look in."""
        self.counts.append(whole(ConnectionTable.concatenate([connected(table) for table, _ in seen.look])))
        self.times.append(seen.at)
        present: dict[str, Told] = {}
        for remark in page(seen.report).remarks:
            key = _key(remark)
            while key in present:  # another of the kind, of another process of that name
                key += "'"
            before = self.findings.get(key)
            since = seen.at if before is None or before.cleared else before.since
            present[key] = Told(remark, since)
        gone = {
            key: Told(told.remark, told.since, told.cleared or seen.at)
            for key, told in self.findings.items()
            if key not in present and (told.cleared is None or seen.at - told.cleared < _CLEARED)
        }
        self.findings = present | gone


def _key(remark: Remark) -> str:
    """What makes it the same finding from look to look, whatever it counts: `CLOSE_WAIT, not closed:  of nginx`."""
    topic, _, rest = remark.title.partition(": ")
    return f"{remark.netns} {remark.rule} {topic} {rest.lstrip('0123456789,')}"
