"""A firewall that follows connections, in the calling thread's network: one nftables rule that asks for `ct state`.

What `nft add rule ip t c ct state new` does, by nfnetlink (include/uapi/linux/netfilter/nf_tables.h): the rule alone
makes the kernel fill its connection table.
"""

from __future__ import annotations

import os
import socket
import struct

_BATCH_BEGIN, _BATCH_END = 16, 17
_NETFILTER = 12
_NFTABLES = 10
_NEWTABLE, _NEWCHAIN, _NEWRULE = (_NFTABLES << 8 | kind for kind in (0, 3, 6))
_REQUEST, _ACK, _CREATE, _APPEND = 1, 4, 0x400, 0x800
_IPV4, _LOCAL_OUT = 2, 3
_ERROR = 2


def follow_connections() -> None:
    """Add the rule. Raises OSError where this kernel has no nftables."""
    name = b"lastack\0"
    hook = _attribute(1, struct.pack(">I", _LOCAL_OUT)) + _attribute(2, struct.pack(">I", 0))
    ct_state = _attribute(1, struct.pack(">I", 1)) + _attribute(2, struct.pack(">I", 0))
    expression = _nested(1, _attribute(1, b"ct\0") + _nested(2, ct_state))
    batch = (
        _message(_BATCH_BEGIN, 0, 0, _NFTABLES, b""),
        _message(_NEWTABLE, _CREATE | _ACK, 1, 0, _attribute(1, name)),
        _message(
            _NEWCHAIN,
            _CREATE | _ACK,
            2,
            0,
            _attribute(1, name) + _attribute(3, name) + _nested(4, hook) + _attribute(7, b"filter\0"),
        ),
        _message(
            _NEWRULE,
            _CREATE | _APPEND | _ACK,
            3,
            0,
            _attribute(1, name) + _attribute(2, name) + _nested(4, expression),
        ),
        _message(_BATCH_END, 0, 4, _NFTABLES, b""),
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as control:
        control.settimeout(5)
        control.send(b"".join(batch))
        for _ in range(3):
            answer = control.recv(65_536)
            kind, error = struct.unpack_from("=4xH10xi", answer)
            if kind == _ERROR and error:
                raise OSError(-error, os.strerror(-error))


def _message(kind: int, flags: int, sequence: int, resource: int, attributes: bytes) -> bytes:
    family = 0 if kind in (_BATCH_BEGIN, _BATCH_END) else _IPV4
    head = struct.pack("=IHHII", 20 + len(attributes), kind, _REQUEST | flags, sequence, 0)
    return head + struct.pack(">BBH", family, 0, resource) + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | 0x8000, value)
