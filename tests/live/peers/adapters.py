"""Ordinary client libraries over our TCP: what they expect of a socket, on top of a blocking one of ours."""

from __future__ import annotations

import http.client
import io
from typing import Any

from redis.connection import Connection

from lastack.drive.blocking import BlockingSocket, Driver


class Raw(io.RawIOBase):
    """A connection as a stream of octets."""

    def __init__(self, ours: BlockingSocket) -> None:
        self.ours = ours

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        data = self.ours.recv(len(room))
        room[: len(data)] = data
        return len(data)


class FileSocket:
    """What http.client and redis-py use of a socket."""

    def __init__(self, ours: BlockingSocket) -> None:
        self.ours = ours
        self.sendall, self.recv, self.close = ours.sendall, ours.recv, ours.close
        self.settimeout, self.gettimeout = ours.settimeout, ours.gettimeout

    def makefile(self, mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(Raw(self.ours))

    def recv_into(self, room: Any) -> int:
        return Raw(self.ours).readinto(room)

    def shutdown(self, how: int) -> None:
        self.ours.shutdown(("read", "write", "both")[how])


class OurHttp(http.client.HTTPConnection):
    """http.client on our TCP."""

    def __init__(self, driver: Driver, host: str, port: int) -> None:
        super().__init__(host, port)
        self.driver = driver

    def connect(self) -> None:
        self.sock = FileSocket(self.driver.connect((self.host, self.port), timeout=30))


class OurRedis(Connection):
    """redis-py on our TCP."""

    def __init__(self, driver: Driver, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.driver = driver

    def _connect(self) -> Any:
        return FileSocket(self.driver.connect((self.host, self.port), timeout=30))
