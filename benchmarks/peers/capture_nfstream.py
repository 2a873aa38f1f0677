"""nfstream on a capture: its flows. Run as `python capture_nfstream.py FILE` by an interpreter that has it."""

from __future__ import annotations

import sys

from nfstream import NFStreamer


def main() -> None:
    """Count the flows, without application detection."""
    print(sum(1 for _ in NFStreamer(source=sys.argv[1], n_dissections=0, statistical_analysis=True)))


if __name__ == "__main__":
    main()
