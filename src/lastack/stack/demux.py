"""Which connection a segment is for: four-tuples as octets, so that they hash fast and pack into a table."""

from __future__ import annotations


def four_tuple(local: bytes, remote: bytes, local_port: int, remote_port: int) -> bytes:
    """The key of a connection: 12 octets for IPv4, 36 for IPv6."""
    return b"%b%b%b" % (remote, local, (remote_port << 16 | local_port).to_bytes(4, "big"))


def reverse(key: bytes, local: bytes, remote: bytes) -> bytes:
    """The same connection as its other end files it; `local` and `remote` are those of `key`."""
    return b"%b%b%b%b" % (local, remote, key[-2:], key[-4:-2])


def local_address(key: bytes) -> bytes:
    """The local address of a key."""
    size = (len(key) - 4) // 2
    return key[size : 2 * size]


def addresses(key: bytes) -> tuple[bytes, bytes]:
    """The local and the remote address of a key."""
    return local_address(key), key[: (len(key) - 4) // 2]


def ports(key: bytes) -> tuple[int, int]:
    """The local and the remote port of a key."""
    end = len(key)
    return key[end - 2] << 8 | key[end - 1], key[end - 4] << 8 | key[end - 3]
