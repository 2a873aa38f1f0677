"""The lines of a script that are packets: TCP segments with flags, numbers and options, and ICMP errors."""

from __future__ import annotations

from typing import Final

from lastack.wire.flags import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG

from .reader import Reader
from .syntax import IcmpLine, IpInfo, Option, SegmentLine
from .tokens import ELLIPSIS, FLOAT, INTEGER, WORD, Token

_FLAGS: Final = {"F": FIN, "S": SYN, "R": RST, "P": PSH, ".": ACK, "U": URG, "E": ECE, "W": CWR, "A": AE}
_ECN: Final = ("noecn", "ect0", "ect1", "ect01", "ce")
_MAPPED: Final = 1 << 16
_ENCAPSULATIONS: Final = ("ipv4", "ipv6", "gre", "GREv0", "mpls")


def packet(reader: Reader) -> SegmentLine | IcmpLine:
    """A packet line from its `<` or `>` on. Raises ScriptError."""
    outbound = reader.take().text == ">"
    if reader.next.text in _ENCAPSULATIONS:
        raise reader.wrong("a TCP segment or an ICMP error (packets in packets are not understood)")
    first = reader.next
    ip = _ip(reader)
    if ip.ecn == "ect01" and not outbound:
        raise reader.at(first, "ect01 says what may come; a packet to be sent has to be ect0 or ect1")
    if reader.next.text == "udp":
        raise reader.wrong("a TCP segment or an ICMP error (UDP is not understood)")
    if reader.accept("icmp"):
        return _icmp(reader, outbound, ip)
    return _segment(reader, outbound, ip)


def _ip(reader: Reader) -> IpInfo:
    """`[ect0]`, `(ttl 3)`, `(tos 0x2, flowlabel 0x12345)`."""
    opening = reader.accept("[", "(")
    if opening is None:
        return IpInfo()
    ecn, tos, ttl, flow_label = None, None, None, None
    while True:
        word = reader.take()
        if word.text in _ECN:
            ecn = word.text
        elif word.text == "tos":
            tos = reader.number("a type of service", 0xFF)
        elif word.text == "ttl":
            ttl = reader.number("a time to live", 0xFF)
        elif word.text == "flowlabel":
            flow_label = reader.number("a flow label", 0xFFFFF)
        else:
            raise reader.at(word, f"expected {', '.join(_ECN)}, tos, ttl or flowlabel, found {word.text!r}")
        if not reader.accept(","):
            break
    reader.expect("]" if opening.text == "[" else ")", "after what is said of the IP header")
    return IpInfo(ecn, tos, ttl, flow_label)


def _segment(reader: Reader, outbound: bool, ip: IpInfo) -> SegmentLine:
    ports = None
    if reader.next.kind == INTEGER and reader.after().text == ">":
        source = reader.number("a port", 0xFFFF)
        reader.take()
        ports = (source, reader.number("a port", 0xFFFF))
    flags = _flags(reader)
    seq, length = _sequence(reader)
    ack = reader.number("an ACK number") if reader.accept("ack") else None
    window = reader.number("a window", 0xFFFF) if reader.accept("win") else None
    urgent = reader.number("an urgent pointer", 0xFFFF) if reader.accept("urg") else 0
    options = _options(reader, outbound)
    if reader.next.text == "{":
        raise reader.wrong("the end of the packet (mutations are not understood)")
    return SegmentLine(outbound, flags, seq, length, ack, window, urgent, options, ip, ports)


def _flags(reader: Reader) -> int:
    """`S`, `P.`, `FP.`, `-` for none."""
    token = reader.next
    if reader.accept("-"):
        return 0
    text = reader.take().text if token.kind == WORD else ""
    if reader.next.kind == FLOAT and reader.next.text.startswith("."):
        raise reader.wrong("flags (the counter of accurate ECN is not understood)")
    # A dot belongs to the flags only where it touches them: `S.`, not `S .`.
    if reader.next.text == ".":
        text += reader.take().text
    bits = 0
    for letter in text:
        if letter not in _FLAGS:
            raise reader.at(token, f"{letter!r} is no TCP flag: they are {', '.join(_FLAGS)}, or - for none")
        bits |= _FLAGS[letter]
    if not text:
        raise reader.wrong("TCP flags (S, S., ., P., F., R, ..., or - for none)")
    return bits


def _sequence(reader: Reader) -> tuple[int, int]:
    """`1:1001(1000)`."""
    first = reader.next
    start = reader.number("a sequence number")
    reader.expect(":", "after the first sequence number")
    end = reader.number("a sequence number")
    reader.expect("(", "before the length")
    length = reader.number("a length", _MAPPED)
    reader.expect(")", "after the length")
    if (start + length) & 0xFFFF_FFFF != end:
        raise reader.at(first, f"{start}:{end} is {(end - start) & 0xFFFF_FFFF} octets, not {length}")
    return start, length


def _options(reader: Reader, outbound: bool) -> tuple[Option, ...] | None:
    """`<mss 1460,sackOK,nop,wscale 7>`; `<...>` for any; nothing for none."""
    # A `<` on a new line, or before flags, is the next event's: every event begins with a time, so it is not.
    if not reader.accept("<"):
        return ()
    if reader.next.text == ELLIPSIS:
        if not outbound:
            raise reader.wrong("options: a packet to be sent needs all of them, <...> is for those that come")
        reader.take()
        reader.expect(">", "after the options")
        return None
    found: list[Option] = []
    while not reader.accept(">"):
        if found:
            reader.expect(",", "or '>' in the options")
        found.append(_option(reader))
    return tuple(found)


def _option(reader: Reader) -> Option:
    token = reader.take()
    kind = token.text
    if kind in ("nop", "eol", "sackOK"):
        return Option(kind)
    if kind == "mss":
        return Option(kind, (reader.number("an MSS", 0xFFFF),))
    if kind == "wscale":
        return Option(kind, (reader.number("a window scale", 0xFF),))
    if kind == "TS":
        reader.expect("val", "in TS val N ecr N")
        value = reader.number("a timestamp")
        reader.expect("ecr", "in TS val N ecr N")
        return Option(kind, (value, reader.number("a timestamp")))
    if kind == "sack":
        return Option(kind, _blocks(reader))
    if kind in ("FO", "FOEXP", "md5"):
        return Option(kind, (), _hexadecimal(reader, token))
    known = "nop, eol, mss, wscale, sackOK, sack, TS, FO, FOEXP, md5"
    raise reader.at(token, f"{kind!r} is no TCP option of this language: they are {known}")


def _blocks(reader: Reader) -> tuple[int, ...]:
    """`1:2 3:4`: left and right edges."""
    edges: list[int] = []
    while reader.next.kind == INTEGER:
        edges.append(reader.number("the left edge of a SACK block"))
        reader.expect(":", "in a SACK block")
        edges.append(reader.number("the right edge of a SACK block"))
    if not edges:
        raise reader.wrong("a SACK block, left:right")
    return tuple(edges)


def _hexadecimal(reader: Reader, option: Token) -> bytes:
    """Octets in hexadecimal digits; there may be none."""
    if reader.next.kind not in (WORD, INTEGER):
        return b""
    token = reader.take()
    try:
        return bytes.fromhex(token.text)
    except ValueError:
        raise reader.at(token, f"{option.text} needs pairs of hexadecimal digits, not {token.text!r}") from None


def _icmp(reader: Reader, outbound: bool, ip: IpInfo) -> IcmpLine:
    kind = reader.expect_kind(WORD, "the type of the ICMP message").text
    code = reader.take().text if reader.next.kind == WORD and reader.next.text not in ("mtu", "id") else None
    mtu = reader.number("an MTU") if reader.accept("mtu") else None
    quoted = None
    if reader.accept("["):
        quoted = _sequence(reader)
        reader.expect("]", "after the quoted segment")
    return IcmpLine(outbound, kind, code, mtu, quoted, ip)
