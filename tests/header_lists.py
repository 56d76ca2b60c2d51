"""Hypothesis strategies for lists of header actions: labels, and sets of ARP, MPLS, ICMP and neighbour discovery.

What is drawn are actions of any kind; those that the rules refuse where they would stand are left out, so that every
list is one that a flow of the match can have.
"""

from hypothesis import strategies as st

from ctl import fields
from ctl.action import AddMpls, Output, PopMpls, PopVlan, PushMpls, PushVlan, Set, is_fixed
from ctl.errors import FlowInvalid
from ctl.flow import FlowKey, Match
from ctl.packet import extract
from ctl.validate import ETH_ARPS, ETH_IPV4, ETH_IPV6, ETH_MPLS
from ctl.validate_actions import check_actions
from tests.frames import arp, icmp, mac, mpls, nd_message, number, octets, typed
from tests.unit.strategies import masks, values

SECTIONS = ("mpls", "arp", "icmp", "icmpv6", "nd")
EXACT = FlowKey.of(
    eth_type=0xFFFF, vlan_tci=0xFFFF, ip_proto=0xFF, ip_frag=0xFF, l2_kind=0xFF, tp_src=0xFFFF, mpls_lse=(1 << 96) - 1
)
labels = st.integers(0, 0xFFFFFFFF)


@st.composite
def sets(draw, sections=SECTIONS):
    """A plain or a masked set of one of these sections."""
    section = draw(st.sampled_from(sections))
    rows = fields.SET_ROWS[section]
    value = tuple(draw(values(row)) for row in rows)
    if draw(st.booleans()):
        return Set(section, value)
    mask = tuple(0 if is_fixed(row) else draw(masks(row)) for row in rows)
    return Set(section, tuple(v & m for v, m in zip(value, mask, strict=True)), mask)


label_actions = st.one_of(
    st.builds(PushMpls, labels, st.sampled_from(ETH_MPLS)),
    st.builds(AddMpls, labels, st.sampled_from(ETH_MPLS), st.just(True)),
    st.builds(PopMpls, st.sampled_from((*ETH_MPLS, ETH_IPV4, ETH_IPV6, ETH_ARPS[0], 0x8100, 38))),
)
others = st.just(PopVlan()) | st.just(PushVlan(0x88A8, 0x1005)) | sets(("eth", "ipv6", "udp"))
actions = st.one_of(label_actions, label_actions, sets(), sets(), others)


LABELS = (PushMpls, AddMpls, PopMpls)


@st.composite
def lists(draw, match):
    """Up to nine header actions that a flow of this match can have, one after the other.

    None with labels behind two tags: a rule takes a frame for untagged once one tag is popped, and there the tc hook
    gives up.
    """
    listed, tags = (), sum(bool(match.key[leaf]) for leaf in ("vlan_tci", "cvlan_tci"))
    for action in draw(st.lists(actions, min_size=1, max_size=9)):
        try:
            check_actions((*listed, action), match.masked, match.mask)
        except FlowInvalid:
            continue
        if isinstance(action, LABELS) and tags > 1:
            continue
        tags = max(0, tags + isinstance(action, PushVlan) - isinstance(action, PopVlan))
        listed = (*listed, action)
    return listed


def ip(protocol, payload, *, version=4):
    """IP without options before a payload."""

    def packet(parts):
        word, body = parts
        if version == 4:
            return b"\x45" + word[:1] + bytes(4) + b"\0\0" + word[1:2] + bytes((protocol,)) + word + body
        return b"\x60" + bytes(5) + bytes((protocol, 64)) + word * 4 + body

    return st.tuples(octets(10) if version == 4 else octets(8), payload).map(packet)


tag = number(st.sampled_from((0x8100, 0x88A8)), 2).flatmap(lambda tpid: octets(2).map(lambda tci: tpid + tci))
snap = st.just(b"\0\x26\xaa\xaa\x03\0\0\0")
bodies = st.one_of(
    arp.map(lambda body: b"\x08\x06" + body),
    mpls.map(lambda body: b"\x88\x47" + body),
    ip(1, icmp).map(lambda body: b"\x08\0" + body),
    ip(58, nd_message | nd_message | icmp, version=6).map(lambda body: b"\x86\xdd" + body),
    typed,
)


@st.composite
def frames(draw):
    """A frame that has what these actions change, mostly; behind up to two tags, or in SNAP, and at times cut short."""
    before = draw(mac) + draw(mac) + b"".join(draw(st.lists(tag, max_size=2)))
    before += draw(snap) if draw(st.integers(0, 9)) == 0 else b""
    frame = before + draw(bodies)
    cut = draw(st.integers(14, len(frame))) if draw(st.integers(0, 4)) == 0 else len(frame)
    return frame[:cut].ljust(14, b"\0")


@st.composite
def cases(draw, in_port=1, out_port=2):
    """A frame, a match for it, and a list that ends in an output."""
    frame = draw(frames())
    match = Match(extract(frame, in_port), EXACT)
    return frame, match, (*draw(lists(match)), Output(out_port))
