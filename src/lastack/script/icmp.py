"""The names of ICMP errors in scripts, and the messages that they stand for."""

from __future__ import annotations

from typing import Final

from lastack.errors import ScriptError
from lastack.wire.icmp import IcmpMessage, Problem, Quote
from lastack.wire.ip import encode_ip
from lastack.wire.packet import Packet

from .syntax import IcmpLine

_UNREACHABLE: Final = {
    None: Problem.NETWORK_UNREACHABLE,
    "net_unreachable": Problem.NETWORK_UNREACHABLE,
    "host_unreachable": Problem.HOST_UNREACHABLE,
    "protocol_unreachable": Problem.PROTOCOL_UNREACHABLE,
    "port_unreachable": Problem.PORT_UNREACHABLE,
    "frag_needed": Problem.TOO_BIG,
    "packet_filtered": Problem.PROHIBITED,
}
_UNREACHABLE6: Final = {
    None: Problem.NETWORK_UNREACHABLE,
    "no_route": Problem.NETWORK_UNREACHABLE,
    "noroute": Problem.NETWORK_UNREACHABLE,
    "adm_prohibited": Problem.PROHIBITED,
    "address_unreachable": Problem.HOST_UNREACHABLE,
    "addr_unreachable": Problem.HOST_UNREACHABLE,
    "port_unreachable": Problem.PORT_UNREACHABLE,
}


def code_of(kind: str, code: str | None, six: bool) -> Problem:
    """What an error is called inside. Raises ScriptError, without a place, for names that are not understood."""
    if kind in ("unreachable", "dest_unreachable"):
        names = _UNREACHABLE6 if six else _UNREACHABLE
        if code in names:
            return names[code]
        known = ", ".join(name for name in names if name)
        raise ScriptError(f"unreachable {code} is not understood: the codes are {known}")
    if kind == "packet_too_big" and six:
        return Problem.TOO_BIG
    if kind == "time_exceeded":
        return Problem.TIME_EXCEEDED
    if kind in ("parameter_problem", "parameterprob"):
        return Problem.PARAMETER
    kinds = "unreachable, time_exceeded, parameter_problem" + (", packet_too_big" if six else "")
    raise ScriptError(f"icmp {kind} is not understood: there are {kinds}")


def message(line: IcmpLine, quote: Quote, source: bytes, length: int) -> Packet:
    """The error that a line sends, from `source`; it quotes a segment with `length` octets of text."""
    six = len(source) == 16
    ports = quote.src_port.to_bytes(2, "big") + quote.dst_port.to_bytes(2, "big") + quote.seq.to_bytes(4, "big")
    head = encode_ip(quote.source, quote.destination, 6, 20 + length, 64, 0, 0, True)
    problem = code_of(line.kind, line.code, six)
    return Packet(source, quote.source, None, IcmpMessage(problem, quote, line.mtu or 0, head + ports))
