"""struct tcp_info by the kernel's names, with units.

The kernel only ever appends fields, so an older kernel's shorter structure is a prefix of this one and a newer
kernel's longer one has it as its prefix. Source: include/uapi/linux/tcp.h and net/ipv4/tcp.c: tcp_get_info().
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Field(NamedTuple):
    """A field of struct tcp_info: its name without `tcpi_`, its struct code, and the unit of its value."""

    name: str
    code: str
    unit: str = ""


FIELDS: Final[tuple[Field, ...]] = (
    Field("state", "B"),
    Field("ca_state", "B"),
    Field("retransmits", "B"),
    Field("probes", "B"),
    Field("backoff", "B"),
    Field("options", "B"),
    Field("wscale", "B"),  # two numbers of four bits each: see decode()
    Field("flags", "B"),  # delivery_rate_app_limited and fastopen_client_fail
    Field("rto", "I", "us"),
    Field("ato", "I", "us"),
    Field("snd_mss", "I", "octets"),
    Field("rcv_mss", "I", "octets"),
    Field("unacked", "I", "segments"),
    Field("sacked", "I", "segments"),
    Field("lost", "I", "segments"),
    Field("retrans", "I", "segments"),
    Field("fackets", "I", "segments"),
    Field("last_data_sent", "I", "ms ago"),
    Field("last_ack_sent", "I", "ms ago"),
    Field("last_data_recv", "I", "ms ago"),
    Field("last_ack_recv", "I", "ms ago"),
    Field("pmtu", "I", "octets"),
    Field("rcv_ssthresh", "I", "octets"),
    Field("rtt", "I", "us"),
    Field("rttvar", "I", "us"),
    Field("snd_ssthresh", "I", "segments"),
    Field("snd_cwnd", "I", "segments"),
    Field("advmss", "I", "octets"),
    Field("reordering", "I", "segments"),
    Field("rcv_rtt", "I", "us"),
    Field("rcv_space", "I", "octets"),
    Field("total_retrans", "I", "segments"),
    Field("pacing_rate", "Q", "octets/s"),
    Field("max_pacing_rate", "Q", "octets/s"),
    Field("bytes_acked", "Q", "octets"),
    Field("bytes_received", "Q", "octets"),
    Field("segs_out", "I", "segments"),
    Field("segs_in", "I", "segments"),
    Field("notsent_bytes", "I", "octets"),
    Field("min_rtt", "I", "us"),
    Field("data_segs_in", "I", "segments"),
    Field("data_segs_out", "I", "segments"),
    Field("delivery_rate", "Q", "octets/s"),
    Field("busy_time", "Q", "us"),
    Field("rwnd_limited", "Q", "us"),
    Field("sndbuf_limited", "Q", "us"),
    Field("delivered", "I", "segments"),
    Field("delivered_ce", "I", "segments"),
    Field("bytes_sent", "Q", "octets"),
    Field("bytes_retrans", "Q", "octets"),
    Field("dsack_dups", "I", "segments"),
    Field("reord_seen", "I", "events"),
    Field("rcv_ooopack", "I", "segments"),
    Field("snd_wnd", "I", "octets"),
    Field("rcv_wnd", "I", "octets"),
    Field("rehash", "I", "events"),
    Field("total_rto", "H", "timeouts"),
    Field("total_rto_recoveries", "H", "events"),
    Field("total_rto_time", "I", "ms"),
    Field("received_ce", "I", "segments"),
    Field("delivered_e1_bytes", "I", "octets"),
    Field("delivered_e0_bytes", "I", "octets"),
    Field("delivered_ce_bytes", "I", "octets"),
    Field("received_e1_bytes", "I", "octets"),
    Field("received_e0_bytes", "I", "octets"),
    Field("received_ce_bytes", "I", "octets"),
    # What follows was rearranged between kernels and cannot be told apart by its length.
)
"""All fields of Linux 6.18, in order; they need no padding."""

OPTIONS: Final = ("timestamps", "sack", "wscale", "ecn", "ecn_seen", "syn_data", "usec_ts", "tfo_child")
"""The bits of `options`, lowest first (TCPI_OPT_*)."""

CONGESTION_STATES: Final = ("open", "disorder", "cwr", "recovery", "loss")
"""The values of `ca_state` (enum tcp_ca_state)."""


def _offsets() -> dict[str, int]:
    offsets, at = {}, 0
    for field in FIELDS:
        offsets[field.name] = at
        at += struct.calcsize(field.code)
    return offsets


OFFSET: Final[Mapping[str, int]] = MappingProxyType(_offsets())
"""Where each field begins, in octets."""


@cache
def layout(octets: int) -> np.dtype[Any]:
    """The fields that `octets` of the structure hold whole, as a NumPy structured dtype of that size."""
    import numpy as np

    fields = [field for field in FIELDS if OFFSET[field.name] + struct.calcsize(field.code) <= octets]
    return np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [field.code for field in fields],
            "offsets": [OFFSET[field.name] for field in fields],
            "itemsize": octets,
        }
    )


_NO_THRESHOLD: Final = 0x7FFF_FFFF
_NO_LIMIT: Final = (1 << 64) - 1


class Measure(NamedTuple):
    """One value of tcp_info and its unit."""

    value: int | str | bool
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.unit}".rstrip()


def decode(data: bytes) -> dict[str, Measure]:
    """Every field that the octets hold whole, by the kernel's name without `tcpi_`, with its unit.

    Bit fields come apart (`snd_wscale`, `rcv_wscale`, `delivery_rate_app_limited`), options and congestion states are
    in words. Left out, being no values: a slow start threshold or pacing limit that was never set, a shortest round
    trip never measured, and `last_ack_sent`, which the kernel does not remember.
    """
    raw = {
        field.name: struct.unpack_from("=" + field.code, data, OFFSET[field.name])[0]
        for field in FIELDS
        if OFFSET[field.name] + struct.calcsize(field.code) <= len(data)
    }
    named = {field.name: Measure(raw[field.name], field.unit) for field in FIELDS if field.name in raw}
    if "options" in raw:
        named["options"] = Measure(" ".join(word for bit, word in enumerate(OPTIONS) if raw["options"] >> bit & 1))
    if raw.get("ca_state", len(CONGESTION_STATES)) < len(CONGESTION_STATES):
        named["ca_state"] = Measure(CONGESTION_STATES[raw["ca_state"]])
    # Bit fields begin at the lowest bit on little-endian machines and at the highest on the others.
    if "flags" in raw:
        _, flags = named.pop("wscale"), named.pop("flags")
        little = struct.pack("=H", 1) == b"\1\0"
        low, high = raw["wscale"] & 15, raw["wscale"] >> 4
        named["snd_wscale"], named["rcv_wscale"] = Measure(low if little else high), Measure(high if little else low)
        named["delivery_rate_app_limited"] = Measure(bool(int(flags.value) & (1 if little else 0x80)))
    for name, nothing in (
        ("snd_ssthresh", _NO_THRESHOLD),
        ("pacing_rate", _NO_LIMIT),
        ("max_pacing_rate", _NO_LIMIT),
        ("min_rtt", 0xFFFF_FFFF),
        ("last_ack_sent", 0),
    ):
        if raw.get(name) == nothing:
            del named[name]
    return named
