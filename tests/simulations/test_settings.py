"""The same connections under the standards' settings and under Linux's."""

from __future__ import annotations

from lastack.drive import Simulator
from lastack.drive.faults import fin
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND
from lastack.tcp import Settings


def test_under_the_standards_settings_time_wait_lasts_four_minutes_and_a_time_out_a_second() -> None:
    sim = Simulator(1)
    client = sim.host("client", "10.0.0.1", settings=Settings.rfc9293())
    server = sim.host("server", "10.0.0.2", settings=Settings.rfc9293())
    link = sim.link(client, server, delay=10 * MILLISECOND)
    listener = server.listen(80)
    here = client.connect("10.0.0.2", 80)
    assert here.local.port >= 49_152
    there = sim.run_until(listener.accept)
    link.forth.lose(fin)
    start = sim.now
    here.close()
    sim.run_until(lambda: there.receive() == b"")
    assert SECOND < sim.now - start < 1100 * MILLISECOND
    there.close()
    sim.run()
    at = {change.after: change.at for change in sim.trace.changes if change.host == "client"}
    assert at[State.CLOSED] - at[State.TIME_WAIT] == 240 * SECOND


def test_under_the_standards_settings_an_ack_waits_for_200_ms_and_fin_wait_2_for_ever() -> None:
    sim = Simulator(1, trace=True)
    client = sim.host("client", "10.0.0.1", settings=Settings.rfc9293())
    server = sim.host("server", "10.0.0.2", settings=Settings.rfc9293())
    sim.link(client, server)
    listener = server.listen(80)
    here = client.connect("10.0.0.2", 80)
    sim.run_until(listener.accept)
    here.send(b"x")
    sim.run(at_most=MILLISECOND)
    sent = len(sim.trace.packets)
    sim.run(at_most=198 * MILLISECOND)
    assert len(sim.trace.packets) == sent
    sim.run(at_most=MILLISECOND)
    assert len(sim.trace.packets) == sent + 2
    here.close()
    sim.run(at_most=86_400 * SECOND)
    assert here.state is State.FIN_WAIT_2


def test_settings_are_listed_and_copied_by_their_sysctl_names() -> None:
    settings = Settings.linux()
    copy = settings.copy()
    copy.tcp_fin_timeout = 5
    assert settings.as_dict()["tcp_fin_timeout"] == 60
    assert copy.as_dict()["tcp_fin_timeout"] == 5
    assert settings.rto_max == 120 * SECOND
