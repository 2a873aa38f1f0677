"""The BPF programs at the tracepoint inet_sock_set_state: they tell changes of state, and note when and by whom.

What they tell are rows of TRANSITION as they are: in this machine's octet order, with mapped addresses. Which process
made a change is known where a call did: connect() brings SYN_SENT, listen() LISTEN, close() and shutdown() FIN_WAIT_1
and LAST_ACK; elsewhere whoever happens to be running is current.
"""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lastack.linux.bpf.assembler import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Assembler, Helper
from lastack.linux.bpf.btf import Btf, Field, Kind
from lastack.linux.bpf.loader import TRACEPOINT, Program
from lastack.model.address import MAPPED_PREFIX
from lastack.model.close import Closer
from lastack.model.state import State

from .noted import NOTE, TELLER
from .record import TRANSITION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

BY_CALL: Final = (State.SYN_SENT, State.LISTEN, State.FIN_WAIT_1, State.LAST_ACK)
_CLOSES: Final = (State.FIN_WAIT_1, State.LAST_ACK)

COUNTS: Final = struct.Struct("=QQ")
"""How many records found the ring full, and how many changes the relief was called for."""
UNTOLD: Final = 8
"""Octets of the mark that there is a change to tell."""
_UNTOLD: Final = Field(0, UNTOLD)
_FULL: Final = 0
_RELIEVED: Final = 8

_SCRATCH: Final = np.dtype(
    [
        ("cookie", "u8"),
        ("at", "u8"),
        ("cgroup", "u8"),
        ("command", "S16"),
        ("pid", "u4"),
        ("namespace", "u4"),
        ("key", "u4"),
        ("local_port", "u2"),
        ("spare", "u2"),
    ]
)
"""What the program keeps on its stack."""


class Outlets(NamedTuple):
    """Where the programs put what they learn: descriptors of maps.

    `notes`: an array of NOTE with `notes_count` (a power of two) entries, by the lower bits of the cookie; cookies are
    given out in sequence, so an entry gives way to one that is younger by that many. `ring`: for TRANSITION records;
    None for no such records. `counts`: an array whose first entry is of COUNTS. `untold`: a mark for each processor.
    """

    notes: int
    notes_count: int
    ring: int | None
    counts: int
    untold: int


class Part(Enum):
    """The three programs, in the order in which they are to be attached.

    The kernel skips a program that is running already on the same processor; so it would for everything done by a
    softirq that interrupts it, which may be hundreds of changes. So MARK says that there is a change to tell, TELL says
    that it does, and where it was skipped RELIEF tells in its place. Whichever of the three is interrupted, each change
    is told once.
    """

    MARK = "lastack_mark"
    TELL = TELLER
    RELIEF = "lastack_relief"


def load(btf: Btf, namespaces: frozenset[int] | None, outlets: Outlets) -> dict[Part, Program]:
    """Assemble and load the programs. Raises KernelError where the kernel lacks what they need, or refuses them."""
    target = btf.find(Kind.TYPEDEF, "btf_trace_inet_sock_set_state")
    with ExitStack() as loaded:
        programs = {
            part: loaded.enter_context(
                Program.load(part.value, _assemble(part, btf, namespaces, outlets), TRACEPOINT, target)
            )
            for part in Part
        }
        loaded.pop_all()
        return programs


def _assemble(part: Part, btf: Btf, namespaces: frozenset[int] | None, outlets: Outlets) -> Assembler:
    """R6 is the socket, R7 the state before, R8 the state after, R9 the record in the ring."""
    code, key = Assembler(), _KNOWN["key"]
    code.move(R6, R1).store(R10, key, 0)
    code.load_map(R1, outlets.untold).move(R2, R10).compute(R2, "+", key.offset).call(Helper.MAP_LOOKUP_ELEM)
    code.jump_if(R0, "==", 0, "end")
    if part is Part.MARK:
        return code.store(R0, _UNTOLD, 1).label("end").move(R0, 0).exit()
    if part is Part.RELIEF:
        code.load(R1, R0, _UNTOLD).jump_if(R1, "==", 0, "end")
        code.load_value(R1, outlets.counts, _RELIEVED).move(R2, 1).atomic_add(R1, 0, R2)
    code.store(R0, _UNTOLD, 0)
    for register, argument in zip((R7, R8, R6), (1, 2, 0), strict=True):
        code.load(register, R6, Field(8 * argument, 8))
    _choose(code, btf, namespaces)
    _learn(code, btf)
    _note(code, outlets)
    if outlets.ring is not None:
        _tell(code, btf, outlets.ring, outlets.counts)
    return code.label("end").move(R0, 0).exit()


def _choose(code: Assembler, btf: Btf, namespaces: frozenset[int] | None) -> None:
    """Go to the end unless it is TCP's, of a namespace that is asked for, and of a socket that has its cookie."""
    code.load(R1, R6, btf.field("sock", "sk_protocol")).jump_if(R1, "!=", socket.IPPROTO_TCP, "end")
    code.load(R1, R6, btf.field("sock", "__sk_common.skc_net.net")).load(R1, R1, btf.field("net", "ns.inum"))
    code.store(R10, _KNOWN["namespace"], R1)
    if namespaces is not None:
        for namespace in sorted(namespaces) or [0]:
            code.jump_if_equal_32(R1, namespace, "wanted")
        code.jump("end").label("wanted")
    # The child of a listener is given its addresses and its cookie only after this first change, and leaves
    # SYN_RECEIVED at once (net/ipv4/inet_connection_sock.c: inet_csk_clone_lock()).
    code.jump_if(R7, "!=", State.LISTEN, "is ready").jump_if(R8, "==", State.SYN_RECEIVED, "end").label("is ready")


def _learn(code: Assembler, btf: Btf) -> None:
    """Cookie and time of the change, and the process where a call brought it, onto the stack."""
    for name in ("pid", "cgroup"):
        code.store(R10, _KNOWN[name], 0)
    for half in _halves(_KNOWN["command"]):
        code.store(R10, half, 0)
    code.move(R1, R6).call(Helper.GET_SOCKET_COOKIE).store(R10, _KNOWN["cookie"], R0)
    code.call(Helper.KTIME_GET_BOOT_NS).store(R10, _KNOWN["at"], R0)
    for state in BY_CALL:
        code.jump_if(R8, "==", state, "by a call")
    code.jump("nobody's").label("by a call")
    code.call(Helper.GET_CURRENT_CGROUP_ID).store(R10, _KNOWN["cgroup"], R0)
    code.call(Helper.GET_CURRENT_TASK_BTF).load(R1, R0, btf.field("task_struct", "tgid"))
    code.store(R10, _KNOWN["pid"], R1)
    # The process is named as its first thread is.
    code.load(R2, R0, btf.field("task_struct", "group_leader"))
    for here, there in zip(_halves(btf.field("task_struct", "comm")), _halves(_KNOWN["command"]), strict=True):
        code.load(R1, R2, here).store(R10, there, R1)
    code.label("nobody's")


def _note(code: Assembler, outlets: Outlets) -> None:
    """Write the change into the socket's NOTE. Its readers look for the cookie before and after they copy it."""
    slot = _slots(NOTE, 0)
    key = _KNOWN["key"]
    code.load(R1, R10, _KNOWN["cookie"]).compute(R1, "&", outlets.notes_count - 1).store(R10, key, R1)
    code.load_map(R1, outlets.notes).move(R2, R10).compute(R2, "+", key.offset).call(Helper.MAP_LOOKUP_ELEM)
    code.jump_if(R0, "==", 0, "is noted")
    code.load(R1, R10, _KNOWN["cookie"]).load(R2, R0, slot["cookie"]).jump_if(R1, "==", R2, "is known")
    for offset in range(0, NOTE.itemsize, 8):
        code.store(R0, Field(offset, 8), 0)
    code.label("is known").load(R2, R10, _KNOWN["at"])
    code.store(R0, slot["state"], 0).store(R0, slot["changed"], R2).store(R0, slot["state"], R8)
    code.jump_if(R8, "!=", State.SYN_SENT, "not by connect")
    code.store(R0, slot["opened"], R2).store(R0, slot["opener"], Closer.LOCAL).label("not by connect")
    code.jump_if(R7, "!=", State.SYN_RECEIVED, "not by accept").jump_if(R8, "!=", State.ESTABLISHED, "not by accept")
    # One that crossed with another's SYN came this way too, but was opened by its own call.
    code.load(R3, R0, slot["opened"]).jump_if(R3, "!=", 0, "not by accept")
    code.store(R0, slot["opened"], R2).store(R0, slot["opener"], Closer.REMOTE).label("not by accept")
    for state in _CLOSES:
        code.jump_if(R8, "==", state, "closes")
    code.jump("closes nothing").label("closes").store(R0, slot["began"], R8)
    for name in ("cgroup", "pid"):
        code.load(R2, R10, _KNOWN[name]).store(R0, slot[name], R2)
    for here, there in zip(_halves(_KNOWN["command"]), _halves(slot["command"]), strict=True):
        code.load(R2, R10, here).store(R0, there, R2)
    code.label("closes nothing").store(R0, slot["cookie"], R1).label("is noted")


def _tell(code: Assembler, btf: Btf, ring: int, counts: int) -> None:
    """Put a TRANSITION into the ring, or count it as lost."""
    slot = _slots(TRANSITION, 0)
    # skc_num is gone already when CLOSED is told (net/ipv4/tcp.c: tcp_set_state()); inet_sport is not.
    port = btf.field("tcp_sock", "inet_conn.icsk_inet.inet_sport")
    code.move(R1, R6).call(Helper.SKC_TO_TCP_SOCK).jump_if(R0, "==", 0, "end")
    code.load(R1, R0, port).from_network(R1, 16).store(R10, _KNOWN["local_port"], R1)
    code.load_map(R1, ring).move(R2, TRANSITION.itemsize).move(R3, 0).call(Helper.RINGBUF_RESERVE)
    code.jump_if(R0, "!=", 0, "has place").load_value(R1, counts, _FULL).move(R2, 1).atomic_add(R1, 0, R2).jump("end")
    code.label("has place").move(R9, R0)
    for name in ("cookie", "at", "cgroup", "pid", "namespace", "local_port"):
        code.load(R1, R10, _KNOWN[name]).store(R9, slot[name], R1)
    for here, there in zip(_halves(_KNOWN["command"]), _halves(slot["command"]), strict=True):
        code.load(R1, R10, here).store(R9, there, R1)
    code.store(R9, slot["before"], R7).store(R9, slot["after"], R8).store(R9, slot["flags"], 0)
    code.load(R1, R6, btf.field("sock", "__sk_common.skc_dport")).from_network(R1, 16)
    code.store(R9, slot["remote_port"], R1)
    code.load(R1, R6, btf.field("sock", "__sk_common.skc_family")).jump_if(R1, "==", socket.AF_INET6, "is IPv6")
    code.store(R9, slot["family"], 4).load_64(R3, MAPPED_PREFIX)
    for side, name in (("local", "skc_rcv_saddr"), ("remote", "skc_daddr")):
        high, low = _halves(slot[f"{side}_addr"])
        code.load(R1, R6, btf.field("sock", f"__sk_common.{name}")).from_network(R1, 32).compute(R1, "|", R3)
        code.store(R9, high, 0).store(R9, low, R1)
    code.jump("is told").label("is IPv6")
    for side, name in (("local", "skc_v6_rcv_saddr"), ("remote", "skc_v6_daddr")):
        its = _halves(btf.field("sock", f"__sk_common.{name}"))
        for register, here, there in zip((R4, R5), its, _halves(slot[f"{side}_addr"]), strict=True):
            code.load(register, R6, here).from_network(register, 64).store(R9, there, register)
    # R4 and R5 have the remote address: a mapped one is IPv4 on the wire.
    code.store(R9, slot["family"], 6).jump_if(R4, "!=", 0, "is told").compute(R5, ">>", 32)
    code.jump_if(R5, "!=", MAPPED_PREFIX >> 32, "is told").store(R9, slot["family"], 4)
    code.label("is told").move(R1, R9).move(R2, 0).call(Helper.RINGBUF_SUBMIT)


def _slots(layout: np.dtype[Any], base: int) -> dict[str, Field]:
    """The fields of a record that begins at `base`."""
    fields: Mapping[str, Any] = layout.fields or {}
    return {name: Field(base + int(found[1]), found[0].itemsize) for name, found in fields.items()}


def _halves(field: Field) -> tuple[Field, Field]:
    return Field(field.offset, 8), Field(field.offset + 8, 8)


_KNOWN: Final = _slots(_SCRATCH, -_SCRATCH.itemsize)
