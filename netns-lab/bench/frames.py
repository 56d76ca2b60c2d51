"""The packets of benchmarks and the flows they hit.

Flow number N matches a packet whose last destination word is BASE + N and whose other bits are those
of one template for each size class.  So one 32-bit number in the frame says which flow it hits, under
any mask that compares that word.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ctl import abi
from ctl.abi import L2Kind
from ctl.change import Add
from ctl.flow import Actions, FlowKey, Match
from ctl.kernel.datapath import KernelDatapath
from ctl.ufid import MAX_OCTETS, Ufid

IN_PORT: Final = 1
OUT_PORT: Final = 2
BASE: Final = 0x0A000000  # 10.0.0.0
MISS: Final = 0x0B000000  # no flow is there
_BURST: Final = 16384  # flows installed in one go
_SOURCE: Final = 0xC6120001  # 198.18.0.1
_ADDRESSES: Final = bytes.fromhex("020000000002 020000000001")
_SOURCE_PORT: Final = 4789
_UDP: Final = struct.pack(">HHHH", _SOURCE_PORT, 53, 30, 0xBEEF) + bytes(22)

_ALWAYS: Final = {"in_port": IN_PORT, "l2_kind": int(L2Kind.L2_ETHERNET), "recirc_id": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A frame, where in it the number is, and what flows match: leaves by value, and the number's leaf."""

    frame: bytes
    at: int
    leaves: dict[str, int]
    leaf: str

    def match(self, number: int, mask: int = 0) -> Match:
        """Flow ``number`` under the ``mask``-th of 256 masks, which differ in how much of a source they compare."""
        values = {**self.leaves, self.leaf: self.leaves.get(self.leaf, 0) | BASE + number}
        bits = {leaf: (1 << 8 * abi.KEY_LEAVES[leaf][1]) - 1 for leaf in values}
        by_port, by_address = divmod(mask, 32)
        if by_address:
            values["ipv4_src"] = _SOURCE
            bits["ipv4_src"] = (1 << by_address) - 1 << 32 - by_address
        if by_port:
            values["tp_src"] = _SOURCE_PORT
            bits["tp_src"] = (1 << by_port) - 1 << 16 - by_port
        return Match(FlowKey.of(**values), FlowKey.of(**bits))


def _ipv4() -> bytes:
    return struct.pack(">BBHHHBBHII", 0x45, 0, 50, 0, 0, 64, 17, 0x1234, _SOURCE, BASE)


def _ipv6(size: int, proto: int, hop_limit: int) -> bytes:
    source, target = bytes.fromhex("20010db8") + bytes(12), bytes.fromhex("20010db8") + bytes(12)
    return struct.pack(">IHBB", 6 << 28, size, proto, hop_limit) + source + target


_TARGET: Final = 0x20010DB8 << 96

S: Final = Template(
    frame=_ADDRESSES + b"\x08\x00" + _ipv4() + _UDP,
    at=14 + 16,
    leaves={**_ALWAYS, "eth_type": 0x0800, "ip_proto": 17},
    leaf="ipv4_dst",
)
M: Final = Template(
    frame=_ADDRESSES + b"\x86\xdd" + _ipv6(len(_UDP), 17, 64) + _UDP,
    at=14 + 36,
    leaves={**_ALWAYS, "eth_type": 0x86DD, "ipv6_dst": _TARGET},
    leaf="ipv6_dst",
)
L: Final = Template(
    frame=_ADDRESSES + b"\x86\xdd" + _ipv6(24, 58, 255) + struct.pack(">BBHI", 135, 0, 0, 0) + bytes.fromhex(
        "20010db8") + bytes(12),
    at=14 + 40 + 8 + 12,
    leaves={**_ALWAYS, "eth_type": 0x86DD, "ip_proto": 58, "tp_src": 135, "nd_target": _TARGET},
    leaf="nd_target",
)  # fmt: skip


def ufid(number: int) -> Ufid:
    """The UFID of flow ``number``."""
    return Ufid(number.to_bytes(MAX_OCTETS, "little"))


def install(datapath: KernelDatapath, template: Template, numbers: range, masks: int, actions: Actions) -> None:
    """Install flows under ``masks`` masks in turn, the first of them under the first."""
    for start in range(0, len(numbers), _BURST):
        burst = numbers[start : start + _BURST]
        changes = [Add(template.match(number, number % masks), actions, ufid(number)) for number in burst]
        for error in datapath.flow_apply(changes).values():
            raise error
