"""dpkt on a capture: flags counted by connection. Run as `python capture_dpkt.py FILE` by who has dpkt."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import dpkt


def main() -> None:
    """Walk the packets and count SYN, FIN and RST of each four-tuple."""
    flows: dict[tuple[bytes, bytes, int, int], Counter[int]] = {}
    with Path(sys.argv[1]).open("rb") as file:
        for _, frame in dpkt.pcap.Reader(file):
            packet = dpkt.ethernet.Ethernet(frame).data
            segment = packet.data
            if isinstance(segment, dpkt.tcp.TCP):
                key = (packet.src, packet.dst, segment.sport, segment.dport)
                flows.setdefault(key, Counter())[segment.flags & 7] += 1
    print(len(flows))


if __name__ == "__main__":
    main()
