"""What is counted, under the names that nstat shows (net/ipv4/proc.c)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import final


@final
@dataclass
class Counters:
    """One host's counters, all from zero."""

    TcpActiveOpens: int = 0
    TcpPassiveOpens: int = 0
    TcpAttemptFails: int = 0
    TcpEstabResets: int = 0
    TcpInSegs: int = 0
    TcpOutSegs: int = 0
    TcpRetransSegs: int = 0
    TcpOutRsts: int = 0
    SyncookiesSent: int = 0
    SyncookiesRecv: int = 0
    SyncookiesFailed: int = 0
    EmbryonicRsts: int = 0
    OutOfWindowIcmps: int = 0
    TW: int = 0
    TWRecycled: int = 0
    TWKilled: int = 0
    PAWSActive: int = 0
    PAWSEstab: int = 0
    PAWSOldAck: int = 0
    TSEcrRejected: int = 0
    PAWSTimewait: int = 0
    PAWSPassive: int = 0
    DelayedACKs: int = 0
    ListenOverflows: int = 0
    ListenDrops: int = 0
    TCPTimeouts: int = 0
    TCPLossProbes: int = 0
    TCPLossProbeRecovery: int = 0
    TCPFastRetrans: int = 0
    TCPSlowStartRetrans: int = 0
    TCPRenoRecovery: int = 0
    TCPSackRecovery: int = 0
    TCPSynRetrans: int = 0
    TCPSACKReorder: int = 0
    TCPRenoReorder: int = 0
    TCPTSReorder: int = 0
    TCPFullUndo: int = 0
    TCPPartialUndo: int = 0
    TCPDSACKUndo: int = 0
    TCPLossUndo: int = 0
    TCPSpuriousRTOs: int = 0
    TCPOFOQueue: int = 0
    TCPOFODrop: int = 0
    TCPDSACKOldSent: int = 0
    TCPDSACKOfoSent: int = 0
    TCPDSACKRecv: int = 0
    TCPDSACKOfoRecv: int = 0
    TCPKeepAlive: int = 0
    TCPZeroWindowDrop: int = 0
    TCPWinProbe: int = 0
    TCPAbortOnData: int = 0
    TCPAbortOnClose: int = 0
    TCPAbortOnMemory: int = 0
    TCPAbortOnTimeout: int = 0
    TCPAbortOnLinger: int = 0
    TCPTimeWaitOverflow: int = 0
    TCPReqQFullDoCookies: int = 0
    TCPReqQFullDrop: int = 0
    TCPChallengeACK: int = 0
    TCPSYNChallenge: int = 0
    TCPACKSkippedPAWS: int = 0
    TCPACKSkippedSeq: int = 0
    TCPACKSkippedFinWait2: int = 0
    TCPACKSkippedTimeWait: int = 0
    TCPACKSkippedChallenge: int = 0
    TCPDeferAcceptDrop: int = 0

    def as_dict(self, *, zeros: bool = False) -> dict[str, int]:
        """The counters by name; those at zero only with `zeros`, as nstat -z."""
        found = {field.name: int(getattr(self, field.name)) for field in fields(self)}
        return found if zeros else {name: value for name, value in found.items() if value}
