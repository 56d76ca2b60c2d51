"""Action lists, to netlink attributes.  Back again: `ctl.codec.read_actions`.

What is sent is what the kernel answers: of check_pkt_len the list for smaller packets comes first, and a
ct action always has its zone.  Values are those that `ctl.validate_actions` accepts; of others, numbers that
are too large for their place raise OverflowError.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import Any, Final

from ctl.action import (
    Action,
    Actions,
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    LbOutput,
    Meter,
    Nat,
    Output,
    PopEth,
    PopMpls,
    PopNsh,
    PopVlan,
    Psample,
    PushEth,
    PushMpls,
    PushNsh,
    PushVlan,
    Recirc,
    Sample,
    Set,
    SetNsh,
    SetTunnel,
    TnlPop,
    TnlPush,
    Trunc,
    Userspace,
)
from ctl.codec import layouts, nsh, tunnel
from ctl.codec.nla import HOST, nest, pack, pack_uint
from ctl.codec.numbers import (
    ActionAttr,
    CheckPktLenAttr,
    CtAttr,
    DecTtlAttr,
    KeyAttr,
    NatAttr,
    PsampleAttr,
    SampleAttr,
    UserspaceAttr,
)
from ctl.errors import FlowInvalid

MOST_OCTETS: Final = 32 * 1024  # of an encoded list
LABEL_OCTETS: Final = 16

# struct ovs_action_*; what comes from a header stands in network order.
PUSH_VLAN: Final = struct.Struct(">HH")  # tpid, tci
PUSH_MPLS: Final = struct.Struct(">IH2x")  # label stack entry, type
ADD_MPLS_HEAD: Final = struct.Struct(">IH")  # the same, then flags in host order
L3_FLAG: Final = 1  # OVS_MPLS_L3_TUNNEL_FLAG_MASK
HASH: Final = struct.Struct("=II")  # algorithm, basis
MARK: Final = struct.Struct("=II")  # value, mask
TNL_PUSH: Final = struct.Struct("=IIII")  # tnl_port, out_port, size of the header, tnl_type

# Actions that are one number of 32 bits, and its name; and those that say all by being there.
NumberAction = Output | Recirc | Trunc | Meter | Drop | TnlPop | LbOutput
FlagAction = PopVlan | PopEth | CtClear | PopNsh
NUMBERS: Final[dict[type[NumberAction], tuple[ActionAttr, str]]] = {
    Output: (ActionAttr.OUTPUT, "port"),
    Recirc: (ActionAttr.RECIRC, "id"),
    Trunc: (ActionAttr.TRUNC, "max_len"),
    Meter: (ActionAttr.METER, "id"),
    Drop: (ActionAttr.DROP, "reason"),
    TnlPop: (ActionAttr.TUNNEL_POP, "port"),
    LbOutput: (ActionAttr.LB_OUTPUT, "bond"),
}
FLAGS: Final[dict[type[FlagAction], ActionAttr]] = {
    PopVlan: ActionAttr.POP_VLAN,
    PopEth: ActionAttr.POP_ETH,
    CtClear: ActionAttr.CT_CLEAR,
    PopNsh: ActionAttr.POP_NSH,
}


def encode_actions(actions: Actions) -> bytes:
    """The attributes of a list.  FlowInvalid (EMSGSIZE) for more than 32 KiB."""
    octets = _list(actions)
    if len(octets) > MOST_OCTETS:
        why = f"the list has {len(octets)} octets, at most {MOST_OCTETS} are possible"
        raise FlowInvalid(why, "actions", "recirculate, and continue in a second flow", errno=errno.EMSGSIZE)
    return octets


def _list(actions: Actions) -> bytes:
    return b"".join(_encode(action) for action in actions)


def _encode(action: Action) -> bytes:
    if isinstance(action, NumberAction):
        number, name = NUMBERS[type(action)]
        return pack_uint(number, getattr(action, name), 4)
    if isinstance(action, FlagAction):
        return pack(FLAGS[type(action)])
    return _ENCODERS[type(action)](action)


def _userspace(action: Userspace) -> bytes:
    parts = [pack_uint(UserspaceAttr.PID, action.pid, 4)]
    if action.userdata is not None:
        parts.append(pack(UserspaceAttr.USERDATA, action.userdata))
    if action.egress_tun_port is not None:
        parts.append(pack_uint(UserspaceAttr.EGRESS_TUN_PORT, action.egress_tun_port, 4))
    if action.actions:
        parts.append(pack(UserspaceAttr.ACTIONS))
    return nest(ActionAttr.USERSPACE, *parts)


def _set(action: Set) -> bytes:
    number, value = layouts.LAYOUTS[action.section].number, layouts.encode_set(action.section, action.value)
    if action.mask is None:
        return nest(ActionAttr.SET, pack(number, value))
    return nest(ActionAttr.SET_MASKED, pack(number, value + layouts.encode_set(action.section, action.mask)))


def _set_nsh(action: SetNsh) -> bytes:
    kind = ActionAttr.SET if action.mask is None else ActionAttr.SET_MASKED
    return nest(kind, nest(KeyAttr.NSH, nsh.encode(action.nsh, action.mask)))


def _add_mpls(action: AddMpls) -> bytes:
    flags = (L3_FLAG if action.l3 else 0).to_bytes(2, HOST)
    return pack(ActionAttr.ADD_MPLS, ADD_MPLS_HEAD.pack(action.lse, action.ethertype) + flags)


def _check_pkt_len(action: CheckPktLen) -> bytes:
    return nest(
        ActionAttr.CHECK_PKT_LEN,
        pack_uint(CheckPktLenAttr.PKT_LEN, action.size, 2),
        nest(CheckPktLenAttr.IF_LESS_EQUAL, _list(action.less_equal)),
        nest(CheckPktLenAttr.IF_GREATER, _list(action.greater)),
    )


def _sample(action: Sample) -> bytes:
    return nest(
        ActionAttr.SAMPLE,
        pack_uint(SampleAttr.PROBABILITY, action.probability, 4),
        nest(SampleAttr.ACTIONS, _list(action.actions)),
    )


def _psample(action: Psample) -> bytes:
    cookie = b"" if action.cookie is None else pack(PsampleAttr.COOKIE, action.cookie)
    return nest(ActionAttr.PSAMPLE, pack_uint(PsampleAttr.GROUP, action.group, 4), cookie)


def _ct(action: Ct) -> bytes:
    parts = []
    if action.commit or action.force:
        parts.append(pack(CtAttr.FORCE_COMMIT if action.force else CtAttr.COMMIT))
    parts.append(pack_uint(CtAttr.ZONE, action.zone, 2))
    if action.mark is not None:
        parts.append(pack(CtAttr.MARK, MARK.pack(*action.mark)))
    if action.label is not None:
        parts.append(pack(CtAttr.LABELS, b"".join(half.to_bytes(LABEL_OCTETS, HOST) for half in action.label)))
    if action.helper is not None:
        parts.append(pack(CtAttr.HELPER, _text(action.helper)))
    if action.eventmask is not None:
        parts.append(pack_uint(CtAttr.EVENTMASK, action.eventmask, 4))
    if action.timeout is not None:
        parts.append(pack(CtAttr.TIMEOUT, _text(action.timeout)))
    if action.nat is not None:
        parts.append(_nat(action.nat))
    return nest(ActionAttr.CT, *parts)


def _text(word: str) -> bytes:
    return word.encode() + b"\0"


def _nat(nat: Nat) -> bytes:
    parts = []
    if nat.which is not None:
        parts.append(pack(NatAttr.SRC if nat.which == "src" else NatAttr.DST))
    for number, address in ((NatAttr.IP_MIN, nat.first), (NatAttr.IP_MAX, nat.last)):
        if address is not None:
            parts.append(pack(number, address))
    for number, port in ((NatAttr.PROTO_MIN, nat.first_port), (NatAttr.PROTO_MAX, nat.last_port)):
        if port is not None:
            parts.append(pack_uint(number, port, 2))
    flags = (
        (NatAttr.PERSISTENT, nat.persistent), (NatAttr.PROTO_HASH, nat.hash), (NatAttr.PROTO_RANDOM, nat.random),
    )  # fmt: skip
    return nest(CtAttr.NAT, *parts, *(pack(number) for number, there in flags if there))


def _tnl_push(action: TnlPush) -> bytes:
    head = TNL_PUSH.pack(action.tnl_port, action.out_port, len(action.header), action.tnl_type)
    return pack(ActionAttr.TUNNEL_PUSH, head + action.header)


def _push_eth(action: PushEth) -> bytes:
    return pack(ActionAttr.PUSH_ETH, action.src.to_bytes(6, "big") + action.dst.to_bytes(6, "big"))


# Any: each takes an action of its own class.
_ENCODERS: Final[dict[type[Action], Callable[[Any], bytes]]] = {
    Userspace: _userspace,
    Set: _set,
    SetTunnel: lambda action: nest(ActionAttr.SET, nest(KeyAttr.TUNNEL, tunnel.encode(action.tunnel))),
    SetNsh: _set_nsh,
    PushVlan: lambda action: pack(ActionAttr.PUSH_VLAN, PUSH_VLAN.pack(action.tpid, action.tci)),
    PushMpls: lambda action: pack(ActionAttr.PUSH_MPLS, PUSH_MPLS.pack(action.lse, action.ethertype)),
    PopMpls: lambda action: pack_uint(ActionAttr.POP_MPLS, action.ethertype, 2, "big"),
    AddMpls: _add_mpls,
    Hash: lambda action: pack(ActionAttr.HASH, HASH.pack(action.algorithm, action.basis)),
    Sample: _sample,
    Clone: lambda action: nest(ActionAttr.CLONE, _list(action.actions)),
    CheckPktLen: _check_pkt_len,
    DecTtl: lambda action: nest(ActionAttr.DEC_TTL, nest(DecTtlAttr.ACTION, _list(action.actions))),
    Psample: _psample,
    PushEth: _push_eth,
    PushNsh: lambda action: nest(ActionAttr.PUSH_NSH, nest(KeyAttr.NSH, nsh.encode(action.nsh))),
    Ct: _ct,
    TnlPush: _tnl_push,
}
