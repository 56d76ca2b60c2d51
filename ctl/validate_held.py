"""What the datapath does not hold must be wild: rule 2 for attributes that it cannot match (`ctl.fields`)."""

from __future__ import annotations

from typing import Final

from ctl import fields
from ctl.attrs import KeyAttrs
from ctl.errors import NotSupported
from ctl.headers import is_wild

_ETHERNET_PACKET: Final = (0, 0)  # packet_type: OpenFlow's namespace, an Ethernet header in front


def held(key: KeyAttrs, mask: KeyAttrs | None) -> tuple[KeyAttrs, KeyAttrs | None]:
    """Key and mask without what the datapath does not hold.  NotSupported names what is not wild.

    A mask of None compares everything.  In a key that has eth(), packet_type(ns=0,id=0) says nothing new:
    OVS's userspace datapath writes it for every Ethernet packet, and it may have any mask.
    """
    if "eth" in key.sections and key.sections.get("packet_type") == _ETHERNET_PACKET:
        key = _without_packet_type(key)
        mask = None if mask is None else _without_packet_type(mask)
    compared = key if mask is None else mask
    for level in compared.levels():
        _check(level, exact=mask is None)
    return _reduced(key), None if mask is None else _reduced(mask)


def held_key(key: KeyAttrs) -> KeyAttrs:
    """A key that names a flow, without attributes that are all zero and not held.  NotSupported for others."""
    reduced, _ = held(key, key)
    return reduced


def _without_packet_type(attrs: KeyAttrs) -> KeyAttrs:
    sections = {name: values for name, values in attrs.sections.items() if name != "packet_type"}
    return KeyAttrs(sections, attrs.encap, attrs.tunnel, attrs.nsh)


def _check(level: KeyAttrs, *, exact: bool) -> None:
    for name in fields.NOT_HELD.keys() & level.sections.keys():
        if exact or any(level.sections[name]):
            raise _not_supported(name)
    for name, header in (("tunnel", level.tunnel), ("nsh", level.nsh)):
        if header is not None and (exact or not is_wild(header)):
            raise _not_supported(name)


def _not_supported(name: str) -> NotSupported:
    return NotSupported(f"{name} cannot be matched yet", f"leave {name} out, or give it a mask of 0")


def _reduced(attrs: KeyAttrs) -> KeyAttrs:
    """The same attributes without those that are not held."""
    if not any(level.tunnel or level.nsh or fields.NOT_HELD.keys() & level.sections.keys() for level in attrs.levels()):
        return attrs
    sections = {name: values for name, values in attrs.sections.items() if name not in fields.NOT_HELD}
    return KeyAttrs(sections, None if attrs.encap is None else _reduced(attrs.encap))
