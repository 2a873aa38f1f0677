"""Options of sockets on the engine: setsockopt() and getsockopt() with Linux's numbers."""

from __future__ import annotations

from typing import Final

from lastack.model.time import MICROSECOND, SECOND, Nanos
from lastack.tcp.settings import Settings

from .engine_files import TIME_OUTS, File, connected, failed
from .symbols import ERRNO, SYMBOLS

_SOCKET: Final = SYMBOLS["SOL_SOCKET"]
_TCP: Final = SYMBOLS["SOL_TCP"]
_OPTIONS: Final = {
    (_SOCKET, "SO_REUSEADDR"): "so_reuseaddr",
    (_SOCKET, "SO_REUSEPORT"): "so_reuseport",
    (_SOCKET, "SO_KEEPALIVE"): "so_keepalive",
    (_SOCKET, "SO_OOBINLINE"): "so_oobinline",
    (_SOCKET, "SO_SNDBUF"): "so_sndbuf",
    (_SOCKET, "SO_RCVBUF"): "so_rcvbuf",
    (_SOCKET, "SO_SNDBUFFORCE"): "so_sndbuf",
    (_SOCKET, "SO_RCVBUFFORCE"): "so_rcvbuf",
    (0, "IP_BIND_ADDRESS_NO_PORT"): "ip_bind_address_no_port",
    (_TCP, "TCP_NODELAY"): "tcp_nodelay",
    (_TCP, "TCP_CORK"): "tcp_cork",
    (_TCP, "TCP_MAXSEG"): "tcp_maxseg",
    (_TCP, "TCP_KEEPIDLE"): "tcp_keepidle",
    (_TCP, "TCP_KEEPINTVL"): "tcp_keepintvl",
    (_TCP, "TCP_KEEPCNT"): "tcp_keepcnt",
    (_TCP, "TCP_SYNCNT"): "tcp_syncnt",
    (_TCP, "TCP_LINGER2"): "tcp_linger2",
    (_TCP, "TCP_DEFER_ACCEPT"): "tcp_defer_accept",
    (_TCP, "TCP_USER_TIMEOUT"): "tcp_user_timeout",
}
_NAMED: Final = {(level, SYMBOLS[name]): attribute for (level, name), attribute in _OPTIONS.items()}
_RANGES: Final = {
    "tcp_keepidle": (1, 32_767),
    "tcp_keepintvl": (1, 32_767),
    "tcp_keepcnt": (1, 127),
    "tcp_syncnt": (1, 127),
    "tcp_user_timeout": (0, 1 << 31),
    "tcp_maxseg": (0, 32_767),
}


def set_option(file: File, level: int, name: int, value: int | bytes | tuple[int, ...], now: Nanos) -> None:
    """setsockopt(). Raises OSError."""
    if (level, name) == (_SOCKET, SYMBOLS["SO_LINGER"]) and isinstance(value, tuple):
        file.options.so_linger = value[1] if value[0] else None
    elif (level, name) in TIME_OUTS and isinstance(value, tuple):
        if not 0 <= value[1] < 1_000_000:
            raise failed("EDOM")
        file.time_outs[TIME_OUTS[level, name]] = max(value[0], 0) * SECOND + value[1] * MICROSECOND
    elif (level, name) == (_TCP, SYMBOLS["TCP_CONGESTION"]) and isinstance(value, bytes):
        if value not in (b"cubic", b"reno", b"newreno"):
            raise failed("ENOENT")
        file.options.tcp_congestion = "cubic" if value == b"cubic" else "newreno"
    elif (level, name) == (_TCP, SYMBOLS["TCP_QUICKACK"]) and isinstance(value, int):
        connected(file).set_quickack(bool(value), now)
    elif isinstance(value, int):
        _set(file, level, name, value, now)
    else:
        raise failed("EINVAL")


def _set(file: File, level: int, name: int, value: int, now: Nanos) -> None:
    attribute = _NAMED.get((level, name))
    if attribute is None:
        raise failed("ENOPROTOOPT")
    low, high = _RANGES.get(attribute, (-(1 << 31), 1 << 31))
    if not low <= value <= high:
        raise failed("EINVAL")
    if attribute in ("so_sndbuf", "so_rcvbuf"):
        # The kernel takes twice as much, for its own book-keeping (socket(7)).
        value *= 2
    present = getattr(file.options, attribute)
    setattr(file.options, attribute, bool(value) if isinstance(present, bool) else value)
    if file.socket is not None:
        if attribute == "so_keepalive":
            file.socket.set_keepalive(bool(value), now)
        elif attribute == "tcp_keepidle" and file.options.so_keepalive:
            # What is over of the idle time counts (tcp_sock_set_keepidle_locked).
            file.socket.set_keepalive(True, file.socket.connection.sender.heard_at)
        # A push of what Nagle's algorithm or the cork held back.
        file.socket.schedule.touch(file.socket)


def get_option(file: File, level: int, name: int, settings: Settings, now: Nanos) -> int | bytes | tuple[int, ...]:
    """getsockopt(). Raises OSError."""
    if (level, name) == (_SOCKET, SYMBOLS["SO_ERROR"]):
        error = "" if file.socket is None else file.socket.connection.error
        if file.socket is not None:
            file.socket.connection.error = None
            file.connecting = file.connecting and not error
        return ERRNO[error] if error else 0
    if (level, name) == (_SOCKET, SYMBOLS["SO_LINGER"]):
        linger = file.options.so_linger
        return (0, 0) if linger is None else (1, linger)
    if (level, name) in TIME_OUTS:
        time_out = file.time_outs[TIME_OUTS[level, name]]
        return time_out // SECOND, time_out % SECOND // MICROSECOND
    if (level, name) == (_TCP, SYMBOLS["TCP_CONGESTION"]):
        return (file.options.tcp_congestion or settings.tcp_congestion_control).encode()
    if (level, name) == (_TCP, SYMBOLS["TCP_MAXSEG"]) and file.socket is not None:
        return file.socket.info(now).snd_mss
    attribute = _NAMED.get((level, name))
    if attribute is None:
        raise failed("ENOPROTOOPT")
    return int(getattr(file.options, attribute) or _default(attribute, settings))


def _default(attribute: str, settings: Settings) -> int:
    """What holds where the socket says nothing of its own."""
    named = {
        "tcp_keepidle": settings.tcp_keepalive_time,
        "tcp_keepintvl": settings.tcp_keepalive_intvl,
        "tcp_keepcnt": settings.tcp_keepalive_probes,
        "tcp_syncnt": settings.tcp_syn_retries,
        "tcp_linger2": settings.tcp_fin_timeout,
        "so_sndbuf": settings.tcp_wmem[1],
        "so_rcvbuf": settings.tcp_rmem[1],
    }
    return named.get(attribute, 0)
