"""The flow table of the model datapath: what each request of the `Datapath` protocol does to it, in plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ctl.abi import ChangeKind
from ctl.action import Actions
from ctl.change import Add, Change, Delete, Modify
from ctl.datapath import check_executable, check_set, full, no_flow
from ctl.errors import CtlError, TableFull
from ctl.flow import Flow, FlowId, FlowKey, FlowStats, Match, TerseFlow
from ctl.history import Changes, Event, differences, not_yet
from ctl.identity import to_update
from ctl.placement import why_not_xdp
from ctl.ufid import Ufid
from ctl.validate_actions import check_actions


class ModelTable:
    """The flows, and the masks by rank."""

    def __init__(self, name: str, max_flows: int, max_masks: int) -> None:
        self.name = name
        self._max_flows = max_flows
        self._max_masks = max_masks
        self._masks: dict[int, FlowKey] = {}  # by rank
        self._flows: list[Flow] = []
        self._generation = 0
        self._events: list[Event] = []

    def flow_new(
        self,
        match: Match,
        actions: Actions,
        ufid: Ufid | None = None,
        *,
        may_exist: bool = False,
        like_kernel: bool = False,
    ) -> Flow:
        """See `ctl.datapath.Datapath`."""
        check_actions(actions, match.masked, match.mask, like_kernel=like_kernel)
        check_executable(actions)
        old = to_update(self, match, ufid, may_exist=may_exist, like_kernel=like_kernel)
        if old is not None:
            self._note(ChangeKind.CHANGE_MODIFY, old.who)
            return self._replace(old, replace(old, actions=actions, not_xdp=why_not_xdp(actions)))
        if len(self._flows) == self._max_flows:
            raise full(self.name, f"its flow table holds {self._max_flows} flows", "--max-flows")
        self._hold_mask(match.mask)
        self._note(ChangeKind.CHANGE_ADD, ufid or match.key)
        flow = Flow(
            ufid=ufid,
            match=Match(match.masked, match.mask) if ufid else match,
            actions=actions,
            generation=self._generation,
            not_xdp=why_not_xdp(actions),
        )
        self._flows.append(flow)
        return flow

    def named(self, who: FlowId) -> Flow | None:
        """The flow of that name."""
        return next((flow for flow in self._flows if flow.who == who), None)

    def matching(self, match: Match) -> Flow | None:
        """The flow with that mask and masked key."""
        same = (flow for flow in self._flows if flow.match.mask == match.mask and flow.match.masked == match.masked)
        return next(same, None)

    def hit_by(self, key: FlowKey) -> Flow | None:
        """The flow that a packet with this key hits: under the mask of lowest rank that has one."""
        found = (self.matching(Match(key, mask)) for _, mask in sorted(self._masks.items()))
        return next((flow for flow in found if flow is not None), None)

    def flow_set(
        self,
        who: FlowId,
        actions: Actions | None,
        *,
        match: Match | None = None,
        clear: bool = False,
        like_kernel: bool = False,
    ) -> Flow:
        """See `ctl.datapath.Datapath`."""
        if actions is not None:
            check_set(who, actions, match, like_kernel=like_kernel)
        flow = self.flow_get(who)
        if actions is not None:
            if match is None or not like_kernel:
                check_actions(actions, flow.match.masked, flow.match.mask, like_kernel=like_kernel)
            flow = self._replace(flow, replace(flow, actions=actions, not_xdp=why_not_xdp(actions)))
            self._note(ChangeKind.CHANGE_MODIFY, who)
        if clear:
            self._note(ChangeKind.CHANGE_CLEAR, who)
            self._replace(flow, replace(flow, stats=FlowStats()))
        return flow

    def flow_get(self, who: FlowId) -> Flow:
        """See `ctl.datapath.Datapath`."""
        flow = self.named(who)
        if flow is None:
            raise no_flow(self.name, who)
        return flow

    def flow_del(self, who: FlowId) -> Flow:
        """See `ctl.datapath.Datapath`."""
        flow = self.flow_get(who)
        self._flows.remove(flow)
        self._drop_unused_masks()
        self._note(ChangeKind.CHANGE_DELETE, who)
        return flow

    def flow_flush(self) -> int:
        """See `ctl.datapath.Datapath`."""
        count, stats = len(self._flows), [flow.stats for flow in self._flows]
        if count:
            self._generation += 1
            self._events.append(
                Event(
                    generation=self._generation,
                    kind=ChangeKind.CHANGE_FLUSH,
                    flows=count,
                    packets=sum(each.packets for each in stats),
                    bytes=sum(each.bytes for each in stats),
                )
            )
        self._flows = []
        self._masks = {}
        return count

    def flow_apply(self, changes: Sequence[Change], *, atomic: bool = False) -> dict[int, CtlError]:
        """See `ctl.datapath.Datapath`."""
        if atomic:
            return self._apply_all(changes)
        refused: dict[int, CtlError] = {}
        for index, change in enumerate(changes):
            try:
                self._apply_one(change)
            except CtlError as error:
                refused[index] = error
        return refused

    def _apply_one(self, change: Change) -> None:
        match change:
            case Add(match=match, actions=actions, ufid=ufid):
                self.flow_new(match, actions, ufid)
            case Modify(who=who, actions=actions, clear=clear, create=create):
                if create is not None and not any(flow.who == who for flow in self._flows):
                    self.flow_new(create, actions or (), None if isinstance(who, FlowKey) else who)
                else:
                    self.flow_set(who, actions, clear=clear)
            case Delete(who=who):
                self.flow_del(who)

    def _apply_all(self, changes: Sequence[Change]) -> dict[int, CtlError]:
        """One by one in a roomy copy, which then takes our place, if what it has more has room here."""
        copy = ModelTable(self.name, max_flows=1 << 32, max_masks=1 << 32)
        copy._flows, copy._masks, copy._generation = list(self._flows), dict(self._masks), self._generation
        if refused := copy.flow_apply(changes):
            return refused
        new = [flow for flow in copy._flows if flow.generation > self._generation]
        if len(self._flows) + len(new) > self._max_flows:
            raise full(self.name, f"its flow table holds {self._max_flows} flows", "--max-flows")
        before = dict(self._masks)
        try:
            for flow in new:
                self._hold_mask(flow.match.mask)
        except TableFull:
            self._masks = before
            raise
        self._flows, self._generation = copy._flows, copy._generation
        self._events += copy._events
        self._drop_unused_masks()
        return {}

    def flow_changes(self, since: int) -> Changes:
        """See `ctl.datapath.Datapath`.  Nothing is ever forgotten."""
        if since > self._generation:
            raise not_yet(self.name, since, self._generation)
        events = (event for event in self._events if event.generation > since)
        found = {flow.who: flow for flow in self._flows}
        return Changes(generation=self._generation, differences=differences(events, found.get, self.flow_dump))

    def _note(self, kind: ChangeKind, who: FlowId) -> None:
        self._generation += 1
        self._events.append(Event(generation=self._generation, kind=kind, who=who))

    def flow_dump(self) -> Iterator[Flow]:
        """See `ctl.datapath.Datapath`."""
        yield from tuple(self._flows)

    def flow_dump_terse(self) -> Iterator[TerseFlow]:
        """See `ctl.datapath.Datapath`."""
        for flow in tuple(self._flows):
            yield TerseFlow(who=flow.who, stats=flow.stats, generation=flow.generation)

    def _hold_mask(self, mask: FlowKey) -> None:
        """A new mask takes the lowest rank that is free, and keeps it until its last flow goes.  TableFull."""
        if mask in self._masks.values():
            return
        rank = next((rank for rank in range(self._max_masks) if rank not in self._masks), None)
        if rank is None:
            raise full(self.name, f"its mask table holds {self._max_masks} masks", "--max-masks")
        self._masks[rank] = mask

    def _drop_unused_masks(self) -> None:
        used = {flow.match.mask for flow in self._flows}
        self._masks = {rank: mask for rank, mask in self._masks.items() if mask in used}

    def _replace(self, old: Flow, new: Flow) -> Flow:
        self._flows[self._flows.index(old)] = new
        return new
