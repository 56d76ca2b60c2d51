"""The datapath flow interface: what every datapath does, in one Protocol.

The kernel datapath (`ctl.kernel.datapath`) implements it over BPF maps.  Semantics are those of the
OVS datapath flow interface: a flow is named by its UFID if it has one, else by its concrete key, and
never by the other.  Every call checks its request completely before it changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ctl.flow import Actions, Flow, FlowId, Match
from ctl.ufid import Ufid


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A member of the datapath.  ``device`` is what the program is attached to.

    ``name`` is the same, but for the local port (number 0), whose name is that of the end which the
    host's own stack uses.  ``ifindex`` is in the datapath's network namespace; 0: the device is gone.
    ``hook`` is "xdp/native" or "xdp/generic".
    """

    number: int
    name: str
    device: str
    kind: str  # "netdev" or "internal"
    ifindex: int
    hook: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PortStats:
    """Counters of one port, each packet counted once."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapathStats:
    """Counters of a datapath.  ``drops`` has every drop reason by name (`short_frame`, `miss`, ...)."""

    hit: int = 0
    missed: int = 0
    lost: int = 0
    mask_hit: int = 0
    stale: int = 0
    flows: int = 0
    masks: int = 0
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

    def flow_new(self, match: Match, actions: Actions, ufid: Ufid | None = None) -> Flow:
        """Install a flow (OVS: FLOW_NEW with NLM_F_CREATE).

        FlowInvalid for actions that a flow of this match cannot have; Exists when the UFID is taken, or
        when a flow has the same mask and masked key; TableFull.
        """
        ...

    def flow_set(self, who: FlowId, actions: Actions | None, *, clear: bool = False) -> Flow:
        """Replace the actions (None: leave them) and, with ``clear``, zero the statistics.

        Returns the flow with its new actions and the statistics from before the clearing.  NotFound;
        FlowInvalid for actions that the flow cannot have.
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

    def flow_dump(self) -> Iterator[Flow]:
        """Every flow once.  Not a snapshot: flows that come or go meanwhile may be in it or not."""
        ...
