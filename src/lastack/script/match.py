"""Whether a packet that came is the one that the script expects: field by field, each difference in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lastack.model.time import Nanos
from lastack.wire.flags import ACK, URG, spelled
from lastack.wire.icmp import IcmpMessage
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment

from .flow import MASK, Flow
from .icmp import code_of
from .syntax import IcmpLine, IpInfo, Option, SegmentLine

_ECN: Final = {"noecn": (0,), "ect1": (1,), "ect0": (2,), "ce": (3,), "ect01": (1, 2)}
_PADDING: Final = ("nop", "eol")


def segment_differences(
    line: SegmentLine, packet: Packet, segment: Segment, flow: Flow, tolerance: Nanos, tick: Nanos
) -> Iterator[str]:
    """What is not as the line has it; nothing where all is.

    Timestamps, of `tick` ns each, may be `tolerance` off; with a tick of 0 they are not looked at.
    """
    if segment.flags != line.flags:
        yield f"flags: {spelled(line.flags)} expected, {spelled(segment.flags)} came"
    if flow.seq(segment) != line.seq:
        yield f"sequence number: {line.seq} expected, {flow.seq(segment)} came"
    if len(segment.payload) != line.length:
        yield f"length: {line.length} expected, {len(segment.payload)} came"
    if line.flags & ACK and (segment.ack - (line.ack or 0)) & MASK:
        yield f"ACK number: {line.ack or 0} expected, {segment.ack} came"
    if line.window is not None and segment.window != line.window:
        yield f"window: {line.window} expected, {segment.window} came"
    if line.flags & URG and segment.urgent != line.urgent:
        yield f"urgent pointer: {line.urgent} expected, {segment.urgent} came"
    if line.options is not None:
        yield from _options(line.options, segment, flow, tolerance, tick)
    yield from _ip(line.ip, packet)


def icmp_differences(line: IcmpLine, message: IcmpMessage, packet: Packet) -> Iterator[str]:
    """What is not as the line has it."""
    expected = code_of(line.kind, line.code, len(packet.source) == 16)
    if message.problem is not expected:
        yield f"message: {expected.name} expected, {message.problem.name} came"
    if line.mtu is not None and message.mtu != line.mtu:
        yield f"MTU: {line.mtu} expected, {message.mtu} came"
    yield from _ip(line.ip, packet)


def _ip(info: IpInfo, packet: Packet) -> Iterator[str]:
    if info.ecn is not None and packet.traffic_class & 3 not in _ECN[info.ecn]:
        came = next(name for name, bits in _ECN.items() if packet.traffic_class & 3 in bits)
        yield f"ECN: {info.ecn} expected, {came} came"
    if info.tos is not None and packet.traffic_class != info.tos:
        yield f"type of service: {info.tos:#x} expected, {packet.traffic_class:#x} came"
    if info.ttl is not None and packet.ttl != info.ttl:
        yield f"time to live: {info.ttl} expected, {packet.ttl} came"


def _options(
    expected: tuple[Option, ...], segment: Segment, flow: Flow, tolerance: Nanos, tick: Nanos
) -> Iterator[str]:
    """Options one by one; their order and padding are the sender's own affair."""
    came = {word.split()[0]: word for word in flow.option_words(segment)}
    for option in expected:
        if option.kind in _PADDING:
            continue
        word = came.pop(option.kind, None)
        if option.kind == "TS" and word is not None:
            if tick:
                yield from _stamps(option, segment, flow, tolerance, tick)
        elif word is None or word != _said(option):
            yield f"option {option.kind}: {_said(option)} expected, {word or 'none'} came"
    for word in came.values():
        yield f"option {word.split()[0]}: none expected, {word} came"


def _stamps(option: Option, segment: Segment, flow: Flow, tolerance: Nanos, tick: Nanos) -> Iterator[str]:
    """TSval within the tolerance, TSecr exactly."""
    value = ((segment.ts_value or 0) - (flow.stamp_offset or 0)) & MASK
    late = (value - option.numbers[0]) & MASK
    off = min(late, MASK + 1 - late) * tick
    if off > tolerance + tick:
        yield f"TS val: {option.numbers[0]} expected, {value} came"
    if segment.ts_echo != option.numbers[1]:
        yield f"TS ecr: {option.numbers[1]} expected, {segment.ts_echo} came"


def _said(option: Option) -> str:
    if option.kind == "sack":
        pairs = zip(option.numbers[::2], option.numbers[1::2], strict=True)
        return "sack " + " ".join(f"{left}:{right}" for left, right in pairs)
    words = [option.kind, *map(str, option.numbers)]
    return " ".join([*words, option.octets.hex()] if option.octets else words)
