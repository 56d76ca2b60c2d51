"""GENERATED from bpf/abi.h by ctl.devtools.gen_abi.  Do not edit.

Every structure that crosses between the datapath and userspace, as ctypes.  ``__be`` members are
big-endian types, so that both sides read the same number.  ``KEY_LEAVES`` flattens struct flow_key:
name -> (byte offset, size in bytes, byte order of the number).  ``BTF_IDS`` gives the id of each
structure in abi.btf, ``LAYOUT`` a fingerprint of all of it.
"""

from ctypes import Structure, Union, c_uint8, c_uint16, c_uint32, c_uint64
from enum import IntEnum
from typing import Final


class ActionRefBits(IntEnum):
    """enum action_ref_bits."""

    ACTIONS_AT_SHIFT = 0
    ACTIONS_UNITS_SHIFT = 32
    ACTIONS_NOT_XDP_SHIFT = 48
    ACTIONS_SERIAL_SHIFT = 49


class ActionLimit(IntEnum):
    """enum action_limit."""

    ACTIONS_IN_A_ROW = 32
    ACTION_UNITS_MAX = 2048
    NESTING_MAX = 16
    RECIRC_LIMIT = 5
    USERDATA_MAX = 128
    COOKIE_MAX = 16


class ActionType(IntEnum):
    """enum action_type."""

    ACTION_END = 0
    ACTION_OUTPUT = 1
    ACTION_DROP = 2
    ACTION_PUSH_VLAN = 3
    ACTION_POP_VLAN = 4
    ACTION_SET_ETH = 5
    ACTION_SET_IPV4 = 6
    ACTION_SET_IPV6 = 7
    ACTION_SET_TP = 8
    ACTION_RECIRC = 9
    ACTION_HASH = 10
    ACTION_TRUNC = 11
    ACTION_USERSPACE = 12
    ACTION_SET_MARK = 13
    ACTION_SET_PRIORITY = 14
    ACTION_PUSH_MPLS = 15
    ACTION_POP_MPLS = 16
    ACTION_SET_MPLS = 17
    ACTION_SET_ARP = 18
    ACTION_SET_ICMP = 19
    ACTION_SET_ND = 20
    ACTION_SAMPLE = 21
    ACTION_CLONE = 22
    ACTION_CHECK_PKT_LEN = 23
    ACTION_DEC_TTL = 24
    ACTION_METER = 25
    ACTION_PSAMPLE = 26


class ActionFlag(IntEnum):
    """enum action_flag."""

    ACTION_PLAIN_SET = 1
    ACTION_ADD_MPLS = 2
    ACTION_FIRST_CHANGES = 4
    ACTION_SECOND_CHANGES = 8


class HashAlgorithm(IntEnum):
    """enum hash_algorithm."""

    HASH_L4 = 0
    HASH_SYM_L4 = 1


class UserspaceBits(IntEnum):
    """enum userspace_bits."""

    USERSPACE_TUN_PORT_SHIFT = 0
    USERSPACE_SIZE_SHIFT = 32
    USERSPACE_HAS_USERDATA_SHIFT = 48
    USERSPACE_HAS_TUN_PORT_SHIFT = 49
    USERSPACE_ACTIONS_SHIFT = 50


class NestedBits(IntEnum):
    """enum nested_bits."""

    NESTED_FIRST_SHIFT = 0
    NESTED_SECOND_SHIFT = 32


class L2Kind(IntEnum):
    """enum l2_kind."""

    L2_NONE = 0
    L2_ETHERNET = 1


class FragKind(IntEnum):
    """enum frag_kind."""

    FRAG_NONE = 0
    FRAG_FIRST = 1
    FRAG_LATER = 2


class SizeClass(IntEnum):
    """enum size_class."""

    SIZE_S = 0
    SIZE_M = 1
    SIZE_L = 2


class CopyLimit(IntEnum):
    """enum copy_limit."""

    COPY_NESTED = 65535
    COPIES_WAITING = 256


class ProgramId(IntEnum):
    """enum program_id."""

    PROGRAM_AGAIN = 0
    PROGRAM_ACTIONS = 1
    PROGRAMS = 2


class UpcallReason(IntEnum):
    """enum upcall_reason."""

    UPCALL_MISS = 0
    UPCALL_ACTION = 1


class DpLimit(IntEnum):
    """enum dp_limit."""

    DP_ABI_VERSION = 1
    UFID_MAX_OCTETS = 16
    DP_NAME_SIZE = 16
    DP_PATH_SIZE = 96
    PORT_PLACES = 4096
    PORT_PROBES = 8
    DP_MAX_PORTS = 1024
    DP_MAX_MASKS = 256
    DP_MAX_METERS = 4096
    TCP_FLAG_BYTES = 8


class RecordState(IntEnum):
    """enum record_state."""

    RECORD_FREE = 0
    RECORD_PREPARED = 1
    RECORD_LIVE = 2
    RECORD_RETIRING = 3


class DropReason(IntEnum):
    """enum drop_reason."""

    DROP_NONE = 0
    DROP_SHORT_FRAME = 1
    DROP_NOT_A_PORT = 2
    DROP_MISS = 3
    DROP_ACTION = 4
    DROP_NO_PORT = 5
    DROP_BAD_ACTIONS = 6
    DROP_INTERNAL = 7
    DROP_EXPLICIT = 8
    DROP_EXPLICIT_ERROR = 9
    DROP_ACTION_ERROR = 10
    DROP_RECIRC_LIMIT = 11
    DROP_TOO_LONG = 12
    DROP_HAND_OVER = 13
    DROP_TRUNC = 14
    DROP_DEFERRED = 15
    DROP_METER = 16
    DROP_TTL = 17
    DROP_TOO_MANY = 18
    DROP_STALE_COPY = 19
    DROP_SEGMENTS = 20
    DROP_REASONS = 24


class PortKind(IntEnum):
    """enum port_kind."""

    PORT_NONE = 0
    PORT_NETDEV = 1
    PORT_INTERNAL = 2


class ClsactUse(IntEnum):
    """enum clsact_use."""

    CLSACT_NONE = 0
    CLSACT_FOUND = 1
    CLSACT_OWN = 2


class ChangeKind(IntEnum):
    """enum change_kind."""

    CHANGE_ADD = 1
    CHANGE_MODIFY = 2
    CHANGE_DELETE = 3
    CHANGE_CLEAR = 4
    CHANGE_FLUSH = 5


class MapId(IntEnum):
    """enum map_id."""

    MAP_META = 0
    MAP_CONTROL = 1
    MAP_MASKS = 2
    MAP_FLOWS_S = 3
    MAP_FLOWS_M = 4
    MAP_FLOWS_L = 5
    MAP_UFIDS = 6
    MAP_RECORDS = 7
    MAP_TAILS = 8
    MAP_ACTIONS = 9
    MAP_FREE_SLOTS = 10
    MAP_PORTS = 11
    MAP_PORT_OF = 12
    MAP_PORT_INFO = 13
    MAP_PORT_STATS = 14
    MAP_DP_STATS = 15
    MAP_SCRATCH = 16
    MAP_PROGRAMS = 17
    MAP_UPCALLS = 18
    MAP_UPCALL_BUFFER = 19
    MAP_TC_PROGRAMS = 20
    MAP_TC_PORTS = 21
    MAP_SAMPLES = 22
    MAP_NESTED_COPIES = 23
    MAP_METERS = 24
    MAP_METER_COUNTERS = 25
    MAP_CHANGES = 26


class ActionUnit(Structure):
    """struct action_unit: 16 bytes."""

    _fields_ = (
        ("type", c_uint8),
        ("flags", c_uint8),
        ("units", c_uint16),
        ("arg", c_uint32),
        ("wide", c_uint64),
    )


class SetEth(Structure):
    """struct set_eth: 16 bytes."""

    _fields_ = (
        ("dst", c_uint8 * 6),
        ("src", c_uint8 * 6),
        ("zero", c_uint32),
    )


class SetIpv4(Structure):
    """struct set_ipv4: 16 bytes."""

    _fields_ = (
        ("src", c_uint32.__ctype_be__),
        ("dst", c_uint32.__ctype_be__),
        ("tos", c_uint8),
        ("ttl", c_uint8),
        ("proto", c_uint8),
        ("frag", c_uint8),
        ("zero", c_uint8 * 4),
    )


class SetIpv6(Structure):
    """struct set_ipv6: 48 bytes."""

    _fields_ = (
        ("src", c_uint8 * 16),
        ("dst", c_uint8 * 16),
        ("label", c_uint32.__ctype_be__),
        ("tclass", c_uint8),
        ("hop_limit", c_uint8),
        ("proto", c_uint8),
        ("frag", c_uint8),
        ("zero", c_uint8 * 8),
    )


class SetTp(Structure):
    """struct set_tp: 4 bytes."""

    _fields_ = (
        ("src", c_uint16.__ctype_be__),
        ("dst", c_uint16.__ctype_be__),
    )


class SetIcmp(Structure):
    """struct set_icmp: 4 bytes."""

    _fields_ = (
        ("type", c_uint8),
        ("code", c_uint8),
        ("zero", c_uint8 * 2),
    )


class SetArp(Structure):
    """struct set_arp: 32 bytes."""

    _fields_ = (
        ("zero", c_uint8 * 6),
        ("op", c_uint16.__ctype_be__),
        ("sha", c_uint8 * 6),
        ("sip", c_uint8 * 4),
        ("tha", c_uint8 * 6),
        ("tip", c_uint8 * 4),
        ("end", c_uint8 * 4),
    )


class SetNd(Structure):
    """struct set_nd: 32 bytes."""

    _fields_ = (
        ("target", c_uint8 * 16),
        ("sll_zero", c_uint8 * 2),
        ("sll", c_uint8 * 6),
        ("tll_zero", c_uint8 * 2),
        ("tll", c_uint8 * 6),
    )


class KeyHot(Structure):
    """struct key_hot: 64 bytes."""

    _fields_ = (
        ("mask_id", c_uint16),
        ("in_port", c_uint16),
        ("eth_type", c_uint16.__ctype_be__),
        ("vlan_tci", c_uint16.__ctype_be__),
        ("eth_dst", c_uint8 * 6),
        ("ip_proto", c_uint8),
        ("ip_tos", c_uint8),
        ("eth_src", c_uint8 * 6),
        ("ip_ttl", c_uint8),
        ("ip_frag", c_uint8),
        ("ipv4_src", c_uint32.__ctype_be__),
        ("ipv4_dst", c_uint32.__ctype_be__),
        ("tp_src", c_uint16.__ctype_be__),
        ("tp_dst", c_uint16.__ctype_be__),
        ("tcp_flags", c_uint16.__ctype_be__),
        ("cvlan_tci", c_uint16.__ctype_be__),
        ("recirc_id", c_uint32),
        ("dp_hash", c_uint32),
        ("skb_mark", c_uint32),
        ("vlan_tpid", c_uint16.__ctype_be__),
        ("cvlan_tpid", c_uint16.__ctype_be__),
        ("ct_mark", c_uint32),
        ("ct_zone", c_uint16),
        ("ct_state", c_uint8),
        ("l2_kind", c_uint8),
    )


class KeyMidU0U0(Structure):
    _fields_ = (
        ("ipv6_src", c_uint8 * 16),
        ("ipv6_dst", c_uint8 * 16),
    )


class KeyMidU0U1(Structure):
    _fields_ = (
        ("arp_sha", c_uint8 * 6),
        ("arp_tha", c_uint8 * 6),
        ("arp_zero", c_uint8 * 20),
    )


class KeyMidU0U2(Structure):
    _fields_ = (
        ("mpls_lse", c_uint32.__ctype_be__ * 3),
        ("mpls_zero", c_uint8 * 20),
    )


class KeyMidU0(Union):
    _anonymous_ = ("u0", "u1", "u2",)
    _fields_ = (
        ("u0", KeyMidU0U0),
        ("u1", KeyMidU0U1),
        ("u2", KeyMidU0U2),
    )


class KeyMid(Structure):
    """struct key_mid: 64 bytes."""

    _anonymous_ = ("u0",)
    _fields_ = (
        ("u0", KeyMidU0),
        ("ipv6_label", c_uint32.__ctype_be__),
        ("skb_priority", c_uint32),
        ("ct_labels", c_uint8 * 16),
        ("tun_id", c_uint64.__ctype_be__),
    )


class KeyColdU0U0(Structure):
    _fields_ = (
        ("nd_target", c_uint8 * 16),
        ("nd_sll", c_uint8 * 6),
        ("nd_tll", c_uint8 * 6),
        ("nd_zero", c_uint8 * 4),
    )


class KeyColdU0U1(Structure):
    _fields_ = (
        ("ct_ipv6_src", c_uint8 * 16),
        ("ct_ipv6_dst", c_uint8 * 16),
    )


class KeyColdU0U2(Structure):
    _fields_ = (
        ("ct_ipv4_src", c_uint32.__ctype_be__),
        ("ct_ipv4_dst", c_uint32.__ctype_be__),
        ("ct_zero", c_uint8 * 24),
    )


class KeyColdU0(Union):
    _anonymous_ = ("u0", "u1", "u2",)
    _fields_ = (
        ("u0", KeyColdU0U0),
        ("u1", KeyColdU0U1),
        ("u2", KeyColdU0U2),
    )


class KeyColdU1U0(Structure):
    _fields_ = (
        ("tun_ipv6_src", c_uint8 * 16),
        ("tun_ipv6_dst", c_uint8 * 16),
    )


class KeyColdU1U1(Structure):
    _fields_ = (
        ("tun_ipv4_src", c_uint32.__ctype_be__),
        ("tun_ipv4_dst", c_uint32.__ctype_be__),
        ("tun_zero", c_uint8 * 24),
    )


class KeyColdU1(Union):
    _anonymous_ = ("u0", "u1",)
    _fields_ = (
        ("u0", KeyColdU1U0),
        ("u1", KeyColdU1U1),
    )


class KeyCold(Structure):
    """struct key_cold: 104 bytes."""

    _anonymous_ = ("u0", "u1",)
    _fields_ = (
        ("u0", KeyColdU0),
        ("u1", KeyColdU1),
        ("tun_tp_src", c_uint16.__ctype_be__),
        ("tun_tp_dst", c_uint16.__ctype_be__),
        ("tun_flags", c_uint16),
        ("tun_tos", c_uint8),
        ("tun_ttl", c_uint8),
        ("ct_tp_src", c_uint16.__ctype_be__),
        ("ct_tp_dst", c_uint16.__ctype_be__),
        ("ct_proto", c_uint8),
        ("tun_kind", c_uint8),
        ("tun_opts_kind", c_uint8),
        ("tun_opts_size", c_uint8),
        ("tun_opts", c_uint8 * 24),
    )


class FlowKey(Structure):
    """struct flow_key: 232 bytes."""

    _fields_ = (
        ("hot", KeyHot),
        ("mid", KeyMid),
        ("cold", KeyCold),
    )


class KeyHotMid(Structure):
    """struct key_hot_mid: 128 bytes."""

    _fields_ = (
        ("hot", KeyHot),
        ("mid", KeyMid),
    )


class KeyHotDigest(Structure):
    """struct key_hot_digest: 80 bytes."""

    _fields_ = (
        ("hot", KeyHot),
        ("digest", c_uint64 * 2),
    )


class Layout(Structure):
    """struct layout: 8 bytes."""

    _fields_ = (
        ("l3", c_uint16),
        ("l4", c_uint16),
        ("option", c_uint16),
        ("routed", c_uint8),
        ("zero", c_uint8),
    )


class Nest(Structure):
    """struct nest: 32 bytes."""

    _fields_ = (
        ("unit", c_uint32),
        ("units_end", c_uint32),
        ("cut", c_uint32),
        ("dp_hash", c_uint32),
        ("probability", c_uint32),
        ("mark", c_uint32),
        ("priority", c_uint32),
        ("zero", c_uint32),
    )


class Scratch(Structure):
    """struct scratch: 1288 bytes."""

    _fields_ = (
        ("key", FlowKey),
        ("masked", FlowKey),
        ("digest", KeyHotDigest),
        ("mask_id", c_uint32),
        ("retried", c_uint32),
        ("tried", c_uint32),
        ("at", Layout),
        ("in_port", c_uint32),
        ("passes", c_uint32),
        ("recirc_id", c_uint32),
        ("dp_hash", c_uint32),
        ("unit", c_uint32),
        ("units_end", c_uint32),
        ("cut", c_uint32),
        ("copies", c_uint32),
        ("size", c_uint32),
        ("probability", c_uint32),
        ("depth", c_uint32),
        ("at_end", c_uint32),
        ("let_go", c_uint32),
        ("zero", c_uint32),
        ("actions", c_uint64),
        ("slot", c_uint32),
        ("generation", c_uint32),
        ("operand", SetIpv6 * 2),
        ("header", c_uint8 * 40),
        ("nests", Nest * 16),
    )


class HandOver(Structure):
    """struct hand_over: 24 bytes."""

    _fields_ = (
        ("token", c_uint64),
        ("recirc_id", c_uint32),
        ("dp_hash", c_uint32),
        ("in_port", c_uint16),
        ("passes", c_uint16),
        ("zero", c_uint32),
    )


class CopyNote(Structure):
    """struct copy_note: 20 bytes."""

    _fields_ = (
        ("token", c_uint32),
        ("recirc_id", c_uint32),
        ("dp_hash", c_uint32),
        ("priority", c_uint32),
        ("in_port", c_uint16),
        ("passes", c_uint16),
    )


class NestedCopy(Structure):
    """struct nested_copy: 296 bytes."""

    _fields_ = (
        ("number", c_uint32),
        ("bytes", c_uint32),
        ("unit", c_uint32),
        ("units_end", c_uint32),
        ("cut", c_uint32),
        ("probability", c_uint32),
        ("dp_hash", c_uint32),
        ("recirc_id", c_uint32),
        ("passes", c_uint32),
        ("slot", c_uint32),
        ("generation", c_uint32),
        ("zero", c_uint32),
        ("actions", c_uint64),
        ("at", Layout),
        ("key", FlowKey),
    )


class Upcall(Structure):
    """struct upcall: 408 bytes."""

    _fields_ = (
        ("time_ns", c_uint64),
        ("actions", c_uint64),
        ("slot", c_uint32),
        ("generation", c_uint32),
        ("packet_size", c_uint32),
        ("frame_size", c_uint32),
        ("pid", c_uint32),
        ("tun_port", c_uint32),
        ("reason", c_uint8),
        ("userdata_size", c_uint8),
        ("has", c_uint8),
        ("zero", c_uint8),
        ("cpu", c_uint32),
        ("key", FlowKey),
        ("userdata", c_uint8 * 128),
    )


class Sample(Structure):
    """struct sample: 48 bytes."""

    _fields_ = (
        ("time_ns", c_uint64),
        ("group", c_uint32),
        ("rate", c_uint32),
        ("packet_size", c_uint32),
        ("frame_size", c_uint32),
        ("cpu", c_uint32),
        ("in_port", c_uint16),
        ("cookie_size", c_uint8),
        ("zero", c_uint8),
        ("cookie", c_uint8 * 16),
    )


class UpcallBuffer(Structure):
    """struct upcall_buffer: 16792 bytes."""

    _fields_ = (
        ("head", Upcall),
        ("packet", c_uint8 * 16384),
    )


class UfidKey(Structure):
    """struct ufid_key: 17 bytes."""

    _fields_ = (
        ("octets", c_uint8 * 16),
        ("len", c_uint8),
    )


class FlowRef(Structure):
    """struct flow_ref: 8 bytes."""

    _fields_ = (
        ("slot", c_uint32),
        ("zero", c_uint32),
    )


class FlowRecord(Structure):
    """struct flow_record: 128 bytes."""

    _fields_ = (
        ("key", KeyHot),
        ("packets", c_uint64),
        ("bytes", c_uint64),
        ("used", c_uint64),
        ("tcp_flags", c_uint8 * 8),
        ("actions", c_uint64),
        ("ufid", c_uint8 * 16),
        ("generation", c_uint32),
        ("state", c_uint8),
        ("ufid_len", c_uint8),
        ("clear_epoch", c_uint8),
        ("size_class", c_uint8),
    )


class FlowTail(Structure):
    """struct flow_tail: 184 bytes."""

    _fields_ = (
        ("mid", KeyMid),
        ("cold", KeyCold),
        ("base_packets", c_uint64),
        ("base_bytes", c_uint64),
    )


class MaskEntry(Structure):
    """struct mask_entry: 240 bytes."""

    _fields_ = (
        ("bits", FlowKey),
        ("flows", c_uint32),
        ("live", c_uint8),
        ("size_class", c_uint8),
        ("zero", c_uint16),
    )


class DpStats(Structure):
    """struct dp_stats: 264 bytes."""

    _fields_ = (
        ("hit", c_uint64),
        ("missed", c_uint64),
        ("lost", c_uint64),
        ("mask_hit", c_uint64),
        ("stale", c_uint64),
        ("upcalls", c_uint64),
        ("upcalls_lost", c_uint64),
        ("samples", c_uint64),
        ("samples_lost", c_uint64),
        ("drops", c_uint64 * 24),
    )


class PortStats(Structure):
    """struct port_stats: 40 bytes."""

    _fields_ = (
        ("rx_packets", c_uint64),
        ("rx_bytes", c_uint64),
        ("tx_packets", c_uint64),
        ("tx_bytes", c_uint64),
        ("rx_dropped", c_uint64),
    )


class BpfSpinLock(Structure):
    """struct bpf_spin_lock: 4 bytes."""

    _fields_ = (
        ("val", c_uint32),
    )


class MeterRecord(Structure):
    """struct meter_record: 80 bytes."""

    _fields_ = (
        ("lock", BpfSpinLock),
        ("rate", c_uint32),
        ("capacity", c_uint64),
        ("tokens", c_uint64),
        ("time_ms", c_uint64),
        ("fill_ms", c_uint64),
        ("burst", c_uint32),
        ("kbps", c_uint32),
        ("base_packets", c_uint64),
        ("base_bytes", c_uint64),
        ("base_exceeded_packets", c_uint64),
        ("base_exceeded_bytes", c_uint64),
    )


class MeterCounters(Structure):
    """struct meter_counters: 40 bytes."""

    _fields_ = (
        ("packets", c_uint64),
        ("bytes", c_uint64),
        ("exceeded_packets", c_uint64),
        ("exceeded_bytes", c_uint64),
        ("used_ms", c_uint64),
    )


class PortPlace(Structure):
    """struct port_place: 8 bytes."""

    _fields_ = (
        ("ifindex", c_uint32),
        ("port", c_uint32),
    )


class PortInfo(Structure):
    """struct port_info: 48 bytes."""

    _fields_ = (
        ("name", c_uint8 * 16),
        ("device", c_uint8 * 16),
        ("ifindex", c_uint32),
        ("kind", c_uint8),
        ("generic", c_uint8),
        ("tc_only", c_uint8),
        ("clsact", c_uint8),
        ("no_redirect", c_uint8),
        ("zero", c_uint8 * 7),
    )


class DpControl(Structure):
    """struct dp_control: 120 bytes."""

    _fields_ = (
        ("n_masks", c_uint32),
        ("dirty", c_uint32),
        ("owner", c_uint32),
        ("n_flows", c_uint32),
        ("n_free_slots", c_uint32),
        ("high_slot", c_uint32),
        ("high_unit", c_uint32),
        ("listener", c_uint32),
        ("sampler", c_uint32),
        ("free_units", c_uint32 * 12),
        ("zero", c_uint32),
        ("luck", c_uint64),
        ("generation", c_uint64),
        ("change_generation", c_uint64),
        ("next_change", c_uint64),
    )


class Change(Structure):
    """struct change: 32 bytes."""

    _fields_ = (
        ("generation", c_uint64),
        ("slot", c_uint32),
        ("kind", c_uint8),
        ("by_key", c_uint8),
        ("size", c_uint8),
        ("part", c_uint8),
        ("name", c_uint8 * 16),
    )


class Intent(Structure):
    """struct intent: 16 bytes."""

    _fields_ = (
        ("slot", c_uint32),
        ("kind", c_uint32),
        ("actions", c_uint64),
    )


class DpMeta(Structure):
    """struct dp_meta: 176 bytes."""

    _fields_ = (
        ("abi_version", c_uint32),
        ("layout", c_uint32),
        ("max_flows", c_uint32),
        ("max_masks", c_uint32),
        ("max_units", c_uint32),
        ("tick_ns", c_uint32),
        ("tick_zero_ns", c_uint64),
        ("netns_inode", c_uint64),
        ("token", c_uint64),
        ("netns_path", c_uint8 * 96),
        ("name", c_uint8 * 16),
        ("program_tag", c_uint8 * 16),
    )


KEY_LEAVES: Final[dict[str, tuple[int, int, str]]] = {
    "mask_id": (0, 2, "little"),
    "in_port": (2, 2, "little"),
    "eth_type": (4, 2, "big"),
    "vlan_tci": (6, 2, "big"),
    "eth_dst": (8, 6, "big"),
    "ip_proto": (14, 1, "little"),
    "ip_tos": (15, 1, "little"),
    "eth_src": (16, 6, "big"),
    "ip_ttl": (22, 1, "little"),
    "ip_frag": (23, 1, "little"),
    "ipv4_src": (24, 4, "big"),
    "ipv4_dst": (28, 4, "big"),
    "tp_src": (32, 2, "big"),
    "tp_dst": (34, 2, "big"),
    "tcp_flags": (36, 2, "big"),
    "cvlan_tci": (38, 2, "big"),
    "recirc_id": (40, 4, "little"),
    "dp_hash": (44, 4, "little"),
    "skb_mark": (48, 4, "little"),
    "vlan_tpid": (52, 2, "big"),
    "cvlan_tpid": (54, 2, "big"),
    "ct_mark": (56, 4, "little"),
    "ct_zone": (60, 2, "little"),
    "ct_state": (62, 1, "little"),
    "l2_kind": (63, 1, "little"),
    "ipv6_src": (64, 16, "big"),
    "ipv6_dst": (80, 16, "big"),
    "arp_sha": (64, 6, "big"),
    "arp_tha": (70, 6, "big"),
    "arp_zero": (76, 20, "big"),
    "mpls_lse": (64, 12, "big"),
    "mpls_zero": (76, 20, "big"),
    "ipv6_label": (96, 4, "big"),
    "skb_priority": (100, 4, "little"),
    "ct_labels": (104, 16, "big"),
    "tun_id": (120, 8, "big"),
    "nd_target": (128, 16, "big"),
    "nd_sll": (144, 6, "big"),
    "nd_tll": (150, 6, "big"),
    "nd_zero": (156, 4, "big"),
    "ct_ipv6_src": (128, 16, "big"),
    "ct_ipv6_dst": (144, 16, "big"),
    "ct_ipv4_src": (128, 4, "big"),
    "ct_ipv4_dst": (132, 4, "big"),
    "ct_zero": (136, 24, "big"),
    "tun_ipv6_src": (160, 16, "big"),
    "tun_ipv6_dst": (176, 16, "big"),
    "tun_ipv4_src": (160, 4, "big"),
    "tun_ipv4_dst": (164, 4, "big"),
    "tun_zero": (168, 24, "big"),
    "tun_tp_src": (192, 2, "big"),
    "tun_tp_dst": (194, 2, "big"),
    "tun_flags": (196, 2, "little"),
    "tun_tos": (198, 1, "little"),
    "tun_ttl": (199, 1, "little"),
    "ct_tp_src": (200, 2, "big"),
    "ct_tp_dst": (202, 2, "big"),
    "ct_proto": (204, 1, "little"),
    "tun_kind": (205, 1, "little"),
    "tun_opts_kind": (206, 1, "little"),
    "tun_opts_size": (207, 1, "little"),
    "tun_opts": (208, 24, "big"),
}

BTF_IDS: Final[dict[str, int]] = {
    "action_unit": 2,
    "set_eth": 15,
    "set_ipv4": 21,
    "set_ipv6": 27,
    "set_tp": 33,
    "set_icmp": 38,
    "set_arp": 43,
    "set_nd": 47,
    "key_hot": 51,
    "key_mid": 55,
    "key_cold": 66,
    "flow_key": 78,
    "key_hot_mid": 82,
    "key_hot_digest": 86,
    "layout": 91,
    "nest": 95,
    "scratch": 99,
    "hand_over": 106,
    "copy_note": 110,
    "nested_copy": 114,
    "upcall": 118,
    "sample": 123,
    "upcall_buffer": 127,
    "ufid_key": 132,
    "flow_ref": 136,
    "flow_record": 140,
    "flow_tail": 144,
    "mask_entry": 148,
    "dp_stats": 152,
    "port_stats": 157,
    "bpf_spin_lock": 161,
    "meter_record": 165,
    "meter_counters": 169,
    "port_place": 173,
    "port_info": 177,
    "dp_control": 182,
    "change": 187,
    "intent": 191,
    "dp_meta": 195,
    "__u8": 3,
    "__u16": 5,
    "__u32": 7,
    "__u64": 9,
}

LAYOUT: Final = 0xbac19689
