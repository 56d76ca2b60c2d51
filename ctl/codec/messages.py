"""Flow messages: requests and answers of the ovs_flow family, behind the netlink header.

    genlmsghdr    command u8, version u8, zero u16
    ovs_header    dp_ifindex i32
    attributes    OVS_FLOW_ATTR_*

As the kernel reads them, unknown attributes are passed over.  Unlike there, one that is given twice, or is
cut short, is refused: a DEL without its UFID would remove every flow.
"""

from __future__ import annotations

import errno
import struct
from typing import Final

from ctl import fields
from ctl.action import Actions
from ctl.codec.actions import encode_actions
from ctl.codec.keys import decode_key, decode_mask, encode_key, encode_mask, key_attrs, mask_attrs
from ctl.codec.layouts import LAYOUTS
from ctl.codec.nla import HEADER, Attribute, attributes, nest, pack, pack_uint, size_of
from ctl.codec.numbers import FLOW_VERSION, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_EXCL, FlowAttr
from ctl.codec.read_actions import decode_actions
from ctl.errors import FlowInvalid
from ctl.flow import FlowKey, Match
from ctl.requests import TERSE, Command, FlowReply, FlowRequest, Omit

HEADERS: Final = struct.Struct("=BBHi")
NETLINK_HEADER: Final = 16
_STATS: Final = struct.Struct("=QQ")  # packets, bytes
_NAMES: Final = {int(number): number.name.lower() for number in FlowAttr}


def decode_request(payload: bytes, flags: int) -> tuple[int, FlowRequest]:
    """The datapath's ifindex, and the request.  ``payload``: what stands behind a netlink header of ``flags``.

    Only what the command looks at is read: of GET and DEL neither mask nor actions, of a dump no key either.
    FlowInvalid.
    """
    if len(payload) < HEADERS.size:
        raise FlowInvalid(f"has {len(payload)} octets, its headers have {HEADERS.size}", "message")
    number, _, _, ifindex = HEADERS.unpack_from(payload)
    if number not in tuple(Command):
        raise FlowInvalid(f"unknown command {number}", "message", errno=errno.EOPNOTSUPP)
    command = Command(number)
    given = _given(payload[HEADERS.size :])
    dump = command is Command.GET and flags & NLM_F_DUMP == NLM_F_DUMP
    key = None if dump else given.get(FlowAttr.KEY)
    changes = command in (Command.NEW, Command.SET)
    attrs = None if key is None else decode_key(key.octets, key.at + HEADER.size)
    mask = given.get(FlowAttr.MASK) if changes else None
    actions = given.get(FlowAttr.ACTIONS) if changes else None
    ufid = given.get(FlowAttr.UFID)
    return ifindex, FlowRequest(
        command=command,
        key=attrs,
        mask=None if attrs is None or mask is None else decode_mask(mask.octets, attrs, mask.at + HEADER.size),
        actions=None if actions is None else decode_actions(actions.octets, actions.at + HEADER.size),
        ufid=None if ufid is None else ufid.octets,
        omit=_omit(given),
        create=command is Command.NEW and bool(flags & (NLM_F_CREATE | NLM_F_EXCL)),
        echo=bool(flags & NLM_F_ECHO),
        clear=FlowAttr.CLEAR in given and _sized(given[FlowAttr.CLEAR], 0),
        probe=FlowAttr.PROBE in given and _sized(given[FlowAttr.PROBE], 0),
    )


def _given(octets: bytes) -> dict[int, Attribute]:
    """The known attributes by their numbers."""
    given: dict[int, Attribute] = {}
    for attribute in attributes(octets, "message", NETLINK_HEADER + HEADERS.size):
        if attribute.number in given:
            raise attribute.refused(_NAMES[attribute.number], "given twice")
        if attribute.number in _NAMES and attribute.number != FlowAttr.PAD:
            given[attribute.number] = attribute
    return given


def _omit(given: dict[int, Attribute]) -> Omit:
    """What the answer shall leave out; other bits mean nothing."""
    flags = given.get(FlowAttr.UFID_FLAGS)
    if flags is None:
        return Omit.NOTHING
    _sized(flags, 4)
    return Omit(flags.uint("ufid_flags", 4) & TERSE)


def _sized(attribute: Attribute, size: int) -> bool:
    """True, for an attribute of the right size.  The kernel's policy says ERANGE for others."""
    if len(attribute.octets) == size:
        return True
    why = f"has {len(attribute.octets)} octets instead of {size}"
    raise attribute.refused(_NAMES[attribute.number], why, errno=errno.ERANGE)


def encode_request(request: FlowRequest, ifindex: int) -> tuple[bytes, int]:
    """What stands behind the netlink header, and the flags of that; the attributes in the order of OVS."""
    parts = []
    if request.ufid is not None:
        parts.append(pack(FlowAttr.UFID, request.ufid))
    if request.omit:
        parts.append(pack_uint(FlowAttr.UFID_FLAGS, request.omit, 4))
    if request.key is not None:
        parts.append(nest(FlowAttr.KEY, encode_key(request.key)))
    if request.mask is not None:
        parts.append(nest(FlowAttr.MASK, encode_mask(request.mask)))
    if request.actions is not None:
        parts.append(nest(FlowAttr.ACTIONS, encode_actions(request.actions)))
    parts += [pack(number) for number, there in _flags(request) if there]
    flags = (NLM_F_CREATE if request.create else 0) | (NLM_F_ECHO if request.echo else 0)
    return _headers(request.command, ifindex) + b"".join(parts), flags


def _flags(request: FlowRequest) -> tuple[tuple[FlowAttr, bool], ...]:
    return (FlowAttr.CLEAR, request.clear), (FlowAttr.PROBE, request.probe)


def _headers(command: Command, ifindex: int) -> bytes:
    return HEADERS.pack(command, FLOW_VERSION, 0, ifindex)


def encode_reply(reply: FlowReply, ifindex: int) -> bytes:
    """What stands behind the netlink header of an answer about one flow, as the kernel sends it.

    Its name: the UFID, or the concrete key, which is never left out; beside a UFID the masked key; the mask;
    USED, STATS and TCP_FLAGS where there are any; the actions.
    """
    parts = [_headers(reply.command, ifindex)]
    if reply.ufid is not None:
        parts.append(pack(FlowAttr.UFID, reply.ufid.octets))
    if reply.key is not None:
        parts.append(_key(reply.key))
    if reply.mask is not None and reply.match is not None:
        parts.append(nest(FlowAttr.MASK, encode_mask(mask_attrs(Match(reply.match.masked, reply.mask)))))
    if reply.used_ms is not None:
        parts.append(pack_uint(FlowAttr.USED, reply.used_ms, 8))
    if reply.counts is not None:
        parts.append(pack(FlowAttr.STATS, _STATS.pack(*reply.counts)))
    if reply.tcp_flags is not None:
        parts.append(pack_uint(FlowAttr.TCP_FLAGS, reply.tcp_flags, 1))
    if reply.actions is not None:
        parts.append(_actions(reply.actions))
    return b"".join(parts)


def _key(key: FlowKey) -> bytes:
    return nest(FlowAttr.KEY, encode_key(key_attrs(key)))


def _actions(actions: Actions) -> bytes:
    return nest(FlowAttr.ACTIONS, encode_actions(actions))


def _most_key_octets() -> int:
    """No key has more: every section there is, and two tags, each with a type and what it encapsulates."""
    sections = sum(size_of(layout.size) for layout in LAYOUTS.values())
    tags = len(fields.TAGS) * (size_of(LAYOUTS["eth_type"].size) + size_of(LAYOUTS["vlan"].size) + size_of(0))
    return size_of(sections + tags)


MOST_KEY_OCTETS: Final = _most_key_octets()
MOST_STATS_OCTETS: Final = size_of(8) + size_of(_STATS.size) + size_of(1)


def reply_size(reply: FlowReply) -> int:
    """The most octets that `encode_reply` can need for this flow, whatever its statistics are by then.

    Keys and masks count for the largest there are; the rest is exact.
    """
    size = HEADERS.size + MOST_STATS_OCTETS
    if reply.ufid is not None:
        size += size_of(len(reply.ufid.octets))
    size += MOST_KEY_OCTETS * ((reply.key is not None) + (reply.mask is not None))
    if reply.actions is not None:
        size += len(_actions(reply.actions))
    return size
