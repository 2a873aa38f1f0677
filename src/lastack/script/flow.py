"""One connection's numbers: from the script's, which begin where the script says, to those on the wire and back."""

from __future__ import annotations

from typing import Final

from lastack.wire.flags import RST
from lastack.wire.options import Options
from lastack.wire.segment import Segment

from .syntax import Option, SegmentLine

MASK: Final = 0xFFFF_FFFF
_FOEXP: Final = 254
_FOEXP_MAGIC: Final = b"\xf9\x89"
_MD5: Final = 19
_LETTERS: Final = ((0x02, "S"), (0x01, "F"), (0x04, "R"), (0x08, "P"), (0x20, "U"), (0x40, "E"), (0x80, "W"))


class Flow:
    """Ports, and how far the wire's numbers are from the script's. `local` is the side under test.

    The script's own sequence numbers go on the wire as they are; those of the side under test are learned from the
    first segment that it sends, its timestamps from the first with one.
    """

    def __init__(self, local_port: int, remote_port: int) -> None:
        self.local_port = local_port
        self.remote_port = remote_port
        self.local_offset: int | None = None
        self.stamp_offset: int | None = None
        self.last_stamp = 0

    def learn(self, expected: SegmentLine, segment: Segment) -> None:
        """Take over the numbers of a segment of the side under test, where they are not known yet."""
        if self.local_offset is None:
            self.local_offset = (segment.seq - expected.seq) & MASK
        if segment.ts_value is None:
            return
        self.last_stamp = segment.ts_value
        stamps = [option for option in expected.options or () if option.kind == "TS"]
        if self.stamp_offset is None and stamps:
            self.stamp_offset = (segment.ts_value - stamps[0].numbers[0]) & MASK

    def outgoing(self, line: SegmentLine) -> Segment:
        """The segment that an inbound line sends to the side under test."""
        local, remote = self.local_port, self.remote_port
        if line.ports is not None:
            remote, local = line.ports
        ack = 0 if line.ack is None else (line.ack + (self.local_offset or 0)) & MASK
        window = 0 if line.window is None else line.window
        segment = Segment(remote, local, line.seq, ack, line.flags, window, bytes(line.length))
        segment.urgent = line.urgent
        for option in line.options or ():
            self._put(option, segment)
        return segment

    def _put(self, option: Option, segment: Segment) -> None:
        numbers = option.numbers
        if option.kind == "mss":
            segment.mss = numbers[0]
        elif option.kind == "wscale":
            segment.window_scale = numbers[0]
        elif option.kind == "sackOK":
            segment.sack_permitted = True
        elif option.kind == "TS":
            segment.ts_value = numbers[0]
            segment.ts_echo = self._echo(numbers[1])
        elif option.kind == "sack":
            edges = [(edge + (self.local_offset or 0)) & MASK for edge in numbers]
            segment.sack = tuple(zip(edges[::2], edges[1::2], strict=True))
        elif option.kind == "FO":
            segment.fast_open = option.octets
        elif option.kind == "FOEXP":
            segment.others = (*segment.others, (_FOEXP, _FOEXP_MAGIC + option.octets))
        elif option.kind == "md5":
            segment.others = (*segment.others, (_MD5, option.octets))

    def _echo(self, echo: int) -> int:
        """The timestamp that the side under test will recognize as its own; 0 stays 0."""
        if not echo:
            return 0
        if self.stamp_offset is None:
            # The script has not said what the first one was: it must mean the last one.
            self.stamp_offset = (self.last_stamp - echo) & MASK
        return (echo + self.stamp_offset) & MASK

    # -- the other way

    def seq(self, segment: Segment) -> int:
        """The sequence number of a segment of the side under test, as the script counts.

        A RST for nobody's segment has 0, which is no number of the connection's (RFC 9293 3.10.7.1).
        """
        if segment.flags & RST and not segment.seq:
            return 0
        return (segment.seq - (self.local_offset or 0)) & MASK

    def spoken(self, segment: Segment) -> str:
        """A segment of the side under test as a line of the script would say it."""
        flags = "".join(letter for bit, letter in _LETTERS if segment.flags & bit) + (
            "." if segment.flags & 0x10 else ""
        )
        seq, length = self.seq(segment), len(segment.payload)
        text = f"{flags or '-'} {seq}:{(seq + length) & MASK}({length})"
        if segment.flags & 0x10:
            text += f" ack {segment.ack}"
        text += f" win {segment.window}"
        if segment.flags & 0x20:
            text += f" urg {segment.urgent}"
        options = ",".join(self.option_words(segment))
        return f"{text} <{options}>" if options else text

    def option_words(self, options: Options) -> list[str]:
        """The options by name, padding left out, in an order of their own."""
        found = []
        if options.mss is not None:
            found.append(f"mss {options.mss}")
        if options.sack_permitted:
            found.append("sackOK")
        if options.ts_value is not None:
            found.append(f"TS val {(options.ts_value - (self.stamp_offset or 0)) & MASK} ecr {options.ts_echo}")
        if options.window_scale is not None:
            found.append(f"wscale {options.window_scale}")
        if options.sack:
            found.append("sack " + " ".join(f"{left}:{right}" for left, right in options.sack))
        if options.fast_open is not None:
            found.append(f"FO {options.fast_open.hex()}".strip())
        found.extend(f"option {kind} {body.hex()}".strip() for kind, body in options.others)
        return found
