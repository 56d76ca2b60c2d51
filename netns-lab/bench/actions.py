"""What action lists cost: the whole program for one flow of one mask, frame by frame put back as it was.

The row without a datapath is what making the frame costs: that is what is subtracted for the net figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from ctl import fields
from ctl.action import PushVlan, Recirc, Set
from ctl.flow import Action, Actions, Match, Output
from ctl.kernel.maps import Sizes
from netns_lab.bench import Effort
from netns_lab.bench.figures import NS, Case, Row, rows
from netns_lab.bench.frames import BASE, OUT_PORT, S, ufid
from netns_lab.bench.place import XDP_DROP, XDP_REDIRECT, Place, place
from netns_lab.bench.programs import Plan, loaded

_OUT: Final = Output(OUT_PORT)
_RECIRC_ID: Final = 1


def _masked_set(section: str, **leaves: int) -> Set:
    """A set of these leaves of a section, in full."""
    section_rows = fields.SECTIONS[section]
    return Set(
        section,
        tuple(leaves.get(row.leaf, 0) for row in section_rows),
        tuple(row.full if row.leaf in leaves else 0 for row in section_rows),
    )


_ETH: Final = _masked_set("eth", eth_src=0x020000000101, eth_dst=0x020000000202)
_NAT: Final[tuple[Action, ...]] = (
    _ETH,
    _masked_set("ipv4", ipv4_src=0xC0000201, ipv4_dst=0xC0000202, ip_ttl=63),
    _masked_set("udp", tp_src=1024, tp_dst=5353),
)

LISTS: Final[dict[str, Actions]] = {
    "drop": (),
    "output": (_OUT,),
    "set eth, output": (_ETH, _OUT),
    "set eth, ipv4 and udp (NAT), output": (*_NAT, _OUT),
    "push_vlan, output": (PushVlan(0x8100, 0x1005), _OUT),
    "recirc; output in the second pass": (Recirc(_RECIRC_ID),),
}


def actions(effort: Effort) -> Iterator[Row]:
    """A row for each list, after one of a frame that is only made."""
    with place(Sizes(max_flows=2 * len(LISTS), max_masks=1)) as here, ExitStack() as stack:
        drop = stack.enter_context(loaded("bench_drop"))
        made = _case(stack, here, effort, "make the frame, drop", 0, drop.fd)
        cases = [made]
        for number, (name, action_list) in enumerate(LISTS.items()):
            match = S.match(number)
            here.datapath.flow_new(match, action_list, ufid(number))
            if Recirc(_RECIRC_ID) in action_list:
                second = Match(match.key.with_leaves(recirc_id=_RECIRC_ID), match.mask)
                here.datapath.flow_new(second, (_OUT,), ufid(len(LISTS)))
            cases.append(replace(_case(stack, here, effort, name, number, here.program), empty=made))
        yield from rows("actions", NS, cases, effort.rounds)


def _case(  # noqa: PLR0913, PLR0917 - what a case is made of
    stack: ExitStack, here: Place, effort: Effort, name: str, number: int, program: int
) -> Case:
    follow = stack.enter_context(loaded("bench_next"))
    follow.plan(Plan(frame=S.frame, at=S.at, fixed=BASE + number))
    follow.call(program)
    verdict = XDP_REDIRECT if LISTS.get(name) else XDP_DROP
    sample = here.sampler(follow.fd, S.frame, verdict, effort.sample_s)
    return Case(name=name, parameters={"class": "S", "masks": 1, "traffic": "one flow"}, sample=sample)
