"""`loop.sendfile` over a transport of ours: no kernel can do it, so that octets are read and written."""

from __future__ import annotations

from typing import Any, Final

from .transport import Transport

_BLOCK: Final = 64 * 1024


async def send_file(transport: Transport, file: Any, offset: int, count: int | None) -> int:
    """Send `count` octets of a file (None: all), from `offset`; how many there were. The file's position follows.

    Nothing is delivered meanwhile, as with the kernel's. Raises RuntimeError on a closing transport, ConnectionError.
    """
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    reading = transport.is_reading()
    transport.pause_reading()
    file.seek(offset)
    sent = 0
    try:
        while count is None or sent < count:
            await transport.emptied()
            block = file.read(_BLOCK if count is None else min(_BLOCK, count - sent))
            if not block:
                break
            transport.write(block)
            sent += len(block)
        await transport.emptied()
    finally:
        file.seek(offset + sent)
        if reading:
            transport.resume_reading()
    return sent
