"""What tshark says of a capture, in the words of the reader, so that the two can be compared packet by packet."""

from __future__ import annotations

import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from lastack.capture.packets import FLAGS, ICMP, WIDTH, Packet, packet_at
from lastack.capture.sources import Captures, open_captures

FIELDS: Final = (
    "frame.number",
    "frame.time_epoch",
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.flags",
    "tcp.window_size_value",
    "tcp.len",
    "tcp.options.timestamp.tsval",
    "tcp.options.timestamp.tsecr",
    "tcp.options.mss_val",
    "tcp.options.wscale.shift",
    "tcp.options.sack.count",
)
PREFERENCES: Final = (
    "tcp.desegment_tcp_streams:FALSE",
    "tcp.analyze_sequence_numbers:FALSE",
    "tcp.track_bytes_in_flight:FALSE",
)


class Seen(NamedTuple):
    """A segment as both see it. None is absent."""

    number: int
    time: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    seq: int
    ack: int
    flags: int
    window: int | None
    length: int | None
    ts_value: int | None
    ts_echo: int | None
    mss: int | None
    wscale: int | None
    sack_blocks: int


def _last(text: str, base: int = 10) -> int | None:
    """The innermost of a field's values."""
    return int(text.rsplit(",", maxsplit=1)[-1], base) if text else None


def by_tshark(path: Path) -> list[Seen]:
    """The TCP segments of a capture by tshark; an ICMP error that quotes one is none."""
    command = ["tshark", "-n", "-r", str(path), "-Y", "tcp && !icmp && !icmpv6", "-T", "fields"]
    for preference in PREFERENCES:
        command += ["-o", preference]
    for name in FIELDS:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return [_seen(line.split("\t")) for line in done.stdout.splitlines()]


def _seen(values: list[str]) -> Seen:
    row = dict(zip(FIELDS, values, strict=True))
    layers = row["frame.protocols"].split(":")
    family = next(name for name in reversed(layers) if name in ("ip", "ipv6"))
    return Seen(
        int(row["frame.number"]),
        int(Decimal(row["frame.time_epoch"] or "0") * 1_000_000_000),
        row[f"{family}.src"].split(",")[-1],
        _last(row["tcp.srcport"]) or 0,
        row[f"{family}.dst"].split(",")[-1],
        _last(row["tcp.dstport"]) or 0,
        _last(row["tcp.seq_raw"]) or 0,
        _last(row["tcp.ack_raw"]) or 0,
        (_last(row["tcp.flags"], 16) or 0) & 0x1FF,
        _last(row["tcp.window_size_value"]),
        _last(row["tcp.len"]),
        _last(row["tcp.options.timestamp.tsval"]),
        _last(row["tcp.options.timestamp.tsecr"]),
        _last(row["tcp.options.mss_val"]),
        _last(row["tcp.options.wscale.shift"]),
        _last(row["tcp.options.sack.count"]) or 0,
    )


def by_lastack(captures: Captures) -> list[Seen]:
    """The TCP segments of captures by the reader."""
    rows: list[Packet] = []
    for packets, count in captures.batches():
        rows += [packet_at(packets, i) for i in range(count) if not packets[i * WIDTH + FLAGS] & ICMP]
    return [
        Seen(
            row.number,
            row.time,
            row.source,
            row.source_port,
            row.destination,
            row.destination_port,
            row.seq,
            row.ack,
            row.flags,
            None if row.window < 0 else row.window,
            row.length,
            row.ts_value,
            row.ts_echo,
            row.mss,
            row.wscale,
            row.sack_blocks,
        )
        for row in rows
    ]


def differences(path: Path, *, fast: bool = False) -> list[str]:
    """Where the two do not say the same of a capture, in words."""
    ours = {one.number: one for one in by_lastack(open_captures([path], fast=fast))}
    theirs = {one.number: one for one in by_tshark(path)}
    found = [f"frame {number}: only tshark" for number in sorted(theirs.keys() - ours.keys())]
    found += [f"frame {number}: only lastack" for number in sorted(ours.keys() - theirs.keys())]
    for number in sorted(ours.keys() & theirs.keys()):
        one, other = ours[number]._asdict(), theirs[number]._asdict()
        found += [
            f"frame {number}: {name} {one[name]} tshark {other[name]}" for name in one if one[name] != other[name]
        ]
    return found
