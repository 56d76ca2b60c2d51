"""Action lists, from netlink attributes.

Their shape is checked here: known numbers, right sizes, what must be there, how deep lists are nested.  What
a flow may have of it is for `ctl.validate_actions` to say.  Errors name the action as that does: `action 2,
clone, action 1, output`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from ctl.action import (
    MAX_DEPTH,
    Action,
    Actions,
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    DecTtl,
    Hash,
    HashAlgorithm,
    Nat,
    PopMpls,
    Psample,
    PushEth,
    PushMpls,
    PushNsh,
    PushVlan,
    Sample,
    Set,
    SetNsh,
    SetTunnel,
    TnlPush,
    Userspace,
)
from ctl.codec import layouts, nsh, tunnel
from ctl.codec.actions import (
    ADD_MPLS_HEAD,
    FLAGS,
    HASH,
    L3_FLAG,
    LABEL_OCTETS,
    MARK,
    MOST_OCTETS,
    NUMBERS,
    PUSH_MPLS,
    PUSH_VLAN,
    TNL_PUSH,
)
from ctl.codec.nla import HEADER, HOST, Attribute, attributes, by_number, needed
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

_NUMBER_OF: Final = {int(number): kind for kind, (number, _) in NUMBERS.items()}
_FLAG_OF: Final = {int(number): kind for kind, number in FLAGS.items()}
_NAME: Final = {int(number): number.name.lower() for number in ActionAttr} | {
    int(ActionAttr.SET_MASKED): "set",
    int(ActionAttr.TUNNEL_PUSH): "tnl_push",
    int(ActionAttr.TUNNEL_POP): "tnl_pop",
}
_HELPER_MOST, _TIMEOUT_MOST = 16, 32  # octets, with the zero at the end
_COOKIE_MOST: Final = 16
_HEADER_MOST: Final = 512  # of tnl_push
_ADDRESSES: Final = (4, 16)


def decode_actions(octets: bytes, at: int = 0) -> Actions:
    """The list.  ``at``: the octet of the message where its attributes begin.

    FlowInvalid; EMSGSIZE for more than 32 KiB, EOVERFLOW for lists that are nested too deep.
    """
    if len(octets) > MOST_OCTETS:
        why = f"the list has {len(octets)} octets, at most {MOST_OCTETS} are possible"
        raise FlowInvalid(why, "actions", "recirculate, and continue in a second flow", errno=errno.EMSGSIZE)
    return _list(octets, at, "", 0)


def _list(octets: bytes, at: int, before: str, depth: int) -> Actions:
    """One list, after the place ``before`` and within ``depth`` others."""
    found = attributes(octets, before.removesuffix(", ") or "actions", at)
    return tuple(_decode(attribute, number, before, depth) for number, attribute in enumerate(found, start=1))


def _decode(attribute: Attribute, number: int, before: str, depth: int) -> Action:
    name = _NAME.get(attribute.number)
    if name is None:
        why = f"unknown action, number {attribute.number}"
        raise attribute.refused(f"{before}action {number}", why)
    place = f"{before}action {number}, {name}"
    if attribute.number in _NUMBER_OF:
        return _NUMBER_OF[attribute.number](attribute.uint(place, 4))
    if attribute.number in _FLAG_OF:
        attribute.flag(place)
        return _FLAG_OF[attribute.number]()
    if attribute.number in _LISTS:
        if depth == MAX_DEPTH:
            why, hint = f"lists are nested more than {MAX_DEPTH} deep", "recirculate, and go on there"
            raise attribute.refused(place, why, hint, errno=errno.EOVERFLOW)
        return _LISTS[attribute.number](attribute, place, depth + 1)
    return _DECODERS[attribute.number](attribute, place)


def _inner(given: dict[int, Attribute], number: int, place: str, depth: int) -> Actions:
    inner = given[number]
    return _list(inner.octets, inner.at + HEADER.size, f"{place}, ", depth)


def _parts(outer: Attribute, place: str, *required: int) -> dict[int, Attribute]:
    """What an action that consists of attributes has inside.  ``required`` must be there."""
    names = {int(number): f"{place} {number.name.lower()}" for number in _PARTS[outer.number]}
    given = by_number(outer.inside(place), names, place)
    needed(given, required, names, outer)
    return given


_PARTS: Final = {
    int(ActionAttr.USERSPACE): tuple(UserspaceAttr),
    int(ActionAttr.SAMPLE): tuple(SampleAttr),
    int(ActionAttr.CT): tuple(CtAttr),
    int(ActionAttr.CHECK_PKT_LEN): tuple(CheckPktLenAttr),
    int(ActionAttr.DEC_TTL): tuple(DecTtlAttr),
    int(ActionAttr.PSAMPLE): tuple(PsampleAttr),
}


def _clone(attribute: Attribute, place: str, depth: int) -> Clone:
    return Clone(_list(attribute.octets, attribute.at + HEADER.size, f"{place}, ", depth))


def _sample(attribute: Attribute, place: str, depth: int) -> Sample:
    given = _parts(attribute, place, SampleAttr.PROBABILITY, SampleAttr.ACTIONS)
    probability = given[SampleAttr.PROBABILITY].uint(place, 4)
    return Sample(probability, _inner(given, SampleAttr.ACTIONS, place, depth))


def _check_pkt_len(attribute: Attribute, place: str, depth: int) -> CheckPktLen:
    given = _parts(attribute, place, *CheckPktLenAttr)
    return CheckPktLen(
        given[CheckPktLenAttr.PKT_LEN].uint(place, 2),
        _inner(given, CheckPktLenAttr.IF_GREATER, place, depth),
        _inner(given, CheckPktLenAttr.IF_LESS_EQUAL, place, depth),
    )


def _dec_ttl(attribute: Attribute, place: str, depth: int) -> DecTtl:
    given = _parts(attribute, place, DecTtlAttr.ACTION)
    return DecTtl(_inner(given, DecTtlAttr.ACTION, place, depth))


_LISTS: Final[dict[int, Callable[[Attribute, str, int], Action]]] = {
    int(ActionAttr.CLONE): _clone,
    int(ActionAttr.SAMPLE): _sample,
    int(ActionAttr.CHECK_PKT_LEN): _check_pkt_len,
    int(ActionAttr.DEC_TTL): _dec_ttl,
}


def _userspace(attribute: Attribute, place: str) -> Userspace:
    given = _parts(attribute, place, UserspaceAttr.PID)
    data, port = given.get(UserspaceAttr.USERDATA), given.get(UserspaceAttr.EGRESS_TUN_PORT)
    return Userspace(
        given[UserspaceAttr.PID].uint(place, 4),
        None if data is None else data.octets,
        None if port is None else port.uint(place, 4),
        UserspaceAttr.ACTIONS in given and given[UserspaceAttr.ACTIONS].flag(place),
    )


def _psample(attribute: Attribute, place: str) -> Psample:
    given = _parts(attribute, place, PsampleAttr.GROUP)
    cookie = given.get(PsampleAttr.COOKIE)
    if cookie is not None and not 1 <= len(cookie.octets) <= _COOKIE_MOST:
        raise cookie.refused(place, f"a cookie of {len(cookie.octets)} octets", "1 to 16 are possible")
    return Psample(given[PsampleAttr.GROUP].uint(place, 4), None if cookie is None else cookie.octets)


def _set(attribute: Attribute, place: str) -> Action:
    """A set action has one attribute of a key inside, whose octets a masked one has twice."""
    masked = attribute.number == ActionAttr.SET_MASKED
    found = list(attribute.inside(place))
    if len(found) != 1:
        raise attribute.refused(place, f"has {len(found)} attributes instead of one")
    (inner,) = found
    if inner.number == KeyAttr.TUNNEL:
        if masked:
            raise inner.refused("set(tunnel)", "cannot be masked", "write set(tunnel(...)) without masks")
        return SetTunnel(tunnel.decode(inner))
    if inner.number == KeyAttr.NSH:
        return SetNsh(*nsh.decode_masked(inner)) if masked else SetNsh(nsh.decode(inner))
    section = layouts.SECTION_OF.get(inner.number)
    if section is None:
        raise inner.refused(place, f"attribute {inner.number} cannot be set")
    return Set(section, *layouts.decode_set(section, inner, masked=masked))


def _push_nsh(attribute: Attribute, place: str) -> PushNsh:
    found = list(attribute.inside(place))
    if len(found) != 1 or found[0].number != KeyAttr.NSH:
        raise attribute.refused(place, "needs one nsh attribute")
    return PushNsh(nsh.decode(found[0]))


def _push_vlan(attribute: Attribute, place: str) -> PushVlan:
    return PushVlan(*PUSH_VLAN.unpack(attribute.sized(place, PUSH_VLAN.size)))


def _push_mpls(attribute: Attribute, place: str) -> PushMpls:
    return PushMpls(*PUSH_MPLS.unpack(attribute.sized(place, PUSH_MPLS.size)))


def _add_mpls(attribute: Attribute, place: str) -> AddMpls:
    octets = attribute.sized(place, ADD_MPLS_HEAD.size + 2)
    lse, ethertype = ADD_MPLS_HEAD.unpack_from(octets)
    flags = int.from_bytes(octets[ADD_MPLS_HEAD.size :], HOST)
    if flags & ~L3_FLAG:
        raise attribute.refused(place, f"unknown flags {flags:#x}")
    return AddMpls(lse, ethertype, bool(flags))


def _hash(attribute: Attribute, place: str) -> Hash:
    algorithm, basis = HASH.unpack(attribute.sized(place, HASH.size))
    if algorithm not in tuple(HashAlgorithm):
        raise attribute.refused(place, f"unknown algorithm {algorithm}")
    return Hash(HashAlgorithm(algorithm), basis)


def _push_eth(attribute: Attribute, place: str) -> PushEth:
    octets = attribute.sized(place, 12)
    return PushEth(int.from_bytes(octets[:6], "big"), int.from_bytes(octets[6:], "big"))


def _tnl_push(attribute: Attribute, place: str) -> TnlPush:
    octets = attribute.octets
    if not TNL_PUSH.size <= len(octets) <= TNL_PUSH.size + _HEADER_MOST:
        raise attribute.refused(place, f"has {len(octets)} octets")
    tnl_port, out_port, size, kind = TNL_PUSH.unpack_from(octets)
    header = octets[TNL_PUSH.size :]
    if size != len(header):
        raise attribute.refused(place, f"the header has {len(header)} octets, and says {size}")
    return TnlPush(tnl_port, out_port, kind, header)


def _ct(attribute: Attribute, place: str) -> Ct:
    given = _parts(attribute, place)
    for number in (CtAttr.COMMIT, CtAttr.FORCE_COMMIT):
        if number in given:
            given[number].flag(place)
    if CtAttr.COMMIT in given and CtAttr.FORCE_COMMIT in given:
        raise given[CtAttr.FORCE_COMMIT].refused(place, "commit and force_commit exclude each other")
    mark, labels, nat = given.get(CtAttr.MARK), given.get(CtAttr.LABELS), given.get(CtAttr.NAT)
    return Ct(
        commit=CtAttr.COMMIT in given,
        force=CtAttr.FORCE_COMMIT in given,
        zone=given[CtAttr.ZONE].uint(place, 2) if CtAttr.ZONE in given else 0,
        mark=None if mark is None else _mark(mark, place),
        label=None if labels is None else _labels(labels, place),
        helper=_text(given.get(CtAttr.HELPER), place, _HELPER_MOST),
        timeout=_text(given.get(CtAttr.TIMEOUT), place, _TIMEOUT_MOST),
        eventmask=given[CtAttr.EVENTMASK].uint(place, 4) if CtAttr.EVENTMASK in given else None,
        nat=None if nat is None else _nat(nat, place),
    )


def _mark(attribute: Attribute, place: str) -> tuple[int, int]:
    value, mask = MARK.unpack(attribute.sized(place, MARK.size))
    return value, mask


def _labels(attribute: Attribute, place: str) -> tuple[int, int]:
    octets = attribute.sized(place, 2 * LABEL_OCTETS)
    return int.from_bytes(octets[:LABEL_OCTETS], HOST), int.from_bytes(octets[LABEL_OCTETS:], HOST)


def _text(attribute: Attribute | None, place: str, most: int) -> str | None:
    """A word, with a zero behind it."""
    if attribute is None:
        return None
    word, zero, rest = attribute.octets.partition(b"\0")
    if not word or not zero or rest or len(attribute.octets) > most or not word.isascii():
        raise attribute.refused(place, f"expected a word of 1 to {most - 1} characters and a zero")
    return word.decode()


def _nat(attribute: Attribute, place: str) -> Nat:
    names = {int(number): f"{place} {number.name.lower()}" for number in NatAttr}
    given = by_number(attribute.inside(f"{place} nat"), names, f"{place} nat")
    flags = (NatAttr.SRC, NatAttr.DST, NatAttr.PERSISTENT, NatAttr.PROTO_HASH, NatAttr.PROTO_RANDOM)
    src, dst, persistent, by_hash, at_random = (
        number in given and given[number].flag(names[number]) for number in flags
    )
    if src and dst:
        raise given[NatAttr.DST].refused(place, "src and dst exclude each other", errno=errno.ERANGE)
    first, last = (
        given[number].sized(names[number], *_ADDRESSES) if number in given else None
        for number in (NatAttr.IP_MIN, NatAttr.IP_MAX)
    )
    first_port, last_port = (
        given[number].uint(names[number], 2) if number in given else None
        for number in (NatAttr.PROTO_MIN, NatAttr.PROTO_MAX)
    )
    return Nat(
        which="src" if src else "dst" if dst else None,
        first=first,
        last=last,
        first_port=first_port,
        last_port=last_port,
        persistent=persistent,
        hash=by_hash,
        random=at_random,
    )


_DECODERS: Final[dict[int, Callable[[Attribute, str], Action]]] = {
    int(ActionAttr.USERSPACE): _userspace,
    int(ActionAttr.SET): _set,
    int(ActionAttr.SET_MASKED): _set,
    int(ActionAttr.PUSH_VLAN): _push_vlan,
    int(ActionAttr.PUSH_MPLS): _push_mpls,
    int(ActionAttr.POP_MPLS): lambda attribute, place: PopMpls(attribute.uint(place, 2, "big")),
    int(ActionAttr.ADD_MPLS): _add_mpls,
    int(ActionAttr.HASH): _hash,
    int(ActionAttr.PUSH_ETH): _push_eth,
    int(ActionAttr.PUSH_NSH): _push_nsh,
    int(ActionAttr.PSAMPLE): _psample,
    int(ActionAttr.CT): _ct,
    int(ActionAttr.TUNNEL_PUSH): _tnl_push,
}
