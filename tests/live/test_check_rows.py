"""What a finding says of its connections and what the report lists are the same rows."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import numpy as np
import pytest

import lastack
from lastack.linux.namespaces import Namespace
from lastack.report.view import gravest_first, shown_rows


@pytest.mark.root
def test_a_page_shows_under_each_finding_the_connections_that_it_found(private_network: Namespace) -> None:
    with ExitStack() as kept:
        idle = [kept.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(5)]
        listener = kept.enter_context(socket.create_server(("127.0.0.1", 0)))
        for leaves in (False, True, True, False):
            client = kept.enter_context(socket.create_connection(listener.getsockname()))
            kept.enter_context(listener.accept()[0])
            if leaves:
                client.close()
        socket.create_connection(idle[0].getsockname()).close()  # never accepted
        report = lastack.check(thresholds=lastack.Thresholds(min_age_ns=0), pause_ns=0)
    chosen, positions = shown_rows(report)
    listed = report.connections.select(chosen)
    assert report.findings
    for finding, rows in zip(gravest_first(report), positions, strict=True):
        found = sorted(finding.connections.values("cookie").tolist())
        assert found == sorted(listed.select(np.array(rows, np.intp)).values("cookie").tolist())
