"""The options of a socket by the names that the engine has for them too, each with its level and number."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

_TCP: Final = socket.IPPROTO_TCP
SOCKET_OPTIONS: Final[Mapping[str, tuple[int, int]]] = {
    "so_keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "so_linger": (socket.SOL_SOCKET, socket.SO_LINGER),
    "so_oobinline": (socket.SOL_SOCKET, socket.SO_OOBINLINE),
    "so_rcvbuf": (socket.SOL_SOCKET, socket.SO_RCVBUF),
    "so_sndbuf": (socket.SOL_SOCKET, socket.SO_SNDBUF),
    "so_reuseaddr": (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    "so_reuseport": (socket.SOL_SOCKET, 15),
    "ip_bind_address_no_port": (socket.IPPROTO_IP, 24),
    "tcp_cork": (_TCP, 3),
    "tcp_defer_accept": (_TCP, 9),
    "tcp_keepcnt": (_TCP, 6),
    "tcp_keepidle": (_TCP, 4),
    "tcp_keepintvl": (_TCP, 5),
    "tcp_linger2": (_TCP, 8),
    "tcp_maxseg": (_TCP, 2),
    "tcp_nodelay": (_TCP, 1),
    "tcp_queue_seq": (_TCP, 21),
    "tcp_quickack": (_TCP, 12),
    "tcp_syncnt": (_TCP, 7),
    "tcp_user_timeout": (_TCP, 18),
}
"""Level and number of each (socket(7), ip(7), tcp(7); include/uapi/linux/tcp.h). Values are numbers of 32 bits, but
that of `so_linger`, a struct linger; `tcp_queue_seq` can be set under TCP_REPAIR alone."""
