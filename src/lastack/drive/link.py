"""A link, and each direction of it: delay, rate, queue, and everything that can go wrong with a packet on the way."""

from __future__ import annotations

from typing import Final, final

from lastack.errors import DecodeError
from lastack.model.time import SECOND, Nanos
from lastack.native import i64
from lastack.stack.dice import Dice
from lastack.tcp.timers import NEVER
from lastack.wire.packet import Packet, decode_packet

from .faults import Action, Fault, Where, every

_LEFT_BEHIND: Final = 256
"""So many empty places at least are taken away at once."""


@final
class Fate:
    """How a channel treats packets. Probabilities from 0 to 1, times in ns, `rate` in bits a second (0: no limit).

    `jitter` adds up to so much to every delay, `reorder_by` to the share `reorder` of them. `queue` is in octets.
    """

    def __init__(self) -> None:
        self.delay: Nanos = 0
        self.jitter: Nanos = 0
        self.rate = 0
        self.queue = 0
        self.loss = 0.0
        self.duplicate = 0.0
        self.reorder = 0.0
        self.reorder_by: Nanos = 0
        self.corrupt = 0.0
        self.mtu = 1500
        self.up = True
        self.strict = False
        """Turn every packet into octets and back, as a real wire does."""


@final
class Channel:
    """A FIFO of packets under way. One that is overtaken, or overtakes, is put in its place in time."""

    __slots__ = ("_busy_until", "_dice", "_head", "_latest", "_packets", "arrives", "fate", "faults", "lost", "passed")

    def __init__(self, dice: Dice) -> None:
        self.fate = Fate()
        self.faults: list[Fault] = []
        self.lost = 0
        self.passed = 0
        self.arrives: i64 = NEVER
        """When the next packet comes out, NEVER where none is under way."""
        self._dice = dice
        self._packets: list[Packet | None] = []
        """Those under way from `_head` on; before it the places of those that came out."""
        self._head = 0
        self._latest: i64 = 0
        """No packet under way arrives after this."""
        self._busy_until: Nanos = 0

    # -- scripted faults

    def lose(self, where: Where = every, nth: int = 1, times: int = 1) -> None:
        """Lose the `nth` packet that `where` names, and `times` - 1 more after it (0: all from there on)."""
        self.faults.append(Fault(Action.LOSE, where, nth, times))

    def hold(self, delay: Nanos, where: Where = every, nth: int = 1, times: int = 1) -> None:
        """Let it arrive so much later."""
        self.faults.append(Fault(Action.HOLD, where, nth, times, delay))

    def double(self, where: Where = every, nth: int = 1, times: int = 1, delay: Nanos = 0) -> None:
        """Let it arrive twice, the second time `delay` later."""
        self.faults.append(Fault(Action.DUPLICATE, where, nth, times, delay))

    def damage(self, where: Where = every, nth: int = 1, times: int = 1) -> None:
        """Flip a bit of it."""
        self.faults.append(Fault(Action.CORRUPT, where, nth, times))

    # -- packets

    def transmit(self, packet: Packet, now: Nanos) -> str:
        """Put a packet on its way. What befell it: empty, or a word for the trace."""
        fate = self.fate
        if not fate.up:
            self.lost += 1
            return "lost: link down"
        at = now
        if fate.rate:
            size = packet.size
            start = max(now, self._busy_until)
            if fate.queue and (start - now) * fate.rate > fate.queue * 8 * SECOND:
                self.lost += 1
                return "lost: queue full"
            at = start + size * 8 * SECOND // fate.rate
            self._busy_until = at
        at += fate.delay
        if self.faults or fate.loss or fate.jitter or fate.reorder or fate.duplicate or fate.corrupt or fate.strict:
            return self._with_faults(packet, at)
        self._put(packet, at)
        return ""

    def _with_faults(self, packet: Packet, at: Nanos) -> str:
        fate, dice = self.fate, self._dice
        lost = dice.chance(fate.loss)
        twice = dice.chance(fate.duplicate)
        damaged = dice.chance(fate.corrupt)
        if fate.jitter:
            at += dice.below(fate.jitter + 1)
        if dice.chance(fate.reorder):
            at += fate.reorder_by
        again = at
        told = "lost" if lost else ""
        for fault in self.faults:
            if fault.strikes(packet):
                told = f"{told}{', ' if told else ''}{fault.action.name.lower()}"
                lost = lost or fault.action is Action.LOSE
                damaged = damaged or fault.action is Action.CORRUPT
                if fault.action is Action.HOLD:
                    at = again = at + fault.delay
                elif fault.action is Action.DUPLICATE:
                    twice, again = True, at + fault.delay
        if not lost and (damaged or fate.strict):
            survivor = self._over_the_wire(packet, damaged)
            if survivor is None:
                lost, told = True, "damaged"
            else:
                packet = survivor
        if lost:
            self.lost += 1
            return told
        self._put(packet, at)
        if twice:
            self._put(packet.copy(), again)
            told = told or "doubled"
        return told

    def _over_the_wire(self, packet: Packet, damaged: bool) -> Packet | None:
        """The packet that comes out when octets went in, or None where a checksum gives the damage away."""
        raw = packet.encode()
        if damaged:
            bit = self._dice.below(len(raw) * 8)
            flipped = bytes((raw[bit >> 3] ^ (1 << (bit & 7)),))
            raw = raw[: bit >> 3] + flipped + raw[(bit >> 3) + 1 :]
        try:
            return decode_packet(raw)
        except DecodeError:
            return None

    def _put(self, packet: Packet, at: Nanos) -> None:
        packet.arrives = at
        if at < self.arrives:
            self.arrives = at
        if at >= self._latest:
            self._latest = at
            self._packets.append(packet)
            return
        packets = self._packets
        place = len(packets)
        while place > self._head:
            other = packets[place - 1]
            if other is None or other.arrives <= at:
                break
            place -= 1
        packets.insert(place, packet)

    def take(self) -> Packet:
        """The packet that arrives next. Raises IndexError where none is under way."""
        packets, head = self._packets, self._head
        packet = packets[head]
        assert packet is not None
        packets[head] = None
        head += 1
        self.passed += 1
        if head >= _LEFT_BEHIND and 2 * head >= len(packets):
            del packets[:head]
            head = 0
        self._head = head
        self.arrives = NEVER
        if head < len(packets):
            following = packets[head]
            if following is not None:
                self.arrives = following.arrives
        return packet

    def clear(self) -> None:
        """Whatever is under way is gone."""
        self.arrives = NEVER
        self._packets.clear()
        self._head = 0


@final
class Link:
    """Both directions between two nodes. `forth` leads from the first named to the second."""

    __slots__ = ("back", "forth")

    def __init__(self, forth: Channel, back: Channel) -> None:
        self.forth = forth
        self.back = back

    def cut(self) -> None:
        """Nothing passes any more; what is under way is lost as well."""
        for channel in (self.forth, self.back):
            channel.fate.up = False
            channel.clear()

    def mend(self) -> None:
        """Packets pass again."""
        self.forth.fate.up = self.back.fate.up = True
