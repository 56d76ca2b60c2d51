"""The datapath flow interface: what every datapath does, in one Protocol.

The kernel datapath (`ctl.kernel.datapath`) implements it over BPF maps, the model (`ctl.model`) in plain
Python.  Semantics are those of the
OVS datapath flow interface: a flow is named by its UFID if it has one, else by its concrete key, and
never by the other.  Every call checks its request completely before it changes anything.  What there is
to say when a request is refused stands at the end of this module, so that all datapaths say the same;
which flows count as the same, and which request they refuse, is decided in `ctl.identity`.

``like_kernel`` asks for the kernel's rules where ours are others, in one call; see `ctl.identity`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ctl.abi import ActionLimit
from ctl.action import NOT_EXECUTED, Actions, AddMpls, Userspace, walk
from ctl.change import Change
from ctl.errors import CtlError, Exists, FlowInvalid, NotFound, NotSupported, TableFull
from ctl.flow import Flow, FlowId, FlowKey, Match, TerseFlow
from ctl.history import Changes
from ctl.meter import Meter
from ctl.ufid import Ufid
from ctl.validate_actions import check_actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A member of the datapath.  ``device`` is what the program is attached to.

    ``name`` is the same, but for the local port (number 0), whose name is that of the end which the
    host's own stack uses.  ``ifindex`` is in the datapath's network namespace; 0: it is not there.
    ``state`` is "attached", "gone" when the device was deleted, or "moved": to another namespace.
    ``hook`` is "xdp/native" or "xdp/generic", each with tc behind it, or "tc" alone.  A device that does not
    ``takes_redirects`` would lose what XDP sends to it: flows that output to it are executed on tc.
    """

    number: int
    name: str
    device: str
    kind: str  # "netdev" or "internal"
    ifindex: int
    hook: str
    takes_redirects: bool = True
    state: str = "attached"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortStats:
    """Counters of one port, each packet counted once."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcall:
    """A packet that the datapath hands to userspace.

    ``reason`` is "miss" (it hit no flow) or "action" (of a userspace action, whose ``pid``, ``userdata``
    and ``egress_tun_port`` come back as they were).  ``actions``: the flow's, if the action asked for them
    and the flow still has them.  ``key`` is concrete and of the pass that the packet was in; its in_port is
    the port.  ``packet`` is the frame, shorter than
    ``frame_size`` when it was cut.  ``time_ns`` is CLOCK_MONOTONIC at the resolution of a tick.
    """

    reason: str
    key: FlowKey
    packet: bytes
    frame_size: int
    time_ns: int
    cpu: int
    pid: int = 0
    userdata: bytes | None = None
    egress_tun_port: int | None = None
    actions: Actions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketSample:
    """A packet that a psample action sends to those who listen to its ``group``.

    ``rate``: so many of 2^32 - 1 packets are chosen, by the sample action that it is in; all, if it is in none.
    The rest as in `Upcall`; ``cookie`` is the action's.
    """

    group: int
    cookie: bytes | None
    rate: int
    in_port: int
    packet: bytes
    frame_size: int
    time_ns: int
    cpu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapathStats:
    """Counters of a datapath.  ``drops`` has every drop reason by name (`short_frame`, `miss`, ...).

    ``generation`` is that of the flow table: more with each change.
    """

    hit: int = 0
    missed: int = 0
    lost: int = 0
    mask_hit: int = 0
    stale: int = 0
    upcalls: int = 0
    samples: int = 0
    samples_lost: int = 0
    flows: int = 0
    masks: int = 0
    generation: int = 0
    drops: dict[str, int] = field(default_factory=dict)


class Datapath(Protocol):
    """A flow table and its ports.  See the module for the rules that all calls share."""

    name: str

    def ports(self) -> list[Port]:
        """All ports in the order of their numbers."""
        ...

    def port_stats(self) -> dict[int, PortStats]:
        """Counters by port number."""
        ...

    def stats(self) -> DatapathStats:
        """Counters of the datapath."""
        ...

    def flow_new(
        self,
        match: Match,
        actions: Actions,
        ufid: Ufid | None = None,
        *,
        may_exist: bool = False,
        like_kernel: bool = False,
    ) -> Flow:
        """Install a flow (OVS: FLOW_NEW with NLM_F_CREATE or NLM_F_EXCL, with ``may_exist`` with neither).

        FlowInvalid for actions that a flow of this match cannot have; Exists when the UFID is taken, or
        when a flow has the same mask and masked key; TableFull.  With ``may_exist`` a flow of the same name
        and match has its actions replaced and keeps all else, and is returned; NotFound when a flow of that
        name has another match.
        """
        ...

    def flow_set(
        self,
        who: FlowId,
        actions: Actions | None,
        *,
        match: Match | None = None,
        clear: bool = False,
        like_kernel: bool = False,
    ) -> Flow:
        """Replace the actions (None: leave them) and, with ``clear``, zero the statistics.

        The actions must suit ``match``, if it is given, and the flow's own match; the kernel does without
        the latter.  ``match`` is no name: it is not compared with the flow's.  Returns the flow with its new
        actions and the statistics from before the clearing.  FlowInvalid for actions that a flow of this
        match cannot have; NotFound.
        """
        ...

    def flow_get(self, who: FlowId) -> Flow:
        """The flow of that name.  NotFound."""
        ...

    def flow_del(self, who: FlowId) -> Flow:
        """Remove a flow.  Returns it with its final statistics.  NotFound."""
        ...

    def flow_flush(self) -> int:
        """Remove all flows; how many there were."""
        ...

    def flow_apply(self, changes: Sequence[Change], *, atomic: bool = False) -> dict[int, CtlError]:
        """Many changes, in their order: why which of them were refused, by index; the others are done.

        With ``atomic`` all of them are done, or none if any is refused, whatever ends the caller; they see one
        another, but slots and masks of the flows that they remove are free only afterwards, so that TableFull is
        raised where there is no room for old and new side by side.  The next one who changes the table finishes or
        undoes what a writer began that died.  Packets and readers see the changes one by one within a moment, new
        flows first: those of one new mask together, and none before all of them are sure to stay or go.
        """
        ...

    def flow_changes(self, since: int) -> Changes:
        """What is not as it was when the datapath's generation was ``since``, each flow once.

        A change that is made meanwhile may be told now and again the next time.  NotFound when that is too long
        ago to be known, UsageError when it is still to come.
        """
        ...

    def flow_dump(self) -> Iterator[Flow]:
        """Every flow once.  Not a snapshot: flows that come or go meanwhile may be in it or not."""
        ...

    def flow_dump_terse(self) -> Iterator[TerseFlow]:
        """Likewise names and statistics alone, for which neither masks nor actions are looked at."""
        ...

    def meter_set(self, meter: Meter, *, clear: bool = False) -> Meter | None:
        """Make a meter, or replace one (OVS: METER_SET).  Its bucket is full.  ``meter.stats`` is not looked at.

        The statistics of one that is replaced go on, with ``clear`` from zero.  Returns that one, with its
        statistics from before; None when there was none.  UsageError for a meter that cannot be.
        """
        ...

    def meter_get(self, number: int) -> Meter:
        """The meter of that number.  NotFound."""
        ...

    def meter_del(self, number: int) -> Meter:
        """Remove a meter; flows that name it let all pass.  Returns it with its final statistics.

        NotFound, where the OVS kernel datapath says nothing.
        """
        ...

    def meters(self) -> list[Meter]:
        """Every meter, in the order of their numbers."""
        ...


# --- refusals ----------------------------------------------------------------------------------------


def ufid_exists(ufid: Ufid) -> Exists:
    """A flow with that UFID is there already."""
    return Exists(f"a flow with {ufid} exists", f"ctl get-flow {ufid}, or change it with ctl mod-flow")


def key_exists() -> Exists:
    """A flow that has no UFID was installed with that concrete key."""
    return Exists("a flow with that key exists, and has no UFID", "change it with ctl mod-flow")


def other_match(who: FlowId) -> NotFound:
    """The flow of that name is another one: its match is not that of the request."""
    name = "identified by that key" if isinstance(who, FlowKey) else f"with {who}"
    return NotFound(
        f"no flow {name} has that match; the one that there is has another",
        "ctl mod-flow changes actions alone; for another match, ctl del-flow and ctl add-flow",
    )


def match_exists(holder: Ufid | None) -> Exists:
    """A flow with that mask and masked key is there: ``holder``'s."""
    name = str(holder) if holder else "identified by its key"
    return Exists(f"a flow with the same match exists, {name}", "change that one with ctl mod-flow")


def no_flow(datapath: str, who: FlowId) -> NotFound:
    """No flow has that name."""
    name = "identified by that key" if isinstance(who, FlowKey) else f"with {who}"
    return NotFound(
        f"{datapath} has no flow {name}",
        "a flow that has a UFID is found by that alone; ctl dump-flows lists them",
    )


def no_meter(datapath: str, number: int) -> NotFound:
    """There is no meter of that number."""
    return NotFound(f"{datapath} has no meter {number}", "ctl get-meter lists them")


def full(datapath: str, what: str, option: str) -> TableFull:
    """A table has no room; ``option`` is what makes it larger."""
    return TableFull(f"{datapath} is full: {what}", f"ctl del-dp {datapath} && ctl add-dp {datapath} {option} NUMBER")


def out_of_memory(datapath: str) -> TableFull:
    """The kernel has no memory for another element of a table."""
    why = f"the kernel has no memory for another flow of {datapath}"
    return TableFull(why, "remove flows, or give it memory", errno=errno.ENOMEM)


def check_executable(actions: Actions) -> None:
    """Refuse what no datapath executes yet, wherever in the list it stands.  NotSupported names it."""
    for action in walk(actions):
        if isinstance(action, NOT_EXECUTED):
            raise NotSupported(f"action {action.name} is not supported yet", "this datapath cannot carry it out")
        if isinstance(action, AddMpls) and not action.l3:
            raise NotSupported(
                "add_mpls before the Ethernet header makes a layer 3 packet, and no port here takes such packets",
                "put the label behind that header: push_mpls",
            )
        if isinstance(action, Userspace) and len(action.userdata or b"") > ActionLimit.USERDATA_MAX:
            raise NotSupported(
                f"userdata of {len(action.userdata or b'')} octets: this datapath carries {ActionLimit.USERDATA_MAX}"
            )


def check_set(who: FlowId, actions: Actions, match: Match | None, *, like_kernel: bool) -> None:
    """Refuse new actions as far as the request says why: those that its match cannot have.

    The kernel does not look at the match of the flow that a UFID names, so the request must have one.
    Whether a flow's own match suits them, the datapath sees when it has found the flow.
    """
    if like_kernel and match is None and isinstance(who, Ufid):
        hint = "give the flow's key too, or leave out --compat=kernel"
        raise FlowInvalid("missing, and the kernel needs it to check the actions", "key", hint)
    if match is not None:
        check_actions(actions, match.masked, match.mask, like_kernel=like_kernel)
    check_executable(actions)
