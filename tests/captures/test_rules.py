"""Every rule over captures: a network that it speaks of, and one that is nearly the same and it is silent about."""

from __future__ import annotations

from pathlib import Path

import pytest

import lastack
from lastack.diagnose.captures.run import CAPTURE_RULES
from lastack.drive import Host, Link, Simulator
from lastack.drive.faults import bare_ack, fin, syn_ack, text
from lastack.drive.handles import SimListener, SimSocket
from lastack.model.finding import Finding
from lastack.model.time import MILLISECOND, SECOND
from lastack.tcp.settings import Settings, SocketOptions
from lastack.wire.pcapng import PcapngWriter

MINUTE = 60 * SECOND


class Net:
    """A client and a server 10 ms apart; what passes the server's interface is the capture."""

    def __init__(self, path: Path, settings: Settings | None = None) -> None:
        self.sim = Simulator(seed=7, trace=True)
        self.client: Host = self.sim.host("client", "10.0.0.1", settings=settings)
        self.server: Host = self.sim.host("server", "10.0.0.2")
        self.link: Link = self.sim.link(self.client, self.server, delay=10 * MILLISECOND)
        self.other: Host = self.sim.host("other", "10.0.1.1")
        self.sim.link(self.other, self.server, delay=10 * MILLISECOND)
        self._path = path

    def open(self, listener: SimListener, options: SocketOptions | None = None) -> tuple[SimSocket, SimSocket]:
        here = self.client.connect("10.0.0.2", listener.listener.port, options=options)
        there = self.sim.run_until(listener.accept)
        self.wait(50 * MILLISECOND)
        return here, there

    def wait(self, duration: int) -> None:
        self.sim.run(self.sim.now + duration)

    def later(self) -> None:
        """Something else, long after: a capture goes as far as its last packet."""
        self.wait(10 * MINUTE)
        self.other.connect("10.0.0.2", 9)
        self.wait(SECOND)

    def findings(self) -> dict[str, Finding]:
        return {finding.rule: finding for finding in self.all_findings()}

    def all_findings(self) -> tuple[Finding, ...]:
        path = self._path / "server.pcapng"
        with path.open("wb") as file:
            writer = PcapngWriter(file, ["server"])
            for at, host, data, _ in self.sim.trace.packets:
                # What was lost had left, or was on its way: at the sender's interface it was seen.
                if host == "server":
                    writer.write(0, at, data)
        return lastack.check(path).findings


@pytest.fixture
def net(tmp_path: Path) -> Net:
    return Net(tmp_path)


def exchange(here: SimSocket, there: SimSocket, net: Net) -> None:
    here.send(b"question")
    net.wait(100 * MILLISECOND)
    there.receive()
    there.send(b"answer")
    net.wait(100 * MILLISECOND)
    here.receive()


def orderly(here: SimSocket, there: SimSocket, net: Net, delay: int = 10 * MILLISECOND) -> None:
    """The client closes first, the server `delay` after it has heard of it."""
    exchange(here, there, net)
    here.close()
    net.wait(30 * MILLISECOND + delay)
    there.close()
    net.wait(100 * MILLISECOND)


def test_a_healthy_capture_has_no_findings(net: Net) -> None:
    listener = net.server.listen(80)
    for _ in range(12):
        orderly(*net.open(listener), net)
    assert net.findings() == {}


def test_refused(net: Net) -> None:
    net.client.connect("10.0.0.2", 81)
    net.wait(SECOND)
    found = net.findings()
    assert set(found) == {"handshake-refused"}
    assert "10.0.0.2:81" in found["handshake-refused"].summary


def test_a_rst_within_an_open_connection_is_no_refusal(net: Net) -> None:
    here, there = net.open(net.server.listen(80))
    exchange(here, there, net)
    here.abort()
    net.wait(SECOND)
    assert "handshake-refused" not in net.findings()


def test_a_few_servers_are_named_and_the_others_told_together(net: Net) -> None:
    for port in (81, 81, 81, 82, 82, 83, 84, 85, 86):
        net.client.connect("10.0.0.2", port)
        net.wait(SECOND)
    findings = net.all_findings()
    said = [finding.summary for finding in findings if finding.rule == "handshake-refused"]
    assert len(said) == 4
    assert said[0].startswith("10.0.0.2:81 refused 3")
    assert said[3].startswith("3 other servers refused 3")


def test_timed_out(net: Net) -> None:
    net.link.back.lose(syn_ack, times=100)
    net.server.listen(80)
    net.client.connect("10.0.0.2", 80)
    net.later()
    found = net.findings()
    assert "the answers are in the capture" in found["handshake-timeout"].summary
    assert len(found["handshake-timeout"].connections) == 1


def test_a_repeated_syn_that_opens_is_no_time_out(net: Net) -> None:
    net.link.back.lose(syn_ack)
    orderly(*net.open(net.server.listen(80)), net)
    assert set(net.findings()) & {"handshake-timeout", "handshake-repeated"} == set()


def test_handshakes_that_needed_two_syns(net: Net) -> None:
    listener = net.server.listen(80)
    for _ in range(3):
        net.link.back.lose(syn_ack)
        orderly(*net.open(listener), net)
    assert "3 connections to 10.0.0.2:80" in net.findings()["handshake-repeated"].summary


def test_a_full_accept_queue_as_it_looks_from_outside(net: Net) -> None:
    net.server.listen(80, backlog=5)
    for _ in range(5):
        net.client.connect("10.0.0.2", 80)
        net.wait(50 * MILLISECOND)
    # One more fits; the ACKs of the others come when it has taken the last place.
    sockets = [net.client.connect("10.0.0.2", 80) for _ in range(5)]
    net.wait(50 * MILLISECOND)
    for here in sockets:
        here.send(b"question")
    net.wait(20 * SECOND)
    found = net.findings()
    assert found["accept-queue-full-outside"].connections.values("syn_in").min() >= 2


def test_one_lost_ack_is_no_full_queue(net: Net) -> None:
    net.link.forth.lose(bare_ack)
    here = net.client.connect("10.0.0.2", 80)
    net.server.listen(80)
    net.wait(5 * SECOND)
    assert here is not None
    assert "accept-queue-full-outside" not in net.findings()


def test_a_server_that_closes_late(net: Net) -> None:
    orderly(*net.open(net.server.listen(80)), net, delay=5 * SECOND)
    found = net.findings()["close-wait-slow"]
    assert "the server took long to close" in found.summary
    assert any("5.0 s" in str(evidence.value) for evidence in found.evidence)


def test_a_client_that_closes_late(net: Net) -> None:
    here, there = net.open(net.server.listen(80))
    exchange(here, there, net)
    there.close()
    net.wait(3 * SECOND)
    here.close()
    net.wait(SECOND)
    assert "the client took long to close" in net.findings()["close-wait-slow"].summary


def test_a_quick_close_is_not_late(net: Net) -> None:
    orderly(*net.open(net.server.listen(80)), net, delay=500 * MILLISECOND)
    assert "close-wait-slow" not in net.findings()


def test_a_server_that_never_closes(net: Net) -> None:
    listener = net.server.listen(80)
    here, there = net.open(listener)
    exchange(here, there, net)
    here.shutdown()
    net.wait(5 * MINUTE)
    # Something later, so that the capture goes on.
    orderly(*net.open(listener), net)
    found = net.findings()
    assert "the server never closed 1 connection" in found["close-wait-leaked"].summary
    assert there.state.name == "CLOSE_WAIT"


def test_a_half_close_of_a_moment_is_no_leak(net: Net) -> None:
    listener = net.server.listen(80)
    here, there = net.open(listener)
    exchange(here, there, net)
    here.shutdown()
    net.wait(20 * SECOND)
    orderly(*net.open(listener), net)
    assert there.state.name == "CLOSE_WAIT"
    assert "close-wait-leaked" not in net.findings()


def test_fins_that_nobody_acknowledges(net: Net) -> None:
    here, there = net.open(net.server.listen(80))
    exchange(here, there, net)
    net.link.back.lose(times=10_000)
    net.link.forth.lose(times=10_000)
    there.close()
    net.later()
    assert "fin-unanswered" in net.findings()
    assert here.state.name == "ESTABLISHED"


def test_a_fin_repeated_and_acknowledged_is_no_matter(net: Net) -> None:
    here, there = net.open(net.server.listen(80))
    net.link.forth.lose(fin)
    exchange(here, there, net)
    here.close()
    net.wait(2 * SECOND)
    there.close()
    net.wait(2 * SECOND)
    assert "fin-unanswered" not in net.findings()


def test_data_that_a_reset_cost(net: Net) -> None:
    here, there = net.open(net.server.listen(80))
    here.close()
    net.wait(50 * MILLISECOND)
    there.send(b"an answer that nobody reads")
    net.wait(SECOND)
    found = net.findings()["reset-lost-data"]
    assert "text reached a side that had closed" in found.summary
    assert any(evidence.value == 27 for evidence in found.evidence)


def test_a_reset_after_everything_was_acknowledged_costs_nothing(net: Net) -> None:
    here, there = net.open(net.server.listen(80))
    exchange(here, there, net)
    here.abort()
    net.wait(SECOND)
    assert there.state.name == "CLOSED"
    assert "reset-lost-data" not in net.findings()


def test_a_server_that_ends_with_rst(net: Net) -> None:
    listener = net.server.listen(80)
    for _ in range(12):
        here, there = net.open(listener, SocketOptions(so_linger=0))
        exchange(here, there, net)
        here.close()
        net.wait(100 * MILLISECOND)
    assert "clients end 12 connections with a RST" in net.findings()["reset-instead-of-close"].summary


def test_a_few_resets_are_no_habit(net: Net) -> None:
    listener = net.server.listen(80)
    for number in range(12):
        here, there = net.open(listener, SocketOptions(so_linger=0) if number < 3 else None)
        orderly(here, there, net)
    assert "reset-instead-of-close" not in net.findings()


def forgotten(net: Net, silence: int) -> tuple[SimSocket, SimSocket]:
    """The server is rebooted, and the client speaks after a silence."""
    here, there = net.open(net.server.listen(80))
    exchange(here, there, net)
    net.wait(silence)
    net.server.reboot()
    return here, there


def test_a_connection_that_was_forgotten_in_a_silence(net: Net) -> None:
    here, _ = forgotten(net, 10 * MINUTE)
    here.send(b"again")
    net.wait(SECOND)
    found = net.findings()["idle-forgotten"]
    assert "10 min" in " ".join(str(evidence.value) for evidence in found.evidence)


def test_a_reset_in_the_middle_of_a_talk_is_no_forgetting(net: Net) -> None:
    here, _ = forgotten(net, SECOND)
    here.send(b"again")
    net.wait(SECOND)
    assert "idle-forgotten" not in net.findings()


def test_a_keepalive_that_comes_too_late(tmp_path: Path) -> None:
    settings = Settings.linux()
    settings.tcp_keepalive_time = 900
    net = Net(tmp_path, settings)
    here, there = net.open(net.server.listen(80), SocketOptions(so_keepalive=True))
    exchange(here, there, net)
    net.server.reboot()
    net.wait(20 * MINUTE)
    found = net.findings()
    assert here.state.name == "CLOSED"
    assert "keepalive-too-late" in found
    assert "idle-forgotten" not in found


def test_a_peer_that_is_gone(net: Net) -> None:
    here, there = net.open(net.server.listen(80))
    exchange(here, there, net)
    net.link.back.lose(times=10_000)
    there.send(b"anybody there?")
    net.wait(60 * MINUTE)
    net.later()
    found = net.findings()
    assert "peer-gone" in found
    assert here.state.name == "ESTABLISHED"


def test_a_peer_that_answers_after_some_losses_is_there(net: Net) -> None:
    here, there = net.open(net.server.listen(80))
    net.link.back.lose(text, times=3)
    exchange(here, there, net)
    net.wait(10 * SECOND)
    assert "peer-gone" not in net.findings()


def test_four_tuples_that_are_used_again_at_once(tmp_path: Path) -> None:
    settings = Settings.linux()
    settings.time_wait_ms = 0
    settings.ip_local_port_range = (40_000, 40_001)
    net = Net(tmp_path, settings)
    listener = net.server.listen(80)
    for _ in range(8):
        orderly(*net.open(listener), net)
    assert "used again within 60 s" in net.findings()["time-wait-reused"].summary


def test_new_ports_are_no_reuse(net: Net) -> None:
    listener = net.server.listen(80)
    for _ in range(8):
        orderly(*net.open(listener), net)
    assert "time-wait-reused" not in net.findings()


def test_a_syn_that_meets_an_old_connection(net: Net) -> None:
    here, there = net.open(net.server.listen(80))
    exchange(here, there, net)
    port = here.local.port
    net.client.reboot()
    net.client.connect("10.0.0.2", 80, local=("10.0.0.1", port))
    net.wait(10 * SECOND)
    assert there.state.name == "CLOSED"
    assert "time-wait-collision" in net.findings()


def test_a_reader_that_does_not_keep_up(net: Net) -> None:
    here, there = net.open(net.server.listen(80), SocketOptions(so_rcvbuf=20_000))
    for _ in range(5):
        there.send(bytes(60_000))
        net.wait(2 * SECOND)
        while here.receive():
            net.wait(500 * MILLISECOND)
    assert "window-closed" in net.findings()


@pytest.mark.parametrize("rule", [name for rule in CAPTURE_RULES for name in rule.ids])
def test_every_rule_has_a_test_here(rule: str) -> None:
    assert f'"{rule}"' in Path(__file__).read_text()
