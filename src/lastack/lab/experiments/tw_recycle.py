"""What tcp_tw_recycle did, while there was one."""

from __future__ import annotations

from lastack.lab.bench import Bench
from lastack.lab.experiment import Experiment, Knob
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed, opened, segments
from lastack.model.lab import Fact, Outcome, Verdict, Words
from lastack.model.time import SECOND, Nanos
from lastack.wire.flags import SYN
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment

_TRIES = 3
_OTHER_PORT = 50_000
_BEHIND = 1_000_000
"""By so many ms the clock of the second machine's timestamps is behind that of the first."""


def run(lab: Lab) -> Outcome:
    """Serve a machine, and then another behind the same NAT, whose clock is behind."""
    nat = lab.flag("nat")
    with lab.scene(f"two machines {'behind one NAT' if nat else 'with an address each'}", tcp_rfc1337=STEADY) as bench:
        exists = bench.server.setting("tcp_tw_recycle") is not None
        if exists:
            bench.server.set(tcp_tw_recycle=1)
        listener = bench.server.listen(80)
        here, there = opened(bench, listener, bench.client, (bench.server.address, 80))
        bench.exchange(here, there)
        closed(bench, there, here)
        lasted = bench.ended(there, 2 * SECOND)
        answered = _second_machine(bench, bench.client.addresses[0 if nat else 1], 2 * SECOND)
    facts = (
        Fact("tcp_tw_recycle exists", exists, near=None),
        Fact("TIME_WAIT is over after 2 s", lasted is not None, near=None),
        Fact(f"of the second machine's {_TRIES} SYNs are answered", answered, near=None),
    )
    good = exists and lasted is not None and answered == _TRIES
    return Outcome(Verdict.HOLDS if good else Verdict.FALSE, facts)


def _second_machine(bench: Bench, address: str, pause: Nanos) -> int:
    """How many of the SYNs of another machine are answered, which come to the server from `address`."""
    first = segments(bench, bench.client)[-1]
    for _ in range(_TRIES):
        syn = Segment(_OTHER_PORT, 80, 1, 0, SYN, 64_240)
        syn.mss = 1460
        if first.ts_value is not None:
            syn.ts_value = max(first.ts_value - _BEHIND, 1)
        packet = Packet(address_bytes(address), address_bytes(bench.server.address), syn)
        bench.inject(packet, bench.client, "of the second machine")
        bench.wait(pause)
    return sum(answer.dst_port == _OTHER_PORT and answer.flags & SYN != 0 for answer in segments(bench, bench.server))


EXPERIMENT = Experiment(
    name="tw-recycle",
    chapter="time-wait",
    claim=Words(
        "Set tcp_tw_recycle = 1, and TIME_WAIT is recycled quickly.",
        "设置 tcp_tw_recycle = 1，可以快速回收 TIME_WAIT。",
    ),
    source=Words("nearly every older list of sysctls", "几乎每一份较老的内核参数清单都有"),
    lesson=Words(
        "The setting has been gone since Linux 4.12 (2017): sysctl says there is no such file. On an older kernel, which the "
        "engine plays, TIME_WAIT did end in under a second; but the server also refused, silently and for a minute, every SYN "
        "with a timestamp older than the last one from that address. Behind a NAT many machines share an address and no clock: "
        "one gets in, the others time out. Delete the line wherever you find it.",
        "这个参数自 Linux 4.12（2017 年）起已经不存在了，sysctl 会提示没有这个文件。在更老的内核上（由引擎模拟），TIME_WAIT 确实不到一秒就结束；"
        "但服务器同时会在一分钟内悄悄丢弃来自同一地址、时间戳比上一个更旧的所有 SYN。NAT 后面的许多机器共用一个地址，时钟却各不相同："
        "一台能连上，其余的都超时。见到这行配置，请直接删掉。",
    ),
    run=run,
    expected=Verdict.FALSE,
    knobs=(Knob("nat", True, "the two machines share an address"),),
    counter={"nat": False},
    flips_to=Verdict.HOLDS,
    picture=(0, 1),
    flips_on_engine_alone="the setting has been gone since Linux 4.12",
    reason="The engine plays a kernel before 4.12; a newer one has no tcp_tw_recycle.",
    kernel_s=9.0,
)
