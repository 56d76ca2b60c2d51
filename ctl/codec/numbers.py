"""The numbers of the OVS datapath's netlink interface, as <linux/openvswitch.h> has them.

Both directions, and the tests, use these.  Where OVS's header and the kernel's differ, it is said.
Commands and the flags that shape an answer are in `ctl.requests`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

FLOW_FAMILY: Final = "ovs_flow"
FLOW_VERSION: Final = 1
FLOW_GROUP: Final = "ovs_flow"  # multicast: who listens to all changes

# netlink.h: of a request's header, and of an attribute's type.
NLM_F_MULTI: Final = 0x002
NLM_F_ECHO: Final = 0x008
NLM_F_EXCL: Final = 0x200  # part of NLM_F_DUMP as well, which is why CREATE stands in for it
NLM_F_DUMP: Final = 0x300
NLM_F_CREATE: Final = 0x400
NLA_TYPE_MASK: Final = 0x3FFF  # the rest says nested, or big-endian, and is ignored


class FlowAttr(IntEnum):
    """OVS_FLOW_ATTR_*."""

    KEY = 1
    ACTIONS = 2
    STATS = 3
    TCP_FLAGS = 4
    USED = 5
    CLEAR = 6
    MASK = 7
    PROBE = 8
    UFID = 9
    UFID_FLAGS = 10
    PAD = 11


class KeyAttr(IntEnum):
    """OVS_KEY_ATTR_*."""

    ENCAP = 1
    PRIORITY = 2
    IN_PORT = 3
    ETHERNET = 4
    VLAN = 5
    ETHERTYPE = 6
    IPV4 = 7
    IPV6 = 8
    TCP = 9
    UDP = 10
    ICMP = 11
    ICMPV6 = 12
    ARP = 13
    ND = 14
    SKB_MARK = 15
    TUNNEL = 16
    SCTP = 17
    TCP_FLAGS = 18
    DP_HASH = 19
    RECIRC_ID = 20
    MPLS = 21
    CT_STATE = 22
    CT_ZONE = 23
    CT_MARK = 24
    CT_LABELS = 25
    CT_ORIG_TUPLE_IPV4 = 26
    CT_ORIG_TUPLE_IPV6 = 27
    NSH = 28
    PACKET_TYPE = 29  # of OVS's userspace; the kernel refuses it
    ND_EXTENSIONS = 30  # likewise
    TUNNEL_INFO = 31  # inside the kernel only


class TunnelAttr(IntEnum):
    """OVS_TUNNEL_KEY_ATTR_*."""

    ID = 0
    IPV4_SRC = 1
    IPV4_DST = 2
    TOS = 3
    TTL = 4
    DONT_FRAGMENT = 5
    CSUM = 6
    OAM = 7
    GENEVE_OPTS = 8
    TP_SRC = 9
    TP_DST = 10
    VXLAN_OPTS = 11
    IPV6_SRC = 12
    IPV6_DST = 13
    PAD = 14
    ERSPAN_OPTS = 15
    GTPU_OPTS = 16  # of OVS's userspace; newer kernels have another meaning


class VxlanExt(IntEnum):
    """OVS_VXLAN_EXT_*."""

    GBP = 1


class NshAttr(IntEnum):
    """OVS_NSH_KEY_ATTR_*."""

    BASE = 1
    MD1 = 2
    MD2 = 3


class ActionAttr(IntEnum):
    """OVS_ACTION_ATTR_*; the last three are of OVS's userspace."""

    OUTPUT = 1
    USERSPACE = 2
    SET = 3
    PUSH_VLAN = 4
    POP_VLAN = 5
    SAMPLE = 6
    RECIRC = 7
    HASH = 8
    PUSH_MPLS = 9
    POP_MPLS = 10
    SET_MASKED = 11
    CT = 12
    TRUNC = 13
    PUSH_ETH = 14
    POP_ETH = 15
    CT_CLEAR = 16
    PUSH_NSH = 17
    POP_NSH = 18
    METER = 19
    CLONE = 20
    CHECK_PKT_LEN = 21
    ADD_MPLS = 22
    DEC_TTL = 23
    DROP = 24
    PSAMPLE = 25
    TUNNEL_PUSH = 26
    TUNNEL_POP = 27
    LB_OUTPUT = 28


class UserspaceAttr(IntEnum):
    """OVS_USERSPACE_ATTR_*."""

    PID = 1
    USERDATA = 2
    EGRESS_TUN_PORT = 3
    ACTIONS = 4


class SampleAttr(IntEnum):
    """OVS_SAMPLE_ATTR_*."""

    PROBABILITY = 1
    ACTIONS = 2


class CtAttr(IntEnum):
    """OVS_CT_ATTR_*."""

    COMMIT = 1
    ZONE = 2
    MARK = 3
    LABELS = 4
    HELPER = 5
    NAT = 6
    FORCE_COMMIT = 7
    EVENTMASK = 8
    TIMEOUT = 9


class NatAttr(IntEnum):
    """OVS_NAT_ATTR_*."""

    SRC = 1
    DST = 2
    IP_MIN = 3
    IP_MAX = 4
    PROTO_MIN = 5
    PROTO_MAX = 6
    PERSISTENT = 7
    PROTO_HASH = 8
    PROTO_RANDOM = 9


class CheckPktLenAttr(IntEnum):
    """OVS_CHECK_PKT_LEN_ATTR_*."""

    PKT_LEN = 1
    IF_GREATER = 2
    IF_LESS_EQUAL = 3


class DecTtlAttr(IntEnum):
    """OVS_DEC_TTL_ATTR_*."""

    ACTION = 1


class PsampleAttr(IntEnum):
    """OVS_PSAMPLE_ATTR_*."""

    GROUP = 1
    COOKIE = 2
