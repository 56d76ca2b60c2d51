"""Changes of a flow table that are asked for many at a time.  Values; `ctl.datapath` says what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass

from ctl.action import Actions
from ctl.flow import FlowId, Match
from ctl.ufid import Ufid


@dataclass(frozen=True, slots=True)
class Add:
    """Install a flow that is not there yet, as `flow_new` does."""

    match: Match
    actions: Actions
    ufid: Ufid | None = None


@dataclass(frozen=True, slots=True)
class Modify:
    """Change a flow, as `flow_set` does.  ``create``: the match with which it is installed if it is not there."""

    who: FlowId
    actions: Actions | None
    clear: bool = False
    create: Match | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a flow, as `flow_del` does."""

    who: FlowId


Change = Add | Modify | Delete
