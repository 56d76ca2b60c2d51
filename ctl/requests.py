"""Requests over flows as a client of the OVS datapath interface makes them, and what is answered.

Pure: whoever speaks to clients turns octets into a `FlowRequest` and a `FlowReply` into octets; the flows are
those of any `Datapath`.  The order of checks is the interface's, and the first that fails decides:

    all     a UFID of no octets, ERANGE; of more than 16, EINVAL
    NEW     key, then actions missing, EINVAL; key and mask; actions, for the masked key; the datapath, ENODEV;
            then `ctl.identity`: EEXIST or ENOENT, else installed or updated
    SET     neither key nor UFID, EINVAL; key and mask; actions, for the masked key of the request if it has
            one; the datapath; ENOENT; actions, for the flow's own; they are replaced, the reply made, then CLEAR
    GET     neither key nor UFID, EINVAL; the key, whose mask does not matter; the datapath; ENOENT
    DEL     the key likewise; the datapath; ENOENT; without key and UFID all flows are removed

Where there are both, the UFID is the name, and the key is checked but not compared.  CLEAR is for SET alone,
PROBE keeps a refusal out of the log, and the flags to omit shape the answer, never what is done.

``like_kernel``: the kernel ignores a UFID of more than 16 octets; its SET needs a key beside actions, and does
not check them for the flow's own.  Where a UFID that is ignored would make DEL remove all flows, it is EINVAL
here too: only a request that names nothing does that.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ctl.action import Actions
from ctl.datapath import Datapath, check_set
from ctl.errors import CtlError, FlowInvalid
from ctl.flow import Flow, FlowId, FlowKey, FlowStats, Match, TerseFlow
from ctl.ufid import MAX_OCTETS, Ufid
from ctl.validate import KeyAttrs, key_from_attrs, match_from_attrs
from ctl.validate_actions import check_actions

_LOG: Final = logging.getLogger(__name__)


class Command(enum.IntEnum):
    """OVS_FLOW_CMD_*."""

    NEW = 1
    DEL = 2
    GET = 3
    SET = 4


class Omit(enum.IntFlag):
    """OVS_UFID_F_OMIT_*: what an answer shall leave out.  Other bits mean nothing."""

    NOTHING = 0
    KEY = 1
    MASK = 2
    ACTIONS = 4


TERSE: Final = Omit.KEY | Omit.MASK | Omit.ACTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRequest:
    """One request.  None: the attribute is not there.  ``ufid`` has any number of octets.

    ``create`` stands for NLM_F_CREATE and NLM_F_EXCL, which say the same: there must be no such flow yet.
    """

    command: Command
    key: KeyAttrs | None = None
    mask: KeyAttrs | None = None
    actions: Actions | None = None
    ufid: bytes | None = None
    omit: Omit = Omit.NOTHING
    create: bool = False
    echo: bool = False
    clear: bool = False
    probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReply:
    """An answer about one flow; its properties are its attributes, in their order.  None: it is left out.

    ``match`` and ``listed`` are the flow's, None when the answer was made without them.  ``to_asker`` goes to
    who asked, ``to_group`` to who listens to the family's group; ``multi`` is a part of a dump.
    """

    command: Command
    who: FlowId
    stats: FlowStats
    match: Match | None = None
    listed: Actions | None = None
    omit: Omit = Omit.NOTHING
    to_asker: bool = True
    to_group: bool = False
    multi: bool = False

    @property
    def ufid(self) -> Ufid | None:
        """The flow's name, if it is one."""
        return self.who if isinstance(self.who, Ufid) else None

    @property
    def key(self) -> FlowKey | None:
        """The masked key beside a UFID; else the concrete key, which is the flow's name and is never left out."""
        if isinstance(self.who, FlowKey):
            return self.who
        return None if self.match is None or self.omit & Omit.KEY else self.match.masked

    @property
    def mask(self) -> FlowKey | None:
        """The mask."""
        return None if self.match is None or self.omit & Omit.MASK else self.match.mask

    @property
    def used_ms(self) -> int | None:
        """CLOCK_MONOTONIC of the last packet, if there was one."""
        return self.stats.used_ms

    @property
    def counts(self) -> tuple[int, int] | None:
        """Packets and bytes, if there were any."""
        return (self.stats.packets, self.stats.bytes) if self.stats.packets else None

    @property
    def tcp_flags(self) -> int | None:
        """The flags seen, if there were any."""
        return self.stats.tcp_flags or None

    @property
    def actions(self) -> Actions | None:
        """The actions; the empty list is one."""
        return None if self.omit & Omit.ACTIONS else self.listed


@dataclass(frozen=True, slots=True)
class Flushed:
    """All flows were removed: how many.  The asker is told by an acknowledgement alone; listeners get nothing."""

    flows: int


def terse_dump() -> FlowRequest:
    """What a client asks that lists flows: each flow's name, and what it has counted."""
    return FlowRequest(command=Command.GET, omit=TERSE)


def removal(ufid: Ufid) -> FlowRequest:
    """What a client asks that removes a flow: the UFID says it all."""
    return FlowRequest(command=Command.DEL, ufid=ufid.octets, omit=TERSE)


def answer(
    request: FlowRequest, find: Callable[[], Datapath], *, like_kernel: bool = False, listeners: bool = True
) -> FlowReply | Flushed | None:
    """Do what is asked.  ``find`` gives the datapath, or raises Absent.

    None: nobody is to be told, for the asker wants no echo and there are no ``listeners``.  The errors of
    `Datapath`, each with its errno; a refused request has changed nothing, and is logged but for a probe.
    """
    with refusals_logged(request.command, probe=request.probe):
        done = _do(request, find, like_kernel=like_kernel)
    if isinstance(done, Flushed):
        return done
    changes = request.command is not Command.GET
    if changes and not (request.echo or listeners):
        return None
    return FlowReply(
        command=request.command,
        who=done.who,
        stats=done.stats,
        match=done.match,
        listed=done.actions,
        omit=request.omit,
        to_asker=request.echo or not changes,
        to_group=changes,
    )


def dump(request: FlowRequest, find: Callable[[], Datapath]) -> Iterator[FlowReply]:
    """Every flow once, in parts of one answer.  Of a terse one neither masks nor actions are looked at."""
    with refusals_logged(request.command, probe=request.probe):
        datapath = find()
    flows = datapath.flow_dump_terse() if request.omit & TERSE == TERSE else datapath.flow_dump()
    for flow in flows:
        match, listed = (None, None) if isinstance(flow, TerseFlow) else (flow.match, flow.actions)
        yield FlowReply(
            command=Command.GET,
            who=flow.who,
            stats=flow.stats,
            match=match,
            listed=listed,
            omit=request.omit,
            multi=True,
        )


@contextlib.contextmanager
def refusals_logged(command: Command, *, probe: bool = False) -> Iterator[None]:
    """Log why the request in this block is refused, if it is, for who runs the datapath; not for a ``probe``."""
    try:
        yield
    except CtlError as error:
        if not probe:
            _log(command, "refused", error)
        raise


def _log(command: Command, what: str, error: CtlError) -> None:
    code = errno.errorcode.get(error.errno, str(error.errno))
    _LOG.info("flow %s %s: %s: %s", command.name.lower(), what, code, error.message)


# --- the commands ------------------------------------------------------------------------------------


def _new(request: FlowRequest, find: Callable[[], Datapath], *, like_kernel: bool) -> Flow:
    ufid = _ufid(request, like_kernel=like_kernel)
    if request.key is None:
        raise FlowInvalid("missing", "key")
    if request.actions is None:
        raise FlowInvalid("missing; to drop, give an empty list", "actions")
    match = match_from_attrs(request.key, request.mask)
    check_actions(request.actions, match.masked, match.mask, like_kernel=like_kernel)
    return find().flow_new(match, request.actions, ufid, may_exist=not request.create, like_kernel=like_kernel)


def _set(request: FlowRequest, find: Callable[[], Datapath], *, like_kernel: bool) -> Flow:
    ufid = _ufid(request, like_kernel=like_kernel)
    match = None if request.key is None else match_from_attrs(request.key, request.mask)
    who = _named(ufid, None if match is None else match.key)
    if request.actions is not None:
        check_set(who, request.actions, match, like_kernel=like_kernel)
    return find().flow_set(who, request.actions, match=match, clear=request.clear, like_kernel=like_kernel)


def _get(request: FlowRequest, find: Callable[[], Datapath], *, like_kernel: bool) -> Flow:
    ufid = _ufid(request, like_kernel=like_kernel)
    who = _named(ufid, _key(request))
    return find().flow_get(who)


def _del(request: FlowRequest, find: Callable[[], Datapath], *, like_kernel: bool) -> Flow | Flushed:
    ufid = _ufid(request, like_kernel=like_kernel and request.key is not None)
    key = _key(request)
    datapath = find()
    if ufid is None and key is None:
        return Flushed(datapath.flow_flush())
    return datapath.flow_del(_named(ufid, key))


def _do(request: FlowRequest, find: Callable[[], Datapath], *, like_kernel: bool) -> Flow | Flushed:
    match request.command:
        case Command.NEW:
            return _new(request, find, like_kernel=like_kernel)
        case Command.SET:
            return _set(request, find, like_kernel=like_kernel)
        case Command.GET:
            return _get(request, find, like_kernel=like_kernel)
        case Command.DEL:
            return _del(request, find, like_kernel=like_kernel)


def _ufid(request: FlowRequest, *, like_kernel: bool) -> Ufid | None:
    """The UFID, if the request has one.  ``like_kernel``: one that is too long is none."""
    if request.ufid is None:
        return None
    if not request.ufid:
        raise FlowInvalid("has no octets", "ufid", f"1 to {MAX_OCTETS} are possible", errno=errno.ERANGE)
    if len(request.ufid) <= MAX_OCTETS:
        return Ufid(request.ufid)
    refusal = FlowInvalid(f"has {len(request.ufid)} octets", "ufid", f"1 to {MAX_OCTETS} are possible")
    if not like_kernel:
        raise refusal
    if not request.probe:
        _log(request.command, "without its ufid", refusal)
    return None


def _key(request: FlowRequest) -> FlowKey | None:
    return None if request.key is None else key_from_attrs(request.key)


def _named(ufid: Ufid | None, key: FlowKey | None) -> FlowId:
    """The UFID, else the key.  EINVAL when there is neither."""
    who = key if ufid is None else ufid
    if who is None:
        raise FlowInvalid("missing, and there is no UFID either", "key")
    return who
