"""Attributes written out by hand, from the layouts of <linux/openvswitch.h>, for a little-endian host.

Each attribute is its length with the header (u16), its type (u16), its octets, and zeros up to a multiple of
four.  Blanks and the order of lines mean nothing.  What stands in network order is marked `be`.
"""

from ctl.action import (
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    HashAlgorithm,
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
from ctl.headers import GeneveOption, Nsh, Tunnel, TunnelFlag

MAC_1, MAC_2 = "020000000001", "020000000002"
ETH = f"eth(src={bytes.fromhex(MAC_1).hex(':')},dst={bytes.fromhex(MAC_2).hex(':')})"
FD00_1, FD00_2 = "fd00" + 27 * "0" + "1", "fd00" + 27 * "0" + "2"

# By the text of an attribute; of a key, so there are no masks.
KEYS = {
    "recirc_id(0x1)": "0800 1400  01000000",
    "dp_hash(0x2)": "0800 1300  02000000",
    "skb_priority(0x3)": "0800 0200  03000000",
    "in_port(4)": "0800 0300  04000000",
    "skb_mark(0x5)": "0800 0f00  05000000",
    # src, dst
    ETH: f"1000 0400  {MAC_1} {MAC_2}",
    # be16
    "eth_type(0x0800)": "0600 0600  0800  0000",
    # be16: pcp 3 bits, present 1, vid 12
    "vlan(vid=5,pcp=3)": "0600 0500  7005  0000",
    # be32 src, dst; proto, tos, ttl, frag
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0x4,ttl=64,frag=first)": "1000 0700  0a000001 0a000002 06 04 40 01",
    # src, dst; be32 label; proto, tclass, hlimit, frag
    "ipv6(src=fd00::1,dst=fd00::2,label=0x12345,proto=17,tclass=0x8,hlimit=255,frag=later)": (
        f"2c00 0800  {FD00_1} {FD00_2} 00012345 11 08 ff 02"
    ),
    "tcp(src=1,dst=80)": "0800 0900  0001 0050",
    "udp(src=1,dst=80)": "0800 0a00  0001 0050",
    "icmp(type=8,code=1)": "0600 0b00  08 01  0000",
    "icmpv6(type=135,code=1)": "0600 0c00  87 01  0000",
    # be32 sip, tip; be16 op; sha, tha; 2 octets that fill the struct
    "arp(sip=10.0.0.1,tip=10.0.0.2,op=2,sha=02:00:00:00:00:01,tha=02:00:00:00:00:02)": (
        f"1c00 0d00  0a000001 0a000002 0002 {MAC_1} {MAC_2} 0000"
    ),
    # target, sll, tll
    "nd(target=fd00::1,sll=02:00:00:00:00:01,tll=02:00:00:00:00:02)": f"2000 0e00  {FD00_1} {MAC_1} {MAC_2}",
    "sctp(src=1,dst=80)": "0800 1100  0001 0050",
    # be16, 12 bits
    "tcp_flags(syn|ack)": "0600 1200  0012  0000",
    # be32 for each entry: label 20 bits, tc 3, bottom of stack 1, ttl 8
    "mpls(label=1,tc=2,ttl=3,bos=1)": "0800 1500  00001503",
    "mpls(label=1,tc=2,ttl=3,bos=0,label=4,tc=0,ttl=5,bos=1)": "0c00 1500  00001403 00004105",
    "eth_type(0x88a8),vlan(vid=1),encap(eth_type(0x8100),vlan(vid=2),encap(eth_type(0x0806)))": (
        "0600 0600 88a8 0000  0600 0500 1001 0000"
        "2000 0100  0600 0600 8100 0000  0600 0500 1002 0000  0c00 0100  0600 0600 0806 0000"
    ),
}

# By section and the numbers of its rows: what the datapath does not match.
NOT_HELD = {
    ("ct_state", (0x21,)): "0800 1600  21000000",
    ("ct_zone", (5,)): "0600 1700  0500  0000",
    ("ct_mark", (6,)): "0800 1800  06000000",
    # the lowest octet first
    ("ct_label", (0x10000000000000002,)): "1400 1900  02 00000000000000 01 00000000000000",
    # be32 src, dst; be16 ports; proto; 3 octets that fill the struct
    ("ct_tuple4", (0x0A000001, 0x0A000002, 6, 1, 80)): "1400 1a00  0a000001 0a000002 0001 0050 06 000000",
    ("ct_tuple6", (int(FD00_1, 16), int(FD00_2, 16), 6, 1, 80)): (f"2c00 1b00  {FD00_1} {FD00_2} 0001 0050 06 000000"),
    # be16 namespace, be16 type
    ("packet_type", (1, 0x0800)): "0800 1d00  0001 0800",
    # be32, option type, 3 octets that fill the struct
    ("nd_ext", (0x80000000, 1)): "0c00 1e00  80000000 01 000000",
}

_NSH = Nsh(flags=1, ttl=63, mdtype=1, np=3, spi=0x123456, si=7, context=bytes(range(16)))
# flags, ttl, mdtype, np; be32 path: spi 24 bits, si 8
_NSH_BASE = "01 3f 01 03 12345607"
_MD1 = "000102030405060708090a0b0c0d0e0f"
_TUNNEL = SetTunnel(
    Tunnel(
        tun_id=0x123456789ABCDEF0,
        ipv4_src=0x0A000001,
        ipv4_dst=0x0A000002,
        tos=1,
        ttl=64,
        tp_dst=4789,
        flags=TunnelFlag.KEY | TunnelFlag.DF | TunnelFlag.CSUM | TunnelFlag.OAM,
        gbp_id=1,
        gbp_flags=2,
    )
)
_GENEVE = SetTunnel(
    Tunnel(
        ipv6_src=int(FD00_1, 16),
        ipv6_dst=int(FD00_2, 16),
        ttl=1,
        tp_src=1,
        geneve=(GeneveOption(0x0102, 0x80, bytes.fromhex("aabbccdd")), GeneveOption(0xFFFF, 1, b"")),
    )
)
_CT = Ct(
    commit=True,
    zone=5,
    mark=(1, 0xFF),
    label=(1, 3 << 64),
    helper="ftp",
    timeout="tp",
    eventmask=4,
    nat=Nat(
        which="src",
        first=bytes.fromhex("0a000001"),
        last=bytes.fromhex("0a000009"),
        first_port=1000,
        last_port=2000,
        persistent=True,
        hash=True,
    ),
)
_OUTPUT = "0800 0100 01000000"

ACTIONS = [
    (Output(1), _OUTPUT),
    # pid; userdata; egress_tun_port; actions
    (
        Userspace(7, b"\1\2\3", 9, actions=True),
        "2000 0200  0800 0100 07000000  0700 0200 010203 00  0800 0300 09000000  0400 0400",
    ),
    (Userspace(7, b""), "1000 0200  0800 0100 07000000  0400 0200"),
    (Set("tcp", (1, 80)), "0c00 0300  0800 0900 0001 0050"),
    (Set("mpls", (1, 2, 3, 1)), "0c00 0300  0800 1500 00001503"),
    (Set("skb_mark", (0x12345678,)), "0c00 0300  0800 0f00 78563412"),
    # value, then mask
    (Set("tcp", (0, 80), (0, 0xFFFF)), "1000 0b00  0c00 0900 0000 0050 0000 ffff"),
    (_TUNNEL, ("5400 0300  5000 1000"
        "0c00 0000 123456789abcdef0"  # be64 id
        "0800 0100 0a000001  0800 0200 0a000002  0500 0300 01 000000  0500 0400 40 000000"  # src, dst, tos, ttl
        "0400 0500  0400 0600  0600 0a00 12b5 0000  0400 0700"  # df, csum, be16 tp_dst, oam
        "0c00 0b00  0800 0100 01000200")),  # vxlan: gbp u32, flags << 16 | id
    (_GENEVE, (f"5000 0300  4c00 1000  1400 0c00 {FD00_1}  1400 0d00 {FD00_2}"
        "0500 0400 01 000000  0600 0900 0001 0000"
        "1000 0800  0102 80 01 aabbccdd  ffff 01 00")),  # be16 class, type, units of 4 octets, data
    # erspan: u32 version; be32 index, 4 octets
    (SetTunnel(Tunnel(ipv4_dst=0x0A000002, ttl=2, erspan_ver=1, erspan_idx=0x12345)),
        "2800 0300  2400 1000  0800 0200 0a000002  0500 0400 02 000000  1000 0f00 01000000 00012345 00000000"),
    # or: be32 timestamp, be16 group, an octet with hwid's upper two bits, one with its lower four and 8 for dir
    (SetTunnel(Tunnel(ipv4_dst=0x0A000002, ttl=2, erspan_ver=2, erspan_dir=1, erspan_hwid=0x2A)),
        "2800 0300  2400 1000  0800 0200 0a000002  0500 0400 02 000000  1000 0f00 02000000 00000000 0000 02 a8"),
    (SetTunnel(Tunnel(ipv4_dst=0x0A000002, ttl=2, gtpu_flags=0x34, gtpu_msgtype=255)),
        "2000 0300  1c00 1000  0800 0200 0a000002  0500 0400 02 000000  0600 1000 34 ff 0000"),
    (SetNsh(_NSH), f"2800 0300  2400 1c00  0c00 0100 {_NSH_BASE}  1400 0200 {_MD1}"),
    (SetNsh(Nsh(si=1), Nsh(si=255)), "1c00 0b00  1800 1c00  1400 0100 00000000 00000001 00000000 000000ff"),
    (PushNsh(_NSH), f"2800 1100  2400 1c00  0c00 0100 {_NSH_BASE}  1400 0200 {_MD1}"),
    (PushNsh(Nsh(mdtype=2, np=1, context=b"\1\2\3\4")),
        "1c00 1100  1800 1c00  0c00 0100 00 00 02 01 00000000  0800 0300 01020304"),
    (PopNsh(), "0400 1200"),
    (PushVlan(0x8100, 0x1005), "0800 0400  8100 1005"),  # be16 tpid, tci
    (PopVlan(), "0400 0500"),
    (Sample(0x80000000, (Output(1),)), f"1800 0600  0800 0100 00000080  0c00 0200 {_OUTPUT}"),
    (Recirc(2), "0800 0700  02000000"),
    (Hash(HashAlgorithm.SYM_L4, 5), "0c00 0800  01000000 05000000"),
    (PushMpls(0x1503, 0x8847), "0c00 0900  00001503 8847 0000"),  # be32 entry, be16 type, fill
    (PopMpls(0x0800), "0600 0a00  0800  0000"),
    (_CT, ("8800 0c00  0400 0100  0600 0200 0500 0000  0c00 0300 01000000 ff000000"  # commit, zone, mark
        f"2400 0400  01{30 * '0'} {16 * '0'}03{14 * '0'}"  # labels: the lowest octet first; value, mask
        "0800 0500 66747000  0800 0800 04000000  0700 0900 747000 00"  # helper, eventmask, timeout
        "3000 0600  0400 0100  0800 0300 0a000001  0800 0400 0a000009"  # nat: src, first and last address
        "0600 0500 e803 0000  0600 0600 d007 0000  0400 0700  0400 0800")),  # u16 ports, persistent, hash
    (Ct(force=True, nat=Nat()), "1400 0c00  0400 0700  0600 0200 0000 0000  0400 0600"),
    (Trunc(100), "0800 0d00  64000000"),
    (PushEth(int(MAC_1, 16), int(MAC_2, 16)), f"1000 0e00  {MAC_1} {MAC_2}"),
    (PopEth(), "0400 0f00"),
    (CtClear(), "0400 1000"),
    (Meter(3), "0800 1300  03000000"),
    (Clone((Output(1), PopVlan())), f"1000 1400  {_OUTPUT}  0400 0500"),
    # as the kernel answers: the list for smaller packets first
    (CheckPktLen(1500, (Output(1),), ()), f"1c00 1500  0600 0100 dc05 0000  0400 0300  0c00 0200 {_OUTPUT}"),
    (AddMpls(0x1503, 0x8847, l3=True), "0c00 1600  00001503 8847 0100"),  # flags in host order
    (DecTtl((Output(1),)), f"1000 1700  0c00 0100  {_OUTPUT}"),
    (Drop(3), "0800 1800  03000000"),
    (Psample(5, b"\xab\xcd"), "1400 1900  0800 0100 05000000  0600 0200 abcd 0000"),
    # tnl_port, out_port, size, tnl_type, header
    (TnlPush(1, 2, 4, b"\1\2\3\4\5"), "1900 1a00  01000000 02000000 05000000 04000000 0102030405 000000"),
    (TnlPop(1), "0800 1b00  01000000"),
    (LbOutput(1), "0800 1c00  01000000"),
]  # fmt: skip
