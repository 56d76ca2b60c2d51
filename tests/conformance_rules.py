"""The rules of the flow interface, one line each: what there must be a test for.

A test says which rules it shows: ``@pytest.mark.conformance("A4.1")``.  Of rules about what is legal there must
be a test that something is accepted, and one that something is refused; a test whose name has "refused" in it,
or "refuses", is of the second kind.  A4 to A9 are the commands over flows, A17 keys and masks, A19 actions, and
B1 to B23 what each version of the series that brought UFIDs changed.  D1 to D15 are where this datapath differs
from the kernel's on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, in words.  ``both``: it accepts and refuses."""

    name: str
    text: str
    both: bool = False


_COMMANDS: Final = """
A2.clear    CLEAR is of SET alone; NEW, GET and DEL ignore it
A2.probe    PROBE changes nothing but the log: the flow is installed
A2.omit     unknown bits of UFID_FLAGS are ignored; the flags shape the answer alone
A3.length   a UFID of no octets is ERANGE
A3.equal    UFIDs are equal when both length and octets are
A4.1        NEW without KEY is EINVAL
A4.2        NEW without ACTIONS is EINVAL; an empty list is there, and drops
A4.4        then KEY and MASK are checked
A4.7        then ACTIONS, for the masked key
A4.9        then the datapath: ENODEV
A4.10       a duplicate is searched by UFID, then (like the kernel) by concrete key over all masks
A4.11       nothing found: the flow is there, with statistics of zero
A4.12       a flow of the same name and match, without CREATE: its actions are replaced
A4.13       a flow of that name with another match, without CREATE: ENOENT
A4.14       a flow without UFID, whose key differs, like the kernel: the one with exactly that key, else ENOENT
A4.15       an update keeps statistics, mask and identity, and its answer is NEW and shows the flow that was there
A4.16       with CREATE what is found is EEXIST
A5.1        SET with neither KEY nor UFID is EINVAL
A5.2        then KEY and MASK are checked, even beside a UFID
A5.3        ACTIONS are checked for the request's key, and here for the flow's; like the kernel, EINVAL without one
A5.4        then the datapath: ENODEV
A5.5        the UFID wins and KEY is not compared; else the concrete key of a flow without UFID; ENOENT
A5.6        ACTIONS replace, and an empty list drops; without them they stay
A5.8        the answer has the statistics from before CLEAR
A5.9        SET creates nothing
A6.1        GET with neither KEY nor UFID is EINVAL
A6.2        KEY is checked even beside a UFID, MASK never; then ENODEV, then ENOENT
A6.3        the answer goes to the asker without ECHO, and honours the flags to omit
A7.1        DEL with neither KEY nor UFID removes all flows, with no answer about any
A7.2        DEL by UFID; ENOENT
A7.3        DEL by concrete key; ENOENT, for flows with UFID too
A7.4        with both the UFID decides, and KEY is checked and not compared
A7.5        the answer has the final statistics
A8.1        a UFID flow's answer has UFID and, unless omitted, its masked key
A8.2        a key flow's answer has its concrete key, once, also with OMIT_KEY
A8.3        OMIT_MASK and OMIT_ACTIONS leave these out of both kinds
A8.4        statistics, used and flags are there only when they are not zero
A8.5        the answer has the command of the request; a dump's parts are GET and belong together
A8.6        changes go to the group; the asker has a copy with ECHO alone; nothing is made when nobody listens
A9.1        U1, same key, same mask
A9.2        U1, same key, other mask
A9.3        U1, a key that hits no flow
A9.4        U2, same key, same mask
A9.5        no UFID, same key, same mask
A9.6        U2, a wider mask, and the concrete key hits
A9.7        U2, a narrower flow under the other
A9.8        U2, a wider mask, and the concrete key misses
A9.9        U1, same masked key, other bits under the wildcards
A9.10       DEL by UFID with a wrong key
A9.11       DEL by key of a UFID flow
A9.12       a prefix of a UFID names nothing
A9.13       GET by key of a UFID flow
A9.14       DEL by key of a flow without UFID
A11.clear   CLEAR zeroes packets, bytes, used and flags
D1          a UFID of 17 octets or more is EINVAL, and nothing but an explicit flush flushes
D2          another UFID for a match that is there is refused, and the refusal names the holder
D3          one UFID names one flow, and one mask and masked key is one flow
D4          the mask of an update is compared
D14         SET of actions by UFID alone works
D15         of overlapping flows the lowest mask rank wins
"""

_KEYS: Final = """
A17.1       unknown, unsupported, duplicate and unconsumed attributes, and wrong lengths
A17.2       mask attributes of zeros alone are as good as none
A17.3       without MASK every attribute of KEY is exact
A17.4       a mask attribute needs one in KEY, but for TUNNEL, IN_PORT and ETHERTYPE
A17.5       ETHERNET or ETHERTYPE must be there
A17.6       ETHERTYPE below 0x0600
A17.7       what each ethertype needs
A17.8       what each protocol needs
A17.9       superfluous attributes in KEY
A17.10      a mask needs the lower layer's value, exactly
A17.11      ETHERTYPE masks are all or nothing
A17.12      tags are exact unless the mask says otherwise, and so is recirc_id
A17.13      IN_PORT: its range, and that its mask is all or nothing
A17.14      VLAN and ENCAP belong together
A17.15      ranges of values
A17.16      NSH: type and lengths
A17.17      nesting: two tags
"""

_ACTIONS: Final = """
A19.output          any port below 65535, there or not
A19.set             what can be set, where, and under which mask
A19.push_vlan       an Ethernet frame, a tag's type, and its bit 0x1000
A19.pop_vlan        an Ethernet frame, with a tag or without
A19.push_mpls       an MPLS type, no tag, and what can stand under labels
A19.add_mpls        likewise, before or behind the Ethernet header
A19.pop_mpls        what is an MPLS packet, and no tag
A19.sample          a probability and a list
A19.clone           its list is checked likewise
A19.check_pkt_len   a length that is not zero, and both lists
A19.dec_ttl         its list is checked likewise
A19.push_eth        a packet without an Ethernet header
A19.tunnel          set of a tunnel needs destination and TTL
A19.nsh             lengths, and where it can be pushed, set and popped
A19.recirc          any number
A19.meter           any number, whether there is such a meter or not
A19.hash            a known algorithm
A19.trunc           at least 14 bytes
A19.drop            is the last
A19.ct              IPv4 and IPv6 alone; what needs commit
A19.userspace       a PID that is not zero
A19.psample         a group, and a cookie of 1 to 16 octets
"""

_LISTS: Final = """
A19.userspace_only  what OVS's userspace datapath alone has is read, and carried out by none of ours
A19.depth           at most 16 lists within one another: EOVERFLOW
A19.size            at most as many actions as a list holds: EMSGSIZE
A19.unknown         unknown actions are refused
A19.kernel          what OVS's userspace datapath alone has, like the kernel, is refused
"""

_SERIES: Final = """
B1      a flow is created, found, changed and deleted by a name that is not its key
B2      cycles of making and deleting, errors included, leave nothing behind
B3      lists and removals are terse by default
B4      each refusal is logged with the attribute; PROBE silences it
B5      a terse dump touches neither keys, masks nor actions
B6      flows with UFID and flows without are in one table
B7      UFIDs of 1, 8, 15 and 16 octets come back with their length
B8      users read ufid
B9      a client that never sends a UFID, a mask or a flag has full service
B10     UFID flows show the masked key, key flows the concrete one
B11     a flow has one identity
B12     UFID flows are not found by key, nor key flows by UFID
B13     a UFID flow takes no more memory than a key flow
B14     rebuilding an index loses and doubles no UFID
B15     the datapath invents no identifiers
B16     one file has the numbers of the interface
B17     one comparison for both kinds of identity
B18     the size computed for an answer suffices
B19     the same UFID with another key: EEXIST with CREATE, else ENOENT, and nothing changes
B20     UFIDs have 1 to 16 octets
B21     a key flow keeps its concrete key under a mask that clears bits
B22     a key flow's answer has one KEY
B23     a wider flow whose concrete key hits nothing is accepted
"""


def _read(table: str, *, both: bool = False) -> list[Rule]:
    pairs = (line.split(maxsplit=1) for line in table.strip().splitlines())
    return [Rule(name, text, both) for name, text in pairs]


RULES: Final = {
    rule.name: rule
    for rule in [
        *_read(_COMMANDS),
        *_read(_KEYS, both=True),
        *_read(_ACTIONS, both=True),
        *_read(_LISTS),
        *_read(_SERIES),
    ]
}
