"""The header of a pcap file (draft-ietf-opsawg-pcap), in all its dialects."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

SIZE: Final = 24
"""Octets of the header."""

# Magic number -> nanoseconds a unit of the fraction, octets of a record's header.
_DIALECTS: Final = {
    0xA1B2C3D4: (1_000, 16),
    0xA1B23C4D: (1, 16),
    0xA1B2CD34: (1_000, 24),  # Alexey Kuznetzov's patches: interface, protocol and direction behind the lengths
}


class PcapHeader(NamedTuple):
    """What a pcap file says of all its records."""

    big: bool
    """Its numbers are in network order."""
    multiply: int
    """Nanoseconds a unit of the fraction of a second."""
    record: int
    """Octets of a record's header."""
    old: bool
    """Before version 2.4 programs disagreed on the order of the two lengths of a record."""
    snap_length: int
    link: int


def read_header(octets: bytes) -> PcapHeader | None:
    """The header at the beginning of a file, or None where these are not the first octets of a pcap file."""
    if len(octets) < SIZE:
        return None
    for big in (False, True):
        magic, major, minor, _, snap_length, network = Struct(">IHHQII" if big else "<IHHQII").unpack_from(octets)
        if magic in _DIALECTS:
            multiply, record = _DIALECTS[magic]
            # The upper half of the last field is about frame check sequences.
            return PcapHeader(big, multiply, record, (major, minor) < (2, 4), snap_length, network & 0xFFFF)
    return None
