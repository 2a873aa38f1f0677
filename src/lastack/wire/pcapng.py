"""pcapng blocks (draft-ietf-opsawg-pcapng): written little-endian with nanoseconds, read in either byte order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import BinaryIO, Final, NamedTuple

from lastack.errors import DecodeError

SECTION: Final = 0x0A0D0D0A
INTERFACE: Final = 1
ENHANCED_PACKET: Final = 6
LINKTYPE_RAW: Final = 101
"""IPv4 or IPv6 from the first octet on."""

_MAGIC: Final = 0x1A2B3C4D
_COMMENT: Final = 1
_IF_NAME: Final = 2
_IF_TSRESOL: Final = 9
_APPLICATION: Final = 4


class Block(NamedTuple):
    """One block: its type and its body, without type and lengths. `big` says its section's byte order."""

    kind: int
    body: bytes
    big: bool


def encode_block(kind: int, body: bytes) -> bytes:
    """A block around a body, padded to 32 bits."""
    padded = body + bytes(-len(body) % 4)
    length = (12 + len(padded)).to_bytes(4, "little")
    return kind.to_bytes(4, "little") + length + padded + length


def encode_option(code: int, value: bytes) -> bytes:
    """One option of a block."""
    return code.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value + bytes(-len(value) % 4)


def section_block(application: str) -> bytes:
    """A section header of unknown length, naming who wrote it."""
    fixed = Struct("<IHHq").pack(_MAGIC, 1, 0, -1)
    return encode_block(SECTION, fixed + encode_option(_APPLICATION, application.encode()) + bytes(4))


def interface_block(name: str, linktype: int = LINKTYPE_RAW, snaplen: int = 0) -> bytes:
    """An interface whose timestamps count nanoseconds."""
    options = encode_option(_IF_NAME, name.encode()) + encode_option(_IF_TSRESOL, b"\x09") + bytes(4)
    return encode_block(INTERFACE, Struct("<HHI").pack(linktype, 0, snaplen) + options)


def packet_block(interface: int, at_ns: int, data: bytes, comment: str = "", length: int = 0) -> bytes:
    """A packet seen on an interface (by ordinal, from 0) at an instant in nanoseconds, and a comment.

    `length` is what it had on the wire where `data` is not all of it.
    """
    fixed = Struct("<IIIII").pack(interface, at_ns >> 32, at_ns & 0xFFFF_FFFF, len(data), length or len(data))
    options = encode_option(_COMMENT, comment.encode()) + bytes(4) if comment else b""
    return encode_block(ENHANCED_PACKET, fixed + data + bytes(-len(data) % 4) + options)


class PcapngWriter:
    """Writes a section with its interfaces, then packets, to a binary file that the caller opens and closes."""

    def __init__(self, file: BinaryIO, interfaces: Sequence[str], application: str = "lastack") -> None:
        self._file = file
        file.write(section_block(application) + b"".join(interface_block(name) for name in interfaces))

    def write(self, interface: int, at_ns: int, data: bytes, comment: str = "") -> None:
        """Add one packet."""
        self._file.write(packet_block(interface, at_ns, data, comment))


def decode_blocks(raw: bytes) -> Iterator[Block]:
    """The blocks of a file. Raises DecodeError where a length lies or the file is cut short."""
    at, order, big = 0, Struct("<II"), False
    while at < len(raw):
        if len(raw) - at < 12:
            raise DecodeError("a block needs 12 octets", at=at)
        kind, length = order.unpack_from(raw, at)
        if kind == SECTION:
            magic = raw[at + 8 : at + 12]
            if magic not in (_MAGIC.to_bytes(4, "little"), _MAGIC.to_bytes(4, "big")):
                raise DecodeError("section header without its magic number", at=at + 8)
            big = magic == _MAGIC.to_bytes(4, "big")
            order = Struct(">II" if big else "<II")
            kind, length = order.unpack_from(raw, at)
        elif at == 0:
            raise DecodeError("no section header", at=0)
        if length < 12 or length % 4 or at + length > len(raw):
            raise DecodeError(f"block length {length}", at=at + 4)
        if raw[at + 4 : at + 8] != raw[at + length - 4 : at + length]:
            raise DecodeError("the two lengths of a block differ", at=at + length - 4)
        yield Block(kind, raw[at + 8 : at + length - 4], big)
        at += length


class Captured(NamedTuple):
    """One packet of a capture: interface ordinal, instant, octets, and the octets of its options."""

    interface: int
    at_ns: int
    data: bytes
    options: bytes


def decode_packet_block(block: Block) -> Captured:
    """The packet in an ENHANCED_PACKET block. Raises DecodeError where its length lies."""
    fixed = Struct(">IIIII" if block.big else "<IIIII")
    if block.kind != ENHANCED_PACKET or len(block.body) < fixed.size:
        raise DecodeError("not a whole enhanced packet block", at=0)
    interface, high, low, captured, _ = fixed.unpack_from(block.body)
    end = fixed.size + captured
    if end > len(block.body):
        raise DecodeError(f"captured length {captured} runs past the block", at=12)
    return Captured(interface, high << 32 | low, block.body[fixed.size : end], block.body[end + -captured % 4 :])
