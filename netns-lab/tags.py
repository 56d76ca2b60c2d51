"""A host's devices for the VLANs of a trunk: veth pairs, and tc programs that put tags on and take them off.

                     eth0.10 ══ eth0-10 ── tag on  ──> eth0 ══ the datapath's port
    addresses are here                  <── tag off ──

Not the kernel's own VLAN devices, because not every kernel on which the datapath runs has them (8021q is
a module), and one way that is always taken is better tested than two.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from ctl.errors import UsageError
from ctl.kernel import libbpf
from ctl.ports import Links, VethEnd, disable_ipv6
from ctl.validate import TPIDS
from netns_lab.bytecode import instruction
from netns_lab.topology import Interface

_VLAN_PUSH, _VLAN_POP, _REDIRECT = 18, 19, 23  # helpers
_PRESENT, _TCI, _TPID = 20, 24, 28  # in struct __sk_buff
_DROP, _NEXT = 2, -1  # TC_ACT_SHOT, TC_ACT_UNSPEC
_TPID_VALUE: Final = socket.htons(TPIDS[0])
_VID: Final = 0xFFF


def create_tagged(links: Links, interface: Interface) -> None:
    """Make the device of a tagged interface, down; its frames have the tag on the cable's device, which is there."""
    below, tag = interface.device.name, interface.address.tag
    if tag is None:
        raise UsageError(f"{interface.name} has no tag")
    inner = inner_name(interface)
    mtu = interface.device.mtu
    links.create_veth(VethEnd(name=interface.name, mac=interface.device.mac, mtu=mtu), VethEnd(name=inner, mtu=mtu))
    disable_ipv6(links.ns, inner)
    links.set_up(inner)
    _run(links, inner, "tag_on", _tag_on(tag, links.ns.ifindex(below)), 1)
    _run(links, below, f"tag_off_{tag}", _tag_off(tag, links.ns.ifindex(inner)), 1 + tag)


def inner_name(interface: Interface) -> str:
    """The other end of a tagged interface's veth pair."""
    return interface.name.replace(".", "-")


def _run(links: Links, device: str, name: str, code: bytes, priority: int) -> None:
    fd = libbpf.prog_load(libbpf.PROG_SCHED_CLS, name, code)
    try:
        links.attach_classifier(device, fd, name, priority=priority)
    finally:
        os.close(fd)


def _tag_on(tag: int, ifindex: int) -> bytes:
    """Put the tag on, and send by a device."""
    return b"".join(
        (
            instruction(0xB7, 2, value=_TPID_VALUE),
            instruction(0xB7, 3, value=tag),
            instruction(0x85, value=_VLAN_PUSH),
            instruction(0x55, 0, offset=4),  # it failed: drop
            *_redirect(ifindex),
            instruction(0xB7, 0, value=_DROP),
            instruction(0x95),
        )
    )


def _tag_off(tag: int, ifindex: int) -> bytes:
    """Take that tag off and send by a device; leave every other frame to the next program."""
    return b"".join(
        (
            instruction(0x61, 2, 1, _PRESENT),
            instruction(0x15, 2, offset=11),  # none: next
            instruction(0x61, 2, 1, _TPID),
            instruction(0x55, 2, offset=9, value=_TPID_VALUE),
            instruction(0x61, 2, 1, _TCI),
            instruction(0x57, 2, value=_VID),
            instruction(0x55, 2, offset=6, value=tag),
            instruction(0x85, value=_VLAN_POP),
            instruction(0x55, 0, offset=6),  # it failed: drop
            *_redirect(ifindex),
            instruction(0xB7, 0, value=_NEXT),
            instruction(0x95),
            instruction(0xB7, 0, value=_DROP),
            instruction(0x95),
        )
    )


def _redirect(ifindex: int) -> tuple[bytes, ...]:
    return (
        instruction(0xB7, 1, value=ifindex),
        instruction(0xB7, 2),
        instruction(0x85, value=_REDIRECT),
        instruction(0x95),
    )
