"""What BPF iterators tell: small programs that the kernel runs for each thing it has, answering with what they write.

One pass over all open files names the holders of TCP sockets without a system call for every descriptor.
Source: Documentation/bpf/bpf_iterators.rst, kernel/bpf/task_iter.c.
"""

from __future__ import annotations

import socket
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.linux.bpf.assembler import R0, R1, R2, R3, R6, R7, R8, R10, Assembler, Helper
from lastack.linux.bpf.btf import Btf, Field, Kind
from lastack.linux.bpf.loader import ITERATOR, Program
from lastack.linux.bpf.syscall import require_first_pids

if TYPE_CHECKING:
    from lastack.model.record import Array

DESCRIPTOR: Final = np.dtype([("inode", "u8"), ("pid", "u4"), ("fd", "u4")])


def tcp_descriptors() -> Array:
    """Every descriptor of a TCP socket on this host, as an array of DESCRIPTOR, by process.

    Threads that share their descriptors with their process are not told apart. Raises KernelError where BPF is not
    allowed, or the kernel is older than 5.11.
    """
    return np.frombuffer(_descriptors().iterate(), DESCRIPTOR)


@cache
def _descriptors() -> Program:
    require_first_pids()
    btf = Btf.of_kernel()
    code = Assembler().move(R6, R1)
    code.load(R7, R6, btf.field("bpf_iter__task_file", "task")).jump_if(R7, "==", 0, "end")
    code.load(R8, R6, btf.field("bpf_iter__task_file", "file")).jump_if(R8, "==", 0, "end")
    code.move(R1, R8).call(Helper.SOCK_FROM_FILE).jump_if(R0, "==", 0, "end")
    code.load(R1, R0, btf.field("socket", "sk")).jump_if(R1, "==", 0, "end")
    code.load(R2, R1, btf.field("sock", "sk_protocol")).jump_if(R2, "!=", socket.IPPROTO_TCP, "end")
    code.load(R2, R1, btf.field("sock", "__sk_common.skc_family")).jump_if(R2, "==", socket.AF_INET, "is internet's")
    code.jump_if(R2, "!=", socket.AF_INET6, "end").label("is internet's")
    start = -DESCRIPTOR.itemsize
    code.load(R1, R8, btf.field("file", "f_inode")).load(R1, R1, btf.field("inode", "i_ino"))
    code.store(R10, Field(start, 8), R1)
    code.load(R1, R7, btf.field("task_struct", "tgid")).store(R10, Field(start + 8, 4), R1)
    code.load(R1, R6, btf.field("bpf_iter__task_file", "fd")).store(R10, Field(start + 12, 4), R1)
    code.load(R1, R6, btf.field("bpf_iter__task_file", "meta")).load(R1, R1, btf.field("bpf_iter_meta", "seq"))
    code.move(R2, R10).compute(R2, "+", start).move(R3, DESCRIPTOR.itemsize).call(Helper.SEQ_WRITE)
    code.label("end").move(R0, 0).exit()
    return Program.load("lastack_files", code, ITERATOR, btf.find(Kind.FUNC, "bpf_iter_task_file"))
