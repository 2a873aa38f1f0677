"""What a simulation is made of: hosts with a stack, routers without, and the way from one to the other."""

from __future__ import annotations

from typing import final

from lastack.native import i64
from lastack.stack.stack import Stack
from lastack.tcp.timers import NEVER
from lastack.wire.icmp import IcmpMessage, Problem, Quote
from lastack.wire.packet import Packet

from .link import Channel

_QUOTED = 28 + 8
"""Octets of the packet at fault that an ICMP error quotes, at least (RFC 792); more changes nothing for TCP."""


@final
class Port:
    """One node's end of a link: what it sends into, and who is at the other end."""

    __slots__ = ("channel", "peer")

    def __init__(self, channel: Channel, peer: Node) -> None:
        self.channel = channel
        self.peer = peer


@final
class Node:
    """A host, or (without a stack) a router. `routes` maps a destination to the port that leads there."""

    __slots__ = ("addresses", "deadline", "exact", "name", "ports", "routes", "stack")

    def __init__(self, name: str, addresses: list[bytes], stack: Stack | None) -> None:
        self.name = name
        self.addresses = addresses
        self.stack = stack
        self.ports: list[Port] = []
        self.routes: dict[bytes, Port] = {}
        self.deadline: i64 = NEVER
        self.exact = True
        """Whether `deadline` is when a timer goes off, or only no later than that."""

    def route(self, destination: bytes) -> Port | None:
        """The port towards an address: the known one, or the only one there is; None for an address of its own."""
        port = self.routes.get(destination)
        if port is not None:
            return port
        return self.ports[0] if len(self.ports) == 1 and destination not in self.addresses else None


def complaint(packet: Packet, problem: Problem, source: bytes, mtu: int = 0) -> Packet | None:
    """The ICMP error that a router, or a host's own IP, sends back; None for a packet that is an error itself."""
    segment = packet.segment
    if segment is None or len(source) != len(packet.source):
        return None
    quote = Quote(packet.source, packet.destination, segment.src_port, segment.dst_port, segment.seq)
    message = IcmpMessage(problem, quote, mtu, packet.encode()[: _QUOTED if len(source) == 4 else 48])
    return Packet(source, packet.source, None, message)


def find_routes(nodes: list[Node]) -> None:
    """Give every node the first step of a shortest way to every address."""
    for start in nodes:
        start.routes = {}
        seen = {id(start)}
        ring: list[tuple[Node, Port]] = []
        for port in start.ports:
            if id(port.peer) not in seen:
                seen.add(id(port.peer))
                ring.append((port.peer, port))
        while ring:
            following: list[tuple[Node, Port]] = []
            for node, first in ring:
                for address in node.addresses:
                    if address not in start.addresses:
                        start.routes.setdefault(address, first)
                for port in node.ports:
                    # Only routers pass packets on.
                    if node.stack is None and id(port.peer) not in seen:
                        seen.add(id(port.peer))
                        following.append((port.peer, first))
            ring = following
