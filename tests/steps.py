"""What can be done to two datapaths side by side: `tests.differential` makes lists of these."""

from dataclasses import dataclass

from ctl.flow import FlowKey, Match
from ctl.ufid import Ufid


@dataclass(frozen=True)
class Packet:
    frame: bytes
    in_port: int | None  # None: a device that is no port

    def play(self, pair):
        pair.packet(self.frame, self.in_port)


@dataclass(frozen=True)
class New:
    match: Match
    actions: tuple
    ufid: Ufid | None
    may_exist: bool = False
    like_kernel: bool = False

    def play(self, pair):
        rules = {"may_exist": self.may_exist, "like_kernel": self.like_kernel}
        pair.control("flow_new", self.match, self.actions, self.ufid, **rules)


@dataclass(frozen=True)
class Change:
    who: Ufid | FlowKey
    actions: tuple | None
    clear: bool
    match: Match | None = None
    like_kernel: bool = False

    def play(self, pair):
        rules = {"match": self.match, "like_kernel": self.like_kernel}
        pair.control("flow_set", self.who, self.actions, clear=self.clear, **rules)


@dataclass(frozen=True)
class Delete:
    who: Ufid | FlowKey

    def play(self, pair):
        pair.control("flow_del", self.who)


@dataclass(frozen=True)
class Get:
    who: Ufid | FlowKey

    def play(self, pair):
        pair.control("flow_get", self.who)


@dataclass(frozen=True)
class Luck:
    number: int

    def play(self, pair):
        pair.luck(self.number)


@dataclass(frozen=True)
class Flush:
    def play(self, pair):
        pair.control("flow_flush")


@dataclass(frozen=True)
class Apply:
    changes: tuple
    atomic: bool

    def play(self, pair):
        pair.control("flow_apply", self.changes, atomic=self.atomic)


@dataclass(frozen=True)
class Since:
    keep: bool

    def play(self, pair):
        pair.since(keep=self.keep)
