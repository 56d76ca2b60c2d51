"""Headers that are values of their own, because one number for each field does not describe them.

A mask of such a header is a value of the same class, whose one-bits are compared.  Numbers are those that
people write, with no byte order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag


class TunnelFlag(IntFlag):
    """The flags of a tunnel, as the text writes them: `flags(df|csum|key|oam)`."""

    DF = 1  # do not fragment
    CSUM = 2
    KEY = 4  # there is a tun_id, which may be 0
    OAM = 8


@dataclass(frozen=True, slots=True)
class GeneveOption:
    """One option of a Geneve header (RFC 8926, 3.5); ``data`` has a multiple of 4 octets, at most 124."""

    cls: int
    type: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """What is known of the tunnel that a packet came through: OVS_TUNNEL_KEY_ATTR_*.

    A number that is 0 stands for an attribute that is not there, but for ``tun_id``, which is there with
    `TunnelFlag.KEY`, and ``ttl``, which always is.  Of the options at most one kind is there.
    """

    tun_id: int = 0
    ipv4_src: int = 0
    ipv4_dst: int = 0
    ipv6_src: int = 0
    ipv6_dst: int = 0
    tos: int = 0
    ttl: int = 0
    tp_src: int = 0
    tp_dst: int = 0
    flags: int = 0  # TunnelFlag
    gbp_id: int = 0
    gbp_flags: int = 0
    geneve: tuple[GeneveOption, ...] = ()
    erspan_ver: int = 0
    erspan_idx: int = 0  # version 1
    erspan_dir: int = 0  # version 2
    erspan_hwid: int = 0
    gtpu_flags: int = 0
    gtpu_msgtype: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Nsh:
    """A network service header (RFC 8300).  ``context``: 16 octets with mdtype 1, at most 248 with mdtype 2."""

    flags: int = 0
    ttl: int = 0
    mdtype: int = 0
    np: int = 0
    spi: int = 0
    si: int = 0
    context: bytes = b""


def is_wild(header: Tunnel | Nsh) -> bool:
    """Whether a mask compares nothing."""
    match header:
        case Tunnel(geneve=options):
            return not any(option.cls or option.type or any(option.data) for option in options) and (
                replace(header, geneve=()) == Tunnel()
            )
        case Nsh(context=context):
            return not any(context) and replace(header, context=b"") == Nsh()
