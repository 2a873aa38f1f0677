"""struct tcp_info: named, with units, whatever the kernel's version."""

from __future__ import annotations

import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.live import tcpinfo
from lastack.live.tcpinfo import Measure

WHOLE = sum(struct.calcsize(field.code) for field in tcpinfo.FIELDS)


def octets(**fields: int) -> bytes:
    value = bytearray(WHOLE)
    for name, number in fields.items():
        (field,) = (field for field in tcpinfo.FIELDS if field.name == name)
        struct.pack_into("=" + field.code, value, tcpinfo.OFFSET[name], number)
    return bytes(value)


def test_fields_are_where_the_kernel_has_them() -> None:
    # include/uapi/linux/tcp.h, as pahole shows it.
    expected = {
        "rto": 8,
        "last_data_sent": 44,
        "last_ack_recv": 56,
        "pmtu": 60,
        "total_retrans": 100,
        "pacing_rate": 104,
    }
    expected |= {"bytes_acked": 120, "segs_out": 136, "delivery_rate": 160, "bytes_retrans": 208, "total_rto_time": 244}
    assert {name: tcpinfo.OFFSET[name] for name in expected} == expected
    assert all(tcpinfo.OFFSET[field.name] % struct.calcsize(field.code) == 0 for field in tcpinfo.FIELDS)


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO as Linux has it")
def test_a_real_connection_makes_sense() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"x" * 5_000)
            assert len(server.recv(5_000, socket.MSG_WAITALL)) == 5_000
            told = tcpinfo.decode(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1_000))
            mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert told["state"] == Measure(1)
    assert told["snd_mss"] == Measure(mss, "octets")
    assert told["bytes_sent"] == Measure(5_000, "octets")
    assert told["ca_state"] == Measure("open")
    assert "sack" in str(told["options"])
    assert 0 < int(told["rtt"].value) < 1_000_000
    assert str(told["rto"]).endswith(" us")
    assert not {"wscale", "flags", "last_ack_sent", "snd_ssthresh", "max_pacing_rate"} & set(told)


def test_bit_fields_come_apart_and_options_are_in_words() -> None:
    little = sys.byteorder == "little"
    told = tcpinfo.decode(octets(wscale=0x97 if little else 0x79, options=0b1000_0101, flags=1 if little else 0x80))
    assert (told["snd_wscale"], told["rcv_wscale"]) == (Measure(7), Measure(9))
    assert told["options"] == Measure("timestamps wscale tfo_child")
    assert told["delivery_rate_app_limited"] == Measure(True)
    assert told["ca_state"] == Measure("open")
    assert tcpinfo.decode(octets(ca_state=77))["ca_state"] == Measure(77)


def test_what_is_no_value_is_left_out() -> None:
    unset = tcpinfo.decode(octets(snd_ssthresh=0x7FFF_FFFF, max_pacing_rate=(1 << 64) - 1, min_rtt=0xFFFF_FFFF))
    assert not {"snd_ssthresh", "max_pacing_rate", "min_rtt", "last_ack_sent"} & set(unset)
    set_ = tcpinfo.decode(octets(snd_ssthresh=10, max_pacing_rate=11, min_rtt=12))
    assert [int(set_[name].value) for name in ("snd_ssthresh", "max_pacing_rate", "min_rtt")] == [10, 11, 12]


@given(st.binary(max_size=WHOLE + 40))
def test_any_length_tells_the_fields_that_it_holds_whole(data: bytes) -> None:
    told = tcpinfo.decode(data)
    for field in tcpinfo.FIELDS:
        whole = tcpinfo.OFFSET[field.name] + struct.calcsize(field.code) <= len(data)
        if not whole and field.name not in ("wscale", "flags"):
            assert field.name not in told
    assert tcpinfo.layout(len(data)).itemsize == len(data)
