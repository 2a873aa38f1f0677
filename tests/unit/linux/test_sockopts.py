"""The table of socket options: the engine's names, Linux's numbers."""

from __future__ import annotations

import pytest

from lastack.linux.sockopts import SOCKET_OPTIONS
from lastack.script.symbols import SYMBOLS
from lastack.tcp.settings import SocketOptions

LEVELS = {"so": "SOL_SOCKET", "ip": "SOL_IP", "tcp": "SOL_TCP"}


@pytest.mark.parametrize("name", sorted(SOCKET_OPTIONS.keys() - {"tcp_queue_seq"}))
def test_an_option_has_the_number_that_scripts_know_it_by(name: str) -> None:
    assert SOCKET_OPTIONS[name] == (SYMBOLS[LEVELS[name.split("_", 1)[0]]], SYMBOLS[name.upper()])


def test_what_the_engine_can_set_can_be_set_on_a_socket_of_the_kernel() -> None:
    mine = set(vars(SocketOptions()))
    assert mine - SOCKET_OPTIONS.keys() == {"tcp_congestion"}, "whose value is a name"
    assert SOCKET_OPTIONS.keys() - mine == {"tcp_quickack"}, "which is no option but a call on the engine"
