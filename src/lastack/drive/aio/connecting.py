"""Which of several addresses a connection goes to: one after the other, or a race (RFC 8305)."""

from __future__ import annotations

import asyncio
from asyncio import staggered
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain, zip_longest
from typing import NoReturn

from lastack.stack.sock import Socket

from .resolve import Address


async def first_of(
    addresses: list[Address],
    connect: Callable[[Address], Awaitable[Socket]],
    *,
    delay: float | None = None,
    all_errors: bool = False,
) -> Socket:
    """The socket of the first address that answers; with `delay`, each has so many seconds before the next begins.

    Raises OSError with what was wrong with all of them, or an ExceptionGroup of it.
    """
    errors: list[OSError] = []

    async def attempt(address: Address) -> Socket:
        try:
            return await connect(address)
        except OSError as error:
            errors.append(error)
            raise

    if delay is not None:
        loop = asyncio.get_running_loop()
        socket: Socket | None
        socket, _, _ = await staggered.staggered_race([partial(attempt, one) for one in addresses], delay, loop=loop)
        if socket is not None:
            return socket
    else:
        for address in addresses:
            try:
                return await attempt(address)
            except OSError:
                continue
    _give_up(errors, all_errors)


def _give_up(errors: list[OSError], all_errors: bool) -> NoReturn:
    if all_errors:
        raise ExceptionGroup("create_connection failed", errors)
    if len({str(error) for error in errors}) == 1:
        raise errors[0]
    raise OSError(f"Multiple exceptions: {', '.join(str(error) for error in errors)}")


def interleaved(addresses: list[Address], first: int) -> list[Address]:
    """The families by turns, `first` of the first one ahead of all others (RFC 8305 4)."""
    families: dict[bool, list[Address]] = {}
    for address in addresses:
        families.setdefault(":" in address[0], []).append(address)
    groups = list(families.values())
    ahead, groups[0] = groups[0][: first - 1], groups[0][first - 1 :]
    return ahead + [address for address in chain.from_iterable(zip_longest(*groups)) if address is not None]
