"""What changed hands between the look and the act is not touched: descriptors, processes, ports, states, namespaces."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lastack.linux import namespaces, sock_destroy
from lastack.linux.namespaces import Namespace
from lastack.live import sockdiag
from lastack.live.act import Target, destroy, shut
from lastack.model.ending import Ending, Outcome
from lastack.model.host import Holder
from lastack.model.state import State

from .acting import CLOSED, Act, held_here, outcomes, seen
from .rules.situations import LOOPBACK, Stage

pytestmark = pytest.mark.root


@pytest.fixture
def stage(private_network: Namespace) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, private=True)


@pytest.mark.parametrize("act", [shut, destroy])
def test_a_descriptor_that_leads_to_another_connection_by_now_ends_nothing(stage: Stage, act: Act) -> None:
    server, client, at = stage.connected(1)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 1)
    (target,) = seen(stage, State.CLOSE_WAIT)
    number = server.do("descriptor")
    server.do("close")
    client.do("close")
    client.connect(at)
    server.do("accept", 1)
    assert server.do("descriptor") == number == target.holders[0].fd
    assert act([target], namespaces.own()) == [Ending(Outcome.VANISHED, State.CLOSED)]
    assert stage.count(State.ESTABLISHED) == 2
    assert server.do("try_to", "send") == "1"


def test_a_process_number_that_is_anothers_by_now_ends_nothing(stage: Stage) -> None:
    server, client, _ = stage.connected(1)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 1)
    (target,) = seen(stage, State.CLOSE_WAIT)
    # What the number has been given to has a socket of its own behind the same descriptor.
    (of_client,) = seen(stage, State.FIN_WAIT_2)
    wrong = target._replace(holders=of_client.holders)
    assert shut([wrong], namespaces.own()) == [Ending(Outcome.MOVED, State.CLOSE_WAIT)]
    assert [stage.count(state) for state in (State.CLOSE_WAIT, State.FIN_WAIT_2)] == [1, 1]
    assert server.do("try_to", "send") == "1"


def test_a_descriptor_that_leads_to_a_file_by_now_ends_nothing(stage: Stage) -> None:
    server, client, _ = stage.connected(1)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 1)
    (target,) = seen(stage, State.CLOSE_WAIT)
    file = target._replace(holders=(Holder(server.pid, 1),))
    assert shut([file], namespaces.own()) == [Ending(Outcome.MOVED, State.CLOSE_WAIT)]
    nothing = target._replace(holders=(Holder(server.pid, 999), Holder(2**22 + 1, 3)))
    assert shut([nothing], namespaces.own()) == [Ending(Outcome.MOVED, State.CLOSE_WAIT)]


def replaced(kept: ExitStack) -> tuple[Target, sock_destroy.Identity]:
    """A connection as it was seen, and what the kernel called it; since then another has taken its ports."""
    listener = kept.enter_context(socket.create_server((LOOPBACK, 0)))

    def connect(port: int) -> tuple[socket.socket, socket.socket]:
        client = socket.create_connection(listener.getsockname(), source_address=(LOOPBACK, port))
        return kept.enter_context(client), kept.enter_context(listener.accept()[0])

    client, server = connect(0)
    port = client.getsockname()[1]
    old = held_here(server, State.ESTABLISHED)
    _, identity = sockdiag.identities([old.cookie])[old.cookie]
    assert destroy([old], namespaces.own()) == [CLOSED]
    client.close()
    connect(port)
    return old, identity


@pytest.mark.parametrize("act", [shut, destroy])
def test_the_same_ports_of_a_newer_connection_are_not_touched(stage: Stage, act: Act) -> None:
    with ExitStack() as kept:
        old, _ = replaced(kept)
        assert outcomes(act([old], namespaces.own())) == [Outcome.VANISHED]
        assert stage.count(State.ESTABLISHED) == 2


def test_the_kernel_itself_compares_the_cookie(stage: Stage) -> None:
    with ExitStack() as kept, sock_destroy.Destroyer() as destroyer:
        _, identity = replaced(kept)
        assert destroyer.destroy(identity) is False
        assert stage.count(State.ESTABLISHED) == 2


def test_a_descriptor_that_was_passed_on_is_told(stage: Stage) -> None:
    server, client, _ = stage.connected(1)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 1)
    (target,) = seen(stage, State.CLOSE_WAIT)
    server.do("move", 0, 99)
    assert shut([target], namespaces.own()) == [Ending(Outcome.MOVED, State.CLOSE_WAIT)]
    assert stage.count(State.CLOSE_WAIT) == 1


@pytest.mark.parametrize("act", [shut, destroy])
def test_one_that_has_gone_on_to_another_state_is_left_alone(stage: Stage, act: Act) -> None:
    server, client, _ = stage.connected(1)
    (target,) = seen(stage, State.ESTABLISHED, server)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 1)
    assert act([target], namespaces.own()) == [Ending(Outcome.CHANGED, State.CLOSE_WAIT)]
    assert stage.count(State.CLOSE_WAIT) == 1


@pytest.mark.parametrize("act", [shut, destroy])
def test_one_that_was_closed_by_its_process_is_told_to_have_gone_on(stage: Stage, act: Act) -> None:
    server, client, _ = stage.connected(1)
    (target,) = seen(stage, State.ESTABLISHED, server)
    server.do("close")
    stage.await_state(State.FIN_WAIT_2, 1)
    assert act([target], namespaces.own()) == [Ending(Outcome.CHANGED, State.FIN_WAIT_2)]
    client.do("close")
    assert act([target], namespaces.own())[0].outcome in (Outcome.CHANGED, Outcome.VANISHED)


@pytest.mark.parametrize("act", [shut, destroy])
def test_a_process_that_died_meanwhile_is_no_trouble(stage: Stage, act: Act) -> None:
    server, client, _ = stage.connected(3)
    client.do("shut")
    stage.await_state(State.CLOSE_WAIT, 3)
    chosen = seen(stage, State.CLOSE_WAIT)
    server.end()
    assert outcomes(act(chosen, namespaces.own())) == [Outcome.VANISHED] * 3


def test_a_namespace_that_has_ended_took_all_with_it(stage: Stage) -> None:
    chosen = [Target(1, State.CLOSE_WAIT, (Holder(2**22 + 1, 3),))]
    gone = Namespace("gone", 1, "/proc/4194305/ns/net")
    for act in (shut, destroy):
        assert outcomes(act(chosen, gone)) == [Outcome.VANISHED]


def test_connections_that_end_by_the_hundred_meanwhile_harm_none_of_those_that_come(stage: Stage) -> None:
    """Ports, descriptors and inodes are used again at once; of what came later nothing is touched."""
    server, client = stage.process("leaky"), stage.process("visitor")
    at = server.listen()
    for _ in range(5):
        client.connect(at, 50)
        server.do("accept", 50)
        old = seen(stage, State.ESTABLISHED)
        server.do("close", 25)
        client.do("close", 25)
        client.connect(at, 25)
        server.do("accept", 25)
        new = {target.cookie for target in seen(stage, State.ESTABLISHED)} - {target.cookie for target in old}
        assert len(new) == 50
        shut(old, namespaces.own(), 1)
        assert new <= {target.cookie for target in seen(stage, State.ESTABLISHED)}
        destroy(old, namespaces.own())
        assert new <= {target.cookie for target in seen(stage, State.ESTABLISHED)}
        server.do("close")
        client.do("close")
