"""An application is told of what its class has methods for, and of nothing else."""

from __future__ import annotations

from lastack.drive import Application, Simulator
from lastack.model.time import MILLISECOND, Nanos
from lastack.stack import Socket
from lastack.tcp import events


class Closing:
    """Half of an application, to be mixed in."""

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        socket.close(now)


class Answering(Closing, Application):
    def on_readable(self, socket: Socket, now: Nanos) -> None:
        socket.send(socket.receive(100, now) or b"", now)


class Logging(Application):
    def __init__(self) -> None:
        self.log: list[str] = []

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        self.log.append("opened")
        socket.send(b"hello", now)

    def on_closed(self, socket: Socket, now: Nanos) -> None:
        self.log.append("closed")


class Reading(Logging):
    def on_readable(self, socket: Socket, now: Nanos) -> None:
        self.log.append(f"read {socket.receive(100, now)!r}")
        socket.close(now)


def test_its_methods_say_what_it_listens_to_wherever_they_come_from() -> None:
    assert Application.told == events.CLOSED
    assert Answering.told == events.READABLE | events.END_OF_FILE | events.CLOSED
    assert Logging.told == events.OPENED | events.CLOSED
    assert Reading.told == Logging.told | events.READABLE


def test_what_is_listened_to_is_told_once_and_in_order() -> None:
    sim = Simulator(1)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    sim.link(client, server, delay=MILLISECOND)
    server.serve(80, Answering)
    reading = Reading()
    client.connect("10.0.0.2", 80, reading)
    sim.run()
    assert reading.log == ["opened", "read b'hello'", "closed"]


def test_another_owner_is_told_of_what_that_one_listens_to() -> None:
    sim = Simulator(1)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    sim.link(client, server, delay=MILLISECOND)
    server.serve(80, Answering)
    logging, reading = Logging(), Reading()
    here = client.connect("10.0.0.2", 80, logging)
    sim.run_until(lambda: logging.log)
    here.socket.owner = reading
    sim.run()
    assert (logging.log, reading.log) == (["opened"], ["read b'hello'", "closed"])
