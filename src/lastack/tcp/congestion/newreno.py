"""Reno's window: half after a loss, one segment more a round trip otherwise (RFC 5681, RFC 6582)."""

from __future__ import annotations

from typing import final

from lastack.native import mypyc_attr

from .controller import Controller


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class NewReno(Controller):
    """Everything is as in the base: Reno is what others are compared with."""

    __slots__ = ()
