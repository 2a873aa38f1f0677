"""From the options to a stack on a wire: the device, the addresses, the trace, the impairment, and who may do it."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import TYPE_CHECKING, Final, NamedTuple

from lastack.errors import CallError, KernelError

from .options import writing

if TYPE_CHECKING:
    from lastack.drive.blocking import Driver
    from lastack.drive.pump import Wire
    from lastack.linux.namespaces import Namespace
    from lastack.linux.tun import Tun

    from .tun_options import Wiring

Interface = IPv4Interface | IPv6Interface
Address = IPv4Address | IPv6Address

_NETWORKS: Final = (
    *(f"10.9.{third}.1/24" for third in range(256)),
    *(f"198.18.{third}.1/24" for third in range(256)),
)
"""The kernel's address and the network of the device, the first that nothing is routed to."""
_NETWORKS6: Final = tuple(f"fd09:9:{third:x}::1/64" for third in range(256))
_DEVICE: Final = "lastack0"


class Wired(NamedTuple):
    """Our TCP at one end, the kernel at the other."""

    driver: Driver
    device: str
    addresses: tuple[Address, ...]
    kernel: tuple[Interface, ...]
    netns: Namespace

    def kernel_address(self, like: Address) -> Address:
        """The kernel's address of the same family."""
        return next(one.ip for one in self.kernel if one.version == like.version)


@contextmanager
def wired(wiring: Wiring) -> Iterator[Wired]:
    """A stack on a device as the options say; the device is gone afterwards, and every connection of ours reset.

    Raises KernelError where the kernel refuses, and says then what would help; CallError where options contradict.
    """
    from lastack.drive.blocking import Driver, real_stack
    from lastack.drive.tun import TunDevice
    from lastack.linux import namespaces

    netns = namespaces.choose(wiring.netns)
    if len(netns) != 1:
        raise CallError("--netns names one namespace here: own, a name, an inode or a process id")
    with ExitStack() as leave:
        with namespaces.entered(netns[0]):
            kernel = _kernel_addresses(wiring)
            ours = _our_addresses(wiring, kernel)
            tun = _tun(wiring, kernel)
        device: Wire = TunDevice(tun)
        leave.callback(tun.close)
        if wiring.impaired:
            from lastack.drive.impair import Impaired

            device = Impaired(device, wiring.fate(), wiring.fate(), time.monotonic_ns, wiring.seed)
        if wiring.pcapng is not None:
            from lastack.drive.recorder import Recorder

            with writing(wiring.pcapng):
                file = leave.enter_context(wiring.pcapng.open("wb"))
            device = Recorder(device, file, time.time_ns, tun.name)
        driver = Driver(real_stack([str(address) for address in ours], wiring.settings), device)
        leave.callback(_reset, driver)
        yield Wired(driver, tun.name, ours, kernel, netns[0])


def _reset(driver: Driver) -> None:
    """Let no peer wait for a stack that is gone."""
    for socket in list(driver.stack.host.sockets.values()):
        socket.abort(driver.now())
    try:
        driver.flush()
    except KernelError:
        # The device has gone before us.
        return


# -- addresses


def _kernel_addresses(wiring: Wiring) -> tuple[Interface, ...]:
    from lastack.linux import interfaces

    if wiring.device:
        found = tuple(interfaces.addresses(wiring.device))
        if not found and os.path.exists(f"/proc/thread-self/net/dev_snmp6/{wiring.device}"):  # noqa: PTH110
            raise KernelError(f"{wiring.device} has no address yet; as root:\n{_configuring(wiring.device, ())}")
        if wiring.kernel_addresses:
            raise CallError("--kernel-address is for a device that is made; that of --device has its own")
        return found
    given = tuple(_interface(text) for text in wiring.kernel_addresses)
    if given:
        return given
    if wiring.addresses:
        return tuple(_beside(_address(text)) for text in wiring.addresses)
    used = interfaces.networks()
    free = []
    for candidates in (_NETWORKS, _NETWORKS6):
        for candidate in map(ip_interface, candidates):
            if not any(candidate.version == one.version and candidate.network.overlaps(one) for one in used):
                free.append(candidate)
                break
    if not free:
        raise CallError("every network that would be taken is in use: give --kernel-address and --address")
    return tuple(free)


def _our_addresses(wiring: Wiring, kernel: tuple[Interface, ...]) -> tuple[Address, ...]:
    if not wiring.addresses:
        return tuple(_other(interface) for interface in kernel)
    ours = tuple(_address(text) for text in wiring.addresses)
    for address in ours:
        same = [one for one in kernel if one.version == address.version]
        if not any(address in one.network and address != one.ip for one in same):
            there = ", ".join(map(str, same)) or "none of that family"
            raise CallError(f"the kernel would not send {address} to the device: its own address there is {there}")
    return ours


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise CallError(f"{text!r} is no address: write 10.9.0.2 or fd09::2") from None


def _interface(text: str) -> Interface:
    try:
        found = ip_interface(text)
    except ValueError:
        raise CallError(f"{text!r} is no address with the length of its prefix: write 10.9.0.1/24") from None
    if "/" not in text:
        return ip_interface(f"{text}/{24 if found.version == 4 else 64}")
    if found.network.num_addresses == 1:
        raise CallError(f"{text}: a network of one address has no room for ours")
    return found


def _beside(address: Address) -> Interface:
    """A kernel's address next to one of ours."""
    length = 24 if address.version == 4 else 64
    return ip_interface(f"{_other(ip_interface(f'{address}/{length}'))}/{length}")


def _other(interface: Interface) -> Address:
    """The first address of a network that is not this one."""
    first = interface.network.network_address
    small = interface.version == 4 and interface.network.prefixlen >= 31
    return next(one for one in (first + step for step in range(0 if small else 1, 4)) if one != interface.ip)


# -- the device


def _tun(wiring: Wiring, kernel: tuple[Interface, ...]) -> Tun:
    from lastack.linux.tun import Tun

    try:
        if wiring.device:
            return Tun(name=wiring.device, offload=not wiring.impaired)
        return Tun(map(str, kernel), offload=not wiring.impaired)
    except KernelError as error:
        number = error.__cause__.errno if isinstance(error.__cause__, OSError) else 0
        if number in (errno.EPERM, errno.EACCES):
            raise KernelError(f"{error}\n{_help(wiring, kernel)}") from error
        if number == errno.ENODEV and wiring.device:
            raise KernelError(f"there is no device {wiring.device}\n{_help(wiring, kernel)}") from error
        if number == errno.EINVAL and wiring.device:
            raise KernelError(f"{wiring.device} is no TUN device") from error
        if number == errno.EBUSY:
            raise KernelError(f"{wiring.device} is in use: another process has it") from error
        raise


def _help(wiring: Wiring, kernel: tuple[Interface, ...]) -> str:
    """What lets an ordinary user do the same."""
    import pwd

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    name = wiring.device or _DEVICE
    where = "" if wiring.netns == "own" else f" -n {wiring.netns}"
    lines = [
        "Root can make a device that is yours, once:",
        f"  ip{where} tuntap add dev {name} mode tun user {user}",
        _configuring(name, kernel, where),
    ]
    if not where:
        again = [word for word in sys.argv[1:] if word]
        if not wiring.device:
            again[2:2] = ["--device", name]
        lines += ["and then no root is needed:", f"  lastack {' '.join(again)}"]
    return "\n".join(lines)


def _configuring(name: str, kernel: tuple[Interface, ...], where: str = "") -> str:
    shown = kernel or (ip_interface(_NETWORKS[0]),)
    lines = [f"  ip{where} addr add {one} dev {name}{' nodad' if one.version == 6 else ''}" for one in shown]
    return "\n".join([*lines, f"  ip{where} link set dev {name} up"])
